//! What the host tells the device about a step: one buffer with a section for each array of the batch, filled by one write.

use bytemuck::Pod;

use super::ModelError;
use super::config::Config;
use super::rope_table::RopeTable;
use crate::kernels::attention::Sequence;
use crate::kernels::attention_tiles::{Merge, Tile, Tiles, Tiling};
use crate::kernels::sample::Draw;
use crate::recording::{BufferId, ExecutionError, Executor, Slice};
use crate::schedule::Batch;

/// The most that a step may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepLimits {
    pub tokens: usize,
    pub sequences: usize,
    pub logits_rows: usize,
    /// Tokens of the longest sequence.
    pub context: usize,
    /// Pages of the longest sequence.
    pub page_stride: usize,
    /// How queries and keys are cut.
    pub tiling: Tiling,
    /// Some kernels take activations in blocks of q8_0.
    pub takes_q8: bool,
    /// All take them from texels.
    pub in_texels: bool,
}

/// How a step's tokens are chosen on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// They are not: the host takes the logits.
    None,
    /// The largest logit of each row.
    Greedy,
    /// Drawn, each row under a [`Draw`] of its own.
    Drawn,
}

/// The sizes of a step that fix its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepShape {
    pub tokens: u32,
    /// Of whole rows of attention.
    pub tiles: u32,
    /// Of parts of the keys of rows, filled up to a power of two.
    pub parts: u32,
    /// Of those parts.
    pub merges: u32,
    /// There is nothing to merge.
    pub alone: bool,
    pub logits_rows: u32,
    /// Entries of a row of the page table.
    pub page_stride: u32,
    pub choice: Choice,
}

/// The sections on the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sections {
    pub token_ids: Slice,
    pub slot_mapping: Slice,
    pub page_table: Slice,
    pub sequences: Slice,
    pub tiles: Slice,
    pub parts: Slice,
    pub merges: Slice,
    pub logits_rows: Slice,
    /// How each row of logits is drawn from.
    pub draws: Slice,
    /// (cos, sin) of full layers, and of sliding ones (the same where they do not differ).
    pub turns: Slice,
    pub turns_sliding: Slice,
}

/// The buffer, laid out in two ways: what is written is all of it up to the last section's last word, and in a decode step
/// that should not be the gaps that a prefill step leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepInputs {
    whole: Slice,
    /// For steps of no more tokens than there are sequences.
    decode: Sections,
    decode_tokens: usize,
    any: Sections,
}

/// Host-side copies, kept so that a step allocates nothing.
#[derive(Default)]
pub(super) struct Staging {
    sequences: Vec<Sequence>,
    tiles: Tiles,
    turns: Vec<[f32; 2]>,
    words: Vec<u32>,
}

/// Where sections begin: a multiple of wgpu's default storage alignment.
const ALIGNMENT: u64 = 256;

impl Sections {
    /// Lays the sections out from the buffer's start, and says where the last one ends.
    fn layout(buffer: BufferId, config: &Config, limits: StepLimits) -> (Sections, u64) {
        let StepLimits { tokens, sequences, logits_rows, context, page_stride, tiling, .. } = limits;
        let tiles = tiling.most_whole(sequences, tokens);
        let (parts, merges) = (tiling.most_parts(sequences, context), tiling.most_merges(sequences));
        let turns = tokens * (config.head_dim / 2) * size_of::<[f32; 2]>();
        let mut end = 0;
        let mut section = |bytes: usize| {
            let slice = Slice { buffer, offset: end, size: bytes as u64 };
            end += slice.size.next_multiple_of(ALIGNMENT);
            slice
        };
        let token_ids = section(tokens * 4);
        let slot_mapping = section(tokens * 4);
        let page_table = section(sequences * page_stride * 4);
        let sequences = section(sequences * size_of::<Sequence>());
        let tiles = section(tiles * size_of::<Tile>());
        // A slice cannot be empty.
        let parts = section(parts.max(1) * size_of::<Tile>());
        let merges = section(merges.max(1) * size_of::<Merge>());
        let draws_size = logits_rows * size_of::<Draw>();
        let logits_rows = section(logits_rows * 4);
        let draws = section(draws_size);
        // The last, being the longest: what is not used of them is not written.
        let turns = section(turns);
        let turns_sliding = if config.rope_sliding.is_some() { section(turns.size as usize) } else { turns };
        let sections = Sections {
            token_ids,
            slot_mapping,
            page_table,
            sequences,
            tiles,
            parts,
            merges,
            logits_rows,
            draws,
            turns,
            turns_sliding,
        };
        (sections, end)
    }
}

impl StepInputs {
    /// Bytes of all sections.
    pub fn bytes(config: &Config, limits: StepLimits) -> u64 {
        Sections::layout(BufferId(0), config, limits).1
    }

    pub fn allocate(config: &Config, limits: StepLimits, executor: &mut dyn Executor) -> Result<Self, ModelError> {
        let size = Self::bytes(config, limits);
        let buffer = executor.allocate("the inputs of a step", size)?;
        let decode_tokens = limits.sequences.min(limits.tokens);
        let few = StepLimits { tokens: decode_tokens, logits_rows: decode_tokens.min(limits.logits_rows), ..limits };
        Ok(StepInputs {
            whole: Slice { buffer, offset: 0, size },
            decode: Sections::layout(buffer, config, few).0,
            decode_tokens,
            any: Sections::layout(buffer, config, limits).0,
        })
    }

    /// Where a step of so many tokens has its inputs.
    pub fn sections(&self, tokens: usize) -> &Sections {
        if tokens <= self.decode_tokens { &self.decode } else { &self.any }
    }

    /// Writes a batch's arrays, and how its rows are drawn from, and says how large the step is.
    pub fn write(
        &self,
        batch: &Batch,
        draws: &[Draw],
        tiling: &Tiling,
        ropes: &[RopeTable],
        staging: &mut Staging,
        executor: &mut dyn Executor,
    ) -> Result<StepShape, ModelError> {
        staging.sequences.clear();
        staging.tiles.clear();
        for (index, (_, tokens, context)) in batch.sequences().enumerate() {
            let sequence = Sequence {
                row0: batch.query_start[index],
                tokens: tokens as u32,
                position0: (context - tokens) as u32,
                page_row: index as u32,
            };
            tiling.push(index as u32, &sequence, &mut staging.tiles);
            staging.sequences.push(sequence);
        }
        staging.tiles.fill_up();
        let sections = self.sections(batch.num_tokens());
        let mut write = Write { words: &mut staging.words, len: 0 };
        write.put(sections.token_ids, &batch.token_ids)?;
        write.put(sections.slot_mapping, &batch.slot_mapping)?;
        write.put(sections.page_table, &batch.page_table)?;
        write.put(sections.sequences, &staging.sequences)?;
        write.put(sections.tiles, &staging.tiles.whole)?;
        write.put(sections.parts, &staging.tiles.parts)?;
        write.put(sections.merges, &staging.tiles.merges)?;
        write.put(sections.logits_rows, &batch.logits_rows)?;
        write.put(sections.draws, draws)?;
        for (rope, section) in ropes.iter().zip([sections.turns, sections.turns_sliding]) {
            staging.turns.clear();
            rope.push_turns(&batch.positions, &mut staging.turns);
            write.put(section, &staging.turns)?;
        }
        let len = write.len;
        executor.write(self.whole, bytemuck::cast_slice(&staging.words[..len]))?;
        Ok(StepShape {
            tokens: batch.num_tokens() as u32,
            tiles: staging.tiles.whole.len() as u32,
            parts: staging.tiles.parts.len() as u32,
            merges: staging.tiles.merges.len() as u32,
            alone: staging.tiles.alone,
            logits_rows: batch.logits_rows.len() as u32,
            page_stride: batch.page_table_stride,
            choice: Choice::None,
        })
    }
}

/// The buffer's contents, as far as they are known.
struct Write<'a> {
    words: &'a mut Vec<u32>,
    /// Words up to the end of the last section that holds any.
    len: usize,
}

impl Write<'_> {
    /// Puts values at the start of a section.
    fn put<T: Pod>(&mut self, section: Slice, values: &[T]) -> Result<(), ExecutionError> {
        let values: &[u32] = bytemuck::cast_slice(values);
        if values.len() as u64 * 4 > section.size {
            return Err(ExecutionError::BadSlice(section.buffer.0));
        }
        if values.is_empty() {
            return Ok(());
        }
        let start = (section.offset / 4) as usize;
        self.len = self.len.max(start + values.len());
        if self.words.len() < self.len {
            self.words.resize(self.len, 0);
        }
        self.words[start..start + values.len()].copy_from_slice(values);
        Ok(())
    }
}
