//! How weights lie on the GPU: a tensor's rows as planes of aligned 32-bit words.
//!
//! GGUF's blocks put a scale in front of their codes, so that an 18-byte block starts anywhere. Here the codes of a row are
//! one plane and its scales another; fifth and sixth bits are a third. All numbers are kept exactly.
//!
//! | type | codes a group of 32 | scales | high bits a group |
//! |---|---|---|---|
//! | F32, F16, BF16 | the values in order | | |
//! | Q8_0 | 8 words of signed bytes | f16 d a group, two a word | |
//! | Q4_0, Q5_0 | 4 words of nibbles | f16 d a group, two a word | Q5: 1 word |
//! | Q4_1, Q5_1 | 4 words of nibbles | f16 (d, m) a group | Q5: 1 word |
//! | Q4_K, Q5_K | 4 words of nibbles | a superblock: f16 (d, dmin), then 8 byte pairs (scale, min) | Q5: 1 word |
//! | Q6_K | 4 words of nibbles | a superblock: f16 d, then 16 signed bytes | 2 words |
//!
//! Word `i` of a group's nibbles holds codes `8i .. 8i + 7`: byte `j` has code `8i + j` below and `8i + 4 + j` above, so that
//! one mask and one shift give four consecutive codes each. Bit `s` of byte `j` of a high word belongs to code
//! `8 (s / 2) + 4 (s % 2) + j`; Q6_K's pair of words does the same with two bits a code.
//!
//! Each plane's row is padded with zeros to what a whole number of blocks of 64 elements takes, so that every block begins
//! where a load of 32 bytes may.

use std::ops::Range;

use crate::formats::DType;
use crate::recording::{Dispatch, Program, Requirement, Slice, Texel};

/// Weights are made of groups of this many elements along a row; a row is a whole number of them.
pub const GROUP: usize = 32;

/// What a row is padded to: the elements that the [kernels for lanes](super::LinearPath::MatvecLanes) take at a time.
const BLOCK: usize = 64;

/// Elements of a superblock of the K types, and words of its repacked scales.
const SUPERBLOCK: usize = 256;
const SUPERBLOCK_SCALE_WORDS: usize = 5;

/// The planes of a tensor, in the order of their bindings.
pub const PLANES: usize = 3;

/// The planes of one shard of a tensor on a device.
#[derive(Clone, Copy, Debug)]
pub struct WeightSlices {
    pub dtype: DType,
    /// First row of the tensor that this shard holds.
    pub row0: u32,
    /// Rows of the shard.
    pub rows: u32,
    /// Elements of a row.
    pub k: u32,
    pub planes: [Option<Slice>; PLANES],
    /// Whether each plane was allocated as [texels](TEXEL) and not as a buffer.
    pub in_texels: bool,
}

impl WeightSlices {
    /// The program for such weights.
    pub(super) fn program(&self, program: Program) -> Program {
        let program = program.weights(shader_name(self.dtype));
        match self.in_texels {
            // Only kernels for lanes have weights there.
            true => program.requires(Requirement::EightLanes).constant("TOGETHER", rows_together(self.dtype) as u32),
            false => program,
        }
    }

    /// Binds the planes at 0, 1 and 2, where `shaders/weights/*.wgsl` and `shaders/shared/planes.wgsl` expect them.
    pub(super) fn bind(&self, dispatch: Dispatch) -> Dispatch {
        let planes = (0..).zip(self.planes).filter_map(|(plane, slice)| Some((plane, slice?)));
        planes.fold(dispatch, |dispatch, (plane, slice)| match self.in_texels {
            true => dispatch.load_texels(plane, slice, TEXEL),
            false => dispatch.read(plane, slice),
        })
    }
}

/// The texels of planes that the kernels for lanes load.
pub const TEXEL: Texel = Texel::FourWords;

/// Words of a piece of a plane, that which belongs to a block of 64 elements: a texel, or that of several rows of one.
fn piece_words(dtype: DType, plane: usize) -> usize {
    match (plane, dtype) {
        (0, _) | (2, DType::Q6_K) => 4,
        (1, DType::Q4_1 | DType::Q5_1) | (2, _) => 2,
        _ => 1,
    }
}

/// The stem of `shaders/weights/NAME.wgsl`.
pub fn shader_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::Q4_0 => "q4_0",
        DType::Q4_1 => "q4_1",
        DType::Q5_0 => "q5_0",
        DType::Q5_1 => "q5_1",
        DType::Q8_0 => "q8_0",
        DType::Q4_K => "q4_k",
        DType::Q5_K => "q5_k",
        DType::Q6_K => "q6_k",
    }
}

/// The storage type whose shader has this name.
pub fn dtype_of_shader(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| shader_name(*dtype) == name)
}

/// In texels a tensor's rows are filled up with zeros to a multiple of this many, of which some [lie together](rows_together).
pub const ROWS_AT_ONCE: usize = 32;

/// Rows that lie together in texels: piece `i` of each, then piece `i + 1` of each. They are those of a workgroup of the
/// matrix-vector product, which so goes through the memory in its order: on lavapipe, a third of the samples in the shaders of
/// decode stood at loads that waited for it when fewer lay together. A lane of that product has more of them until what it
/// holds no longer fits the CPU's registers and its cache for instructions: two of float types, which have many loads a block,
/// and four of others.
pub(super) fn rows_together(dtype: DType) -> usize {
    if dtype.block_len() == 1 { ROWS_AT_ONCE / 2 } else { ROWS_AT_ONCE }
}

/// Where the pieces of a row of a plane lie, in words behind the first of the rows that are together.
fn places(dtype: DType, plane: usize, row: usize) -> impl Iterator<Item = Range<usize>> {
    let (words, together) = (piece_words(dtype, plane), rows_together(dtype));
    (0..).map(move |i| (i * together + row % together) * words).map(move |first| first..first + words)
}

/// The words that a row has of a plane in texels.
pub fn deinterleave(dtype: DType, plane: usize, row_words: usize, row: usize, words: &[u32]) -> Vec<u32> {
    let rows = &words[row / rows_together(dtype) * rows_together(dtype) * row_words..];
    let pieces = row_words / piece_words(dtype, plane);
    places(dtype, plane, row).take(pieces).flat_map(|place| &rows[place]).copied().collect()
}

/// Brings a plane of whole rows of so many words into the order that it has in texels.
pub fn interleave(dtype: DType, plane: usize, row_words: usize, from: &[u32]) -> Vec<u32> {
    let count = (from.len() / row_words).next_multiple_of(ROWS_AT_ONCE);
    let together = rows_together(dtype);
    let mut interleaved = vec![0; count * row_words];
    for (row, from) in from.chunks_exact(row_words).enumerate() {
        let rows = &mut interleaved[row / together * together * row_words..];
        for (piece, place) in from.chunks_exact(piece_words(dtype, plane)).zip(places(dtype, plane, row)) {
            rows[place].copy_from_slice(piece);
        }
    }
    interleaved
}

/// Words of each plane in a row of `k` elements (a multiple of [`GROUP`], and of the type's block).
pub fn row_words(dtype: DType, k: usize) -> [usize; PLANES] {
    let halves = k.div_ceil(BLOCK);
    let groups = halves * (BLOCK / GROUP);
    let superblocks = k / SUPERBLOCK * SUPERBLOCK_SCALE_WORDS;
    match dtype {
        DType::F32 => [groups * GROUP, 0, 0],
        DType::F16 | DType::BF16 => [groups * GROUP / 2, 0, 0],
        DType::Q8_0 => [8 * groups, halves, 0],
        DType::Q4_0 => [4 * groups, halves, 0],
        DType::Q4_1 => [4 * groups, groups, 0],
        DType::Q5_0 => [4 * groups, halves, groups],
        DType::Q5_1 => [4 * groups, groups, groups],
        DType::Q4_K => [4 * groups, superblocks, 0],
        DType::Q5_K => [4 * groups, superblocks, groups],
        DType::Q6_K => [4 * groups, superblocks, 2 * groups],
    }
}

/// Bytes of a row of `k` elements, all planes together.
pub fn row_bytes(dtype: DType, k: usize) -> u64 {
    row_words(dtype, k).iter().map(|words| 4 * *words as u64).sum()
}

/// Repacks whole rows of `k` elements from the file's layout, appending to the planes.
///
/// `bytes` must be a whole number of rows; the loader has checked that.
pub fn repack(dtype: DType, k: usize, bytes: &[u8], planes: &mut [Vec<u32>; PLANES]) {
    let row_bytes = k / dtype.block_len() * dtype.block_bytes();
    let row_words = row_words(dtype, k);
    for row in bytes.chunks_exact(row_bytes) {
        let ends: [usize; PLANES] = std::array::from_fn(|plane| planes[plane].len() + row_words[plane]);
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => planes[0].extend(words(row)),
            DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 | DType::Q8_0 => {
                repack_small_blocks(dtype, row, planes)
            }
            DType::Q4_K | DType::Q5_K => repack_k_blocks(dtype, row, planes),
            DType::Q6_K => repack_q6_k(row, planes),
        }
        for (plane, end) in planes.iter_mut().zip(ends) {
            plane.resize(end, 0);
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Blocks of 32: Q4_0 and Q4_1 (nibbles: codes 0 to 15 below, 16 to 31 above), Q5_0 and Q5_1 (a word of fifth bits before
/// them), Q8_0 (signed bytes).
fn repack_small_blocks(dtype: DType, row: &[u8], planes: &mut [Vec<u32>; PLANES]) {
    let has_min = matches!(dtype, DType::Q4_1 | DType::Q5_1);
    let has_high = matches!(dtype, DType::Q5_0 | DType::Q5_1);
    let mut waiting: Option<u32> = None;
    for block in row.chunks_exact(dtype.block_bytes()) {
        let d = u32::from(u16::from_le_bytes([block[0], block[1]]));
        let (scale, rest) = if has_min {
            (Some(d | u32::from(u16::from_le_bytes([block[2], block[3]])) << 16), &block[4..])
        } else {
            // Two groups' d share a word.
            let pair = waiting.take().map(|first| first | d << 16);
            if pair.is_none() {
                waiting = Some(d);
            }
            (pair, &block[2..])
        };
        planes[1].extend(scale);
        if dtype == DType::Q8_0 {
            planes[0].extend(words(rest));
            continue;
        }
        let (high, nibbles) = if has_high { rest.split_at(4) } else { (&[][..], rest) };
        let mut codes = [0u8; GROUP];
        for (i, byte) in nibbles.iter().enumerate() {
            codes[i] = byte & 0x0f;
            codes[i + 16] = byte >> 4;
        }
        for high in words(high) {
            for (i, code) in codes.iter_mut().enumerate() {
                *code |= ((high >> i) as u8 & 1) << 4;
            }
        }
        push_group(&codes, usize::from(has_high), planes);
    }
    planes[1].extend(waiting);
}

/// Q4_K and Q5_K: superblocks of 256 with packed 6-bit scales; each 64 codes are 32 low nibbles, then 32 high ones; Q5_K's
/// fifth bits are bit `g` of byte `i` for code `i` of group `g`.
fn repack_k_blocks(dtype: DType, row: &[u8], planes: &mut [Vec<u32>; PLANES]) {
    for block in row.chunks_exact(dtype.block_bytes()) {
        planes[1].extend(words(&block[..4]));
        let packed = &block[4..16];
        let pairs: [[u8; 2]; 8] = std::array::from_fn(|g| k_scale_min(g, packed));
        planes[1].extend(words(pairs.as_flattened()));
        let (high, nibbles) = if dtype == DType::Q5_K { block[16..].split_at(32) } else { (&[][..], &block[16..]) };
        for group in 0..8 {
            let shift = 4 * (group % 2);
            let mut codes: [u8; GROUP] = std::array::from_fn(|i| nibbles[group / 2 * 32 + i] >> shift & 0x0f);
            for (code, byte) in codes.iter_mut().zip(high) {
                *code |= (byte >> group & 1) << 4;
            }
            push_group(&codes, usize::from(dtype == DType::Q5_K), planes);
        }
    }
}

/// The 6-bit scale and min of group `g`, as ggml packs them into 12 bytes (`get_scale_min_k4`).
fn k_scale_min(g: usize, packed: &[u8]) -> [u8; 2] {
    if g < 4 {
        [packed[g] & 63, packed[g + 4] & 63]
    } else {
        [packed[g + 4] & 0x0f | packed[g - 4] >> 6 << 4, packed[g + 4] >> 4 | packed[g] >> 6 << 4]
    }
}

/// Q6_K: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d. Each half of 128 codes is four runs of
/// 32: low nibbles of its first and second 32 bytes, then their high ones.
fn repack_q6_k(row: &[u8], planes: &mut [Vec<u32>; PLANES]) {
    for block in row.chunks_exact(DType::Q6_K.block_bytes()) {
        let (low, rest) = block.split_at(128);
        let (high, rest) = rest.split_at(64);
        let (scales, d) = rest.split_at(16);
        planes[1].push(u32::from(u16::from_le_bytes([d[0], d[1]])));
        planes[1].extend(words(scales));
        for group in 0..8 {
            let (half, run) = (group / 4, group % 4);
            let codes: [u8; GROUP] = std::array::from_fn(|i| {
                let nibble = low[half * 64 + run % 2 * 32 + i] >> (4 * (run / 2)) & 0x0f;
                let bits = high[half * 32 + i] >> (2 * run) & 3;
                nibble | bits << 4
            });
            push_group(&codes, 2, planes);
        }
    }
}

/// Appends 32 codes: their nibbles, and `high_bits` further bits a code.
fn push_group(codes: &[u8; GROUP], high_bits: usize, planes: &mut [Vec<u32>; PLANES]) {
    for eight in codes.as_chunks::<8>().0 {
        planes[0].push(u32::from_le_bytes(std::array::from_fn(|j| eight[j] & 0x0f | (eight[4 + j] & 0x0f) << 4)));
    }
    let mut high = [0u32; 2];
    for (i, code) in codes.iter().enumerate() {
        let byte = i % 4 * 8;
        let quad = i / 4; // 0 to 7: the code's place among those of its byte
        match high_bits {
            1 => high[0] |= u32::from(code >> 4 & 1) << (byte + quad),
            2 => high[quad / 4] |= u32::from(code >> 4 & 3) << (byte + 2 * (quad % 4)),
            _ => {}
        }
    }
    planes[2].extend(&high[..high_bits]);
}
