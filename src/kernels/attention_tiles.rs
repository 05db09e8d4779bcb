//! How the queries of a step are cut among workgroups: whole rows, or, for few rows that see many keys, parts of their keys.

use bytemuck::{Pod, Zeroable};

use super::attention::Sequence;
use super::kv_cache::KvType;
use super::{attention, attention_key_lanes, attention_lanes};
use crate::recording::Requirement;

/// A workgroup's share: rows of a sequence, and which keys they attend to here. Mirrors `Tile` of
/// `shaders/shared/attention_io.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Tile {
    pub sequence: u32,
    /// First row of the tile, counted over the sequence's (token, query head of one KV head) pairs.
    pub row0: u32,
    pub first_key: u32,
    /// One behind the last. Keys behind a row's own position do not count.
    pub end_key: u32,
}

impl Tile {
    /// Has no keys: what lists of parts are filled up with.
    const NOTHING: Tile = Tile { sequence: 0, row0: 0, first_key: 1, end_key: 1 };
}

/// Rows of a sequence whose keys are in parts, to be joined. Mirrors `Merge` of `shaders/attention_merge.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Merge {
    pub sequence: u32,
    /// As of a [`Tile`].
    pub row0: u32,
    /// The place of the first part among the tiles; the others follow it.
    pub first_part: u32,
    pub part_keys: u32,
}

/// The tiles of a step.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    pub whole: Vec<Tile>,
    /// Once filled up, a power of two.
    pub parts: Vec<Tile>,
    /// What becomes of the parts.
    pub merges: Vec<Merge>,
    /// Once filled up: there is one part for each row, and nothing to join.
    pub alone: bool,
}

impl Tiles {
    pub fn clear(&mut self) {
        self.whole.clear();
        self.parts.clear();
        self.merges.clear();
        self.alone = false;
    }

    /// Fills the list of parts up to a power of two, so that few recordings serve all contexts.
    pub fn fill_up(&mut self) {
        self.alone = !self.parts.is_empty() && self.parts.len() == self.merges.len();
        if !self.parts.is_empty() {
            self.parts.resize(self.parts.len().next_power_of_two(), Tile::NOTHING);
        }
    }
}

/// The kernels that compute attention of whole rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionPath {
    /// `attention.wgsl`: runs everywhere.
    Tile,
    /// `attention_lanes.wgsl`.
    Lanes,
}

impl AttentionPath {
    pub(super) const ALL: [AttentionPath; 2] = [AttentionPath::Tile, AttentionPath::Lanes];

    pub fn requirement(self) -> Requirement {
        match self {
            AttentionPath::Tile => Requirement::Nothing,
            AttentionPath::Lanes => Requirement::EightLanes,
        }
    }

    /// The kernel for parts of the keys that goes with it.
    pub fn split(self) -> SplitPath {
        match self {
            AttentionPath::Tile => SplitPath::Tile,
            AttentionPath::Lanes => SplitPath::Lanes,
        }
    }

    /// Query rows of a workgroup.
    fn rows(self, head_dim: u32) -> u32 {
        match self {
            AttentionPath::Tile => attention::whole_rows(head_dim),
            AttentionPath::Lanes => attention_lanes::ROWS,
        }
    }
}

/// The kernels that compute attention over parts of the keys, which `attention_merge.wgsl` joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitPath {
    /// `attention.wgsl` with the flag `split`: runs everywhere.
    Tile,
    /// `attention_key_lanes.wgsl`.
    Lanes,
}

impl SplitPath {
    pub(super) const ALL: [SplitPath; 2] = [SplitPath::Tile, SplitPath::Lanes];

    pub fn requirement(self) -> Requirement {
        match self {
            SplitPath::Tile => Requirement::Nothing,
            SplitPath::Lanes => Requirement::EightLanes,
        }
    }

    /// Whether the kernel can turn queries and keys and [append](super::attention::Append) the keys and values itself, which
    /// spares a dispatch. Blocks of codes need more lanes than one to be made, and the tile kernel's workgroups would each turn
    /// what one of them should.
    pub fn appends(self, kv_type: KvType) -> bool {
        self == SplitPath::Lanes && kv_type != KvType::Q8_0
    }

    /// Query rows of a workgroup: the query heads of a KV head, as far as a workgroup takes them.
    pub fn rows(self, ratio: u32) -> u32 {
        match self {
            SplitPath::Tile => ratio.next_power_of_two().min(MAX_ROWS),
            SplitPath::Lanes => attention_key_lanes::ROWS,
        }
    }

    /// The fewest keys of one of several parts, a multiple of the kernel's step and a power of two: fewer, and what each workgroup
    /// does once, and joining them, would cost more than it gains.
    fn part_keys(self) -> u32 {
        match self {
            SplitPath::Tile => 64,
            SplitPath::Lanes => 256,
        }
    }

    /// Up to so many keys are one part: where each dispatch costs tens of microseconds, joining parts takes longer than one
    /// workgroup for all, even where few of those keep all of a CPU's cores busy.
    fn alone_keys(self) -> u32 {
        match self {
            SplitPath::Tile => self.part_keys(),
            SplitPath::Lanes => 3 * self.part_keys(),
        }
    }

    /// The fewest parts with which this way is the faster one: where rows are what a workgroup is made for, a single token
    /// leaves most of it idle, but joining has its price.
    fn fewest_parts(self) -> u32 {
        match self {
            SplitPath::Tile => 2,
            SplitPath::Lanes => 1,
        }
    }
}

/// The most rows of a workgroup of a split kernel.
const MAX_ROWS: u32 = 8;

/// The most parts of one sequence's keys: enough workgroups for a large GPU, even if there are few KV heads.
const MAX_PARTS: u32 = 64;

/// The most parts of all sequences, whose sums are kept until they are joined.
const MAX_ALL_PARTS: u32 = 512;

/// How the rows and keys of sequences are cut.
///
/// A sequence with one token, as in decode, that sees enough keys goes the split way, all others the whole: each by its own
/// number of tokens and context, whatever the other sequences are. Parts are a power of two of keys long, longer than the
/// least only where there would be too many, or where [one](SplitPath::alone_keys) is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    whole: AttentionPath,
    /// `None`: every sequence goes the whole way.
    split: Option<SplitPath>,
    head_dim: u32,
    /// Query heads of a KV head.
    ratio: u32,
    /// The most parts of one row's keys.
    max_parts: u32,
}

impl Tiling {
    /// For steps of up to `sequences` sequences of such heads.
    pub fn new(whole: AttentionPath, split: Option<SplitPath>, head_dim: u32, ratio: u32, sequences: usize) -> Tiling {
        let share = MAX_ALL_PARTS / u32::try_from(sequences).unwrap_or(u32::MAX).max(1);
        let max_parts = share.clamp(1, MAX_PARTS);
        let split = split.filter(|split| max_parts >= split.fewest_parts());
        Tiling { whole, split, head_dim, ratio, max_parts }
    }

    /// The kernel for whole rows.
    pub fn whole(&self) -> AttentionPath {
        self.whole
    }

    /// The kernel for parts of keys.
    pub fn split(&self) -> Option<SplitPath> {
        self.split
    }

    /// Keys of a part of so many.
    fn part_keys(&self, context: u32) -> u32 {
        match self.split {
            Some(split) if context <= split.alone_keys() => split.alone_keys(),
            Some(split) => context.div_ceil(self.max_parts).next_power_of_two().max(split.part_keys()),
            None => context,
        }
    }

    /// How many parts the keys of a token with this context are cut into; none where it goes the whole way.
    pub fn parts(&self, context: u32) -> u32 {
        let parts = context.div_ceil(self.part_keys(context));
        self.split.filter(|split| parts >= split.fewest_parts()).map_or(0, |_| parts)
    }

    /// Appends the tiles of sequence number `index`.
    pub fn push(&self, index: u32, sequence: &Sequence, tiles: &mut Tiles) {
        let rows = sequence.tokens * self.ratio;
        let context = sequence.position0 + sequence.tokens;
        match self.split {
            Some(split) if sequence.tokens == 1 && self.parts(context) > 0 => {
                let part_keys = self.part_keys(context);
                for row0 in (0..rows).step_by(split.rows(self.ratio) as usize) {
                    let first_part = tiles.parts.len() as u32;
                    tiles.merges.push(Merge { sequence: index, row0, first_part, part_keys });
                    let parts = (0..context).step_by(part_keys as usize).map(|first_key| Tile {
                        sequence: index,
                        row0,
                        first_key,
                        end_key: first_key + part_keys,
                    });
                    tiles.parts.extend(parts);
                }
            }
            _ => {
                let firsts = (0..rows).step_by(self.whole.rows(self.head_dim) as usize);
                let whole = firsts.map(|row0| Tile { sequence: index, row0, first_key: 0, end_key: u32::MAX });
                tiles.whole.extend(whole);
            }
        }
    }

    /// The most tiles of whole rows that `sequences` sequences with `tokens` tokens in all can have.
    pub fn most_whole(&self, sequences: usize, tokens: usize) -> usize {
        // Every sequence may end in a tile that is not full.
        (tokens * self.ratio as usize).div_ceil(self.whole.rows(self.head_dim) as usize) + sequences
    }

    /// The most merges that `sequences` sequences can have.
    pub fn most_merges(&self, sequences: usize) -> usize {
        self.split.map_or(0, |split| sequences * self.ratio.div_ceil(split.rows(self.ratio)) as usize)
    }

    /// The most parts, filled up, that `sequences` sequences of up to `context` tokens can have.
    pub fn most_parts(&self, sequences: usize, context: usize) -> usize {
        let context = u32::try_from(context).unwrap_or(u32::MAX);
        let Some(split) = self.split else { return 0 };
        let parts = context.div_ceil(split.part_keys()).min(self.max_parts) as usize;
        (self.most_merges(sequences) * parts).next_power_of_two()
    }

    /// Elements of what so many parts leave, `[parts][kv_heads][rows][head_dim + 4]`.
    pub fn partials(&self, kv_heads: u32, parts: usize) -> usize {
        let rows = self.split.map_or(0, |split| split.rows(self.ratio));
        parts * (kv_heads * rows * (self.head_dim + 4)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tiling: &Tiling, position0: u32, tokens: u32) -> Tiles {
        let mut tiles = Tiles::default();
        tiling.push(3, &Sequence { row0: 0, tokens, position0, page_row: 0 }, &mut tiles);
        tiles
    }

    fn tilings() -> impl Iterator<Item = (SplitPath, u32, usize, Tiling)> {
        let ratios = [1, 3, 4, 7, 16].into_iter();
        let all = SplitPath::ALL.into_iter().flat_map(move |split| {
            ratios.clone().flat_map(move |ratio| [1, 8, 100, 1000].map(|sequences| (split, ratio, sequences)))
        });
        all.map(|(split, ratio, sequences)| {
            let tiling = Tiling::new(AttentionPath::Tile, Some(split), 64, ratio, sequences);
            (split, ratio, sequences, tiling)
        })
    }

    #[test]
    fn parts_cover_every_key_of_every_row_once() {
        for (split, ratio, sequences, tiling) in tilings() {
            for context in [1, 64, 65, 4096, 4097, 40_000] {
                let tiles = cut(&tiling, context - 1, 1);
                assert_ne!(tiles.whole.is_empty(), tiles.parts.is_empty());
                let rows: Vec<_> = tiles.merges.iter().map(|merge| merge.row0).collect();
                let all: Vec<_> = (0..ratio).step_by(split.rows(ratio) as usize).collect();
                assert!(tiles.parts.is_empty() || rows == all, "{split:?}, ratio {ratio}, {sequences}: {rows:?}");
                for merge in &tiles.merges {
                    let parts = &tiles.parts[merge.first_part as usize..][..tiling.parts(context) as usize];
                    assert!(parts.len() <= MAX_PARTS as usize);
                    assert!(parts.iter().all(|part| (part.row0, part.sequence) == (merge.row0, merge.sequence)));
                    for (part, first_key) in parts.iter().zip((0..).step_by(merge.part_keys as usize)) {
                        assert_eq!((part.first_key, part.end_key), (first_key, first_key + merge.part_keys));
                    }
                    let last = parts[parts.len() - 1];
                    assert!((last.first_key..last.end_key).contains(&(context - 1)));
                }
            }
        }
    }

    #[test]
    fn the_largest_lists_are_planned_for() {
        for (split, ratio, sequences, tiling) in tilings() {
            let limit = 20_000;
            for context in [1, 63, 65, 1000, 4095, 4096, 4097, 8192, 20_000] {
                let mut tiles = cut(&tiling, context - 1, 1);
                assert!(tiles.whole.len() <= tiling.most_whole(1, 1));
                assert!(tiles.merges.len() * sequences <= tiling.most_merges(sequences));
                tiles.parts = tiles.parts.repeat(sequences);
                tiles.fill_up();
                let (made, most) = (tiles.parts.len(), tiling.most_parts(sequences, limit));
                assert!(made <= most, "{split:?}: {made} of {most} parts of {context} keys, ratio {ratio}");
                assert!(made <= (ratio * MAX_ALL_PARTS) as usize * 2);
            }
        }
    }

    #[test]
    fn a_chunk_is_not_split() {
        let tiling = Tiling::new(AttentionPath::Tile, Some(SplitPath::Tile), 64, 4, 1);
        assert!(cut(&tiling, 4000, 2).parts.is_empty());
        assert!(cut(&tiling, 4000, 1).whole.is_empty());
        let whole_only = Tiling::new(AttentionPath::Tile, None, 64, 4, 1);
        assert!(cut(&whole_only, 4000, 1).parts.is_empty());
    }

    #[test]
    fn few_lengths_of_lists_serve_a_long_decode() {
        let tiling = Tiling::new(AttentionPath::Tile, Some(SplitPath::Tile), 64, 3, 1);
        let lengths: std::collections::HashSet<_> = (0..4096)
            .map(|position| {
                let mut tiles = cut(&tiling, position, 1);
                tiles.fill_up();
                (tiles.whole.len(), tiles.parts.len(), tiles.merges.len())
            })
            .collect();
        assert!(lengths.len() <= 7, "{lengths:?}");
    }
}
