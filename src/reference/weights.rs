//! Reads weights back from their planes: the reading side of the table in `kernels/weight_layout.rs`, written apart from
//! the repacking, so that a mistake in one is not repeated in the other.

use std::borrow::Cow;

use half::{bf16, f16};

use super::bindings::{Bindings, TwinError};
use crate::formats::DType;
use crate::kernels::weight_layout::{GROUP, PLANES, ROWS_AT_ONCE, deinterleave, dtype_of_shader, row_words};
use crate::recording::Dispatch;

/// Groups of a superblock of the K types, and words of its scales.
const SUPERBLOCK_GROUPS: usize = 8;
const SUPERBLOCK_WORDS: usize = 5;

/// The planes of one shard of a tensor.
pub(super) struct Weights<'a> {
    dtype: DType,
    words: [usize; PLANES],
    planes: [&'a [u32]; PLANES],
    /// Eight rows lie together, texel by texel.
    in_texels: bool,
}

impl<'a> Weights<'a> {
    /// Takes bindings 0 to 2, as many as the program's storage type has planes, with `rows` rows of `k` elements.
    pub(super) fn new(
        dispatch: &Dispatch,
        bindings: &mut Bindings<'a>,
        rows: usize,
        k: usize,
    ) -> Result<Self, TwinError> {
        let dtype = dtype_of_shader(dispatch.program.weights)
            .ok_or(TwinError::Shape("the program names no storage type of weights"))?;
        if !k.is_multiple_of(GROUP.max(dtype.block_len())) {
            return Err(TwinError::Shape("a row of weights must be a whole number of groups and blocks"));
        }
        let words = row_words(dtype, k);
        let in_texels = dispatch.loads_texels(0);
        let rows = if in_texels { rows.next_multiple_of(ROWS_AT_ONCE) } else { rows };
        let mut planes: [&[u32]; PLANES] = [&[]; PLANES];
        for (index, plane) in planes.iter_mut().enumerate() {
            if words[index] > 0 {
                *plane = bindings.read(index as u32, rows * words[index])?;
            }
        }
        Ok(Self { dtype, words, planes, in_texels })
    }

    /// Dequantises row `row` into `out`, which has `k` elements.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        let planes: [Cow<'_, [u32]>; PLANES] = std::array::from_fn(|plane| self.words_of(plane, row));
        let [codes, scales, high]: [&[u32]; PLANES] = std::array::from_fn(|plane| &*planes[plane]);
        match self.dtype {
            DType::F32 => out.copy_from_slice(&bytemuck::cast_slice(codes)[..out.len()]),
            DType::F16 => halves(codes, out, |bits| f16::from_bits(bits).to_f32()),
            DType::BF16 => halves(codes, out, |bits| bf16::from_bits(bits).to_f32()),
            _ => {
                for (group, out) in out.chunks_exact_mut(GROUP).enumerate() {
                    self.group(group, codes, scales, high, out);
                }
            }
        }
    }

    /// A row's part of a plane.
    fn words_of(&self, plane: usize, row: usize) -> Cow<'a, [u32]> {
        let (all, count) = (self.planes[plane], self.words[plane]);
        if !self.in_texels {
            return Cow::Borrowed(&all[row * count..][..count]);
        }
        if count == 0 {
            return Cow::Borrowed(&[]);
        }
        Cow::Owned(deinterleave(self.dtype, plane, count, row, all))
    }

    fn group(&self, group: usize, codes: &[u32], scales: &[u32], high: &[u32], out: &mut [f32]) {
        let q = match self.dtype {
            DType::Q8_0 => signed_bytes(&codes[8 * group..][..8]),
            _ => nibbles(&codes[4 * group..][..4]),
        };
        let q = match self.dtype {
            DType::Q5_0 | DType::Q5_1 | DType::Q5_K => with_fifth_bits(q, high[group]),
            DType::Q6_K => with_two_bits(q, [high[2 * group], high[2 * group + 1]]),
            _ => q,
        };
        match self.dtype {
            DType::Q8_0 => scale(&q, single(scales, group), 0, out),
            DType::Q4_0 => scale(&q, single(scales, group), 8, out),
            DType::Q5_0 => scale(&q, single(scales, group), 16, out),
            DType::Q4_1 | DType::Q5_1 => {
                let [d, m] = pair(scales[group]);
                affine(&q, d, m, out);
            }
            DType::Q4_K | DType::Q5_K => {
                let block = &scales[group / SUPERBLOCK_GROUPS * SUPERBLOCK_WORDS..];
                let [d, dmin] = pair(block[0]);
                let [s, m] = byte_pair(block, group);
                affine(&q, d * f32::from(s), -dmin * f32::from(m), out);
            }
            DType::Q6_K => {
                let block = &scales[group / SUPERBLOCK_GROUPS * SUPERBLOCK_WORDS..];
                let [d, _] = pair(block[0]);
                let halves = byte_pair(block, group).map(|s| d * f32::from(s as i8));
                scale(&q[..16], halves[0], 32, &mut out[..16]);
                scale(&q[16..], halves[1], 32, &mut out[16..]);
            }
            DType::F32 | DType::F16 | DType::BF16 => unreachable!("float types have no groups of codes"),
        }
    }
}

/// Two values a word, the first in the low half.
fn halves(words: &[u32], out: &mut [f32], convert: impl Fn(u16) -> f32) {
    for (word, out) in words.iter().zip(out.chunks_exact_mut(2)) {
        out[0] = convert(*word as u16);
        out[1] = convert((word >> 16) as u16);
    }
}

/// The f16 pair of a word.
fn pair(word: u32) -> [f32; 2] {
    [f16::from_bits(word as u16).to_f32(), f16::from_bits((word >> 16) as u16).to_f32()]
}

/// The f16 of a group where two groups share a word.
fn single(scales: &[u32], group: usize) -> f32 {
    pair(scales[group / 2])[group % 2]
}

/// The two bytes of a group, behind the first word of its superblock.
fn byte_pair(block: &[u32], group: usize) -> [u8; 2] {
    let group = group % SUPERBLOCK_GROUPS;
    let bytes = block[1 + group / 2].to_le_bytes();
    [bytes[group % 2 * 2], bytes[group % 2 * 2 + 1]]
}

/// Four signed bytes a word.
fn signed_bytes(words: &[u32]) -> [i32; GROUP] {
    std::array::from_fn(|i| i32::from(words[i / 4].to_le_bytes()[i % 4] as i8))
}

/// Eight codes a word: byte `j` has code `j` below and code `4 + j` above.
fn nibbles(words: &[u32]) -> [i32; GROUP] {
    std::array::from_fn(|i| {
        let (byte, upper) = (i % 4, i % 8 / 4);
        (words[i / 8] >> (8 * byte + 4 * upper) & 0x0f) as i32
    })
}

/// Code `i` has its fifth bit in byte `i % 4`, at bit `i / 4`.
fn with_fifth_bits(codes: [i32; GROUP], high: u32) -> [i32; GROUP] {
    std::array::from_fn(|i| codes[i] | ((high >> (8 * (i % 4) + i / 4) & 1) << 4) as i32)
}

/// Code `i` has its upper two bits in byte `i % 4` of the word of its half, at bit pair `i % 16 / 4`.
fn with_two_bits(codes: [i32; GROUP], high: [u32; 2]) -> [i32; GROUP] {
    std::array::from_fn(|i| codes[i] | ((high[i / 16] >> (8 * (i % 4) + 2 * (i % 16 / 4)) & 3) << 4) as i32)
}

/// `d * (q - zero)`; exact in f32, whose 24 bits hold every product of an f16, a byte and a code.
fn scale(codes: &[i32], d: f32, zero: i32, out: &mut [f32]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = d * (code - zero) as f32;
    }
}

/// `d * q + m`: one rounding, since the product is exact.
fn affine(codes: &[i32], d: f32, m: f32, out: &mut [f32]) {
    for (out, code) in out.iter_mut().zip(codes) {
        *out = d * *code as f32 + m;
    }
}

#[cfg(test)]
mod tests;
