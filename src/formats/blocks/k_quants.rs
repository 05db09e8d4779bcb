//! Blocks of 256 elements in groups, whose scales are themselves quantised against one scale of the block.

use super::half_at;

const LEN: usize = 256;
/// Elements that share a scale in `q4_k` and `q5_k`.
const GROUP: usize = 32;
const GROUPS: usize = LEN / GROUP;
/// Elements that share a scale in `q6_k`.
const SMALL_GROUP: usize = 16;

/// `d: f16, dmin: f16, scales and minima: [u8; 12], codes: [u8; 128]`; an element of group `g` is
/// `d * scale[g] * code - dmin * minimum[g]`.
pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; LEN]) {
    let codes = &block[16..];
    affine_groups(block, out, |group, i| nibble(codes, group, i));
}

/// As `q4_k`, with fifth bits: `d, dmin, scales and minima, fifth bits: [u8; 32], codes: [u8; 128]`. Bit `g` of fifth
/// byte `i` belongs to element `i` of group `g`.
pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; LEN]) {
    let (fifths, codes) = (&block[16..48], &block[48..]);
    affine_groups(block, out, |group, i| nibble(codes, group, i) | (fifths[i] >> group & 1) << 4);
}

/// `low four bits: [u8; 128], high two bits: [u8; 64], scales: [i8; 16], d: f16`; an element of the group `g` of 16 is
/// `d * scale[g] * (code - 32)`.
///
/// Each half of the block has four runs of 32 elements. Runs 0 and 1 have their low bits in the low nibbles of the
/// half's 64 bytes, runs 2 and 3 in the high ones; run `r` has its high bits at `2 * r` of the half's 32 bytes.
pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; LEN]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for (index, out) in out.iter_mut().enumerate() {
        let (half, run, i) = (index / 128, index % 128 / 32, index % 32);
        let low = low[64 * half + 32 * (run % 2) + i] >> (4 * (run / 2)) & 0xf;
        let high = high[32 * half + i] >> (2 * run) & 3;
        let scale = d * f32::from(scales[index / SMALL_GROUP].cast_signed());
        *out = scale * (i32::from(low | high << 4) - 32) as f32;
    }
}

/// Groups of 32 with a six-bit scale and a six-bit minimum each, as `q4_k` and `q5_k` have them.
fn affine_groups<const BYTES: usize>(block: &[u8; BYTES], out: &mut [f32; LEN], code: impl Fn(usize, usize) -> u8) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    for (group, out) in out.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], group);
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        for (i, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(code(group, i)) - minimum;
        }
    }
}

/// The six-bit scale and minimum of a group: those of groups 0 to 3 are the low six bits of bytes 0 to 3 and 4 to 7;
/// those of groups 4 to 7 have their low nibbles in bytes 8 to 11 and their high two bits on top of the former.
fn scale_and_minimum(packed: &[u8], group: usize) -> (u8, u8) {
    if group < GROUPS / 2 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 0xf | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    }
}

/// Groups come in pairs that share 32 bytes: the even one has the low nibbles, the odd one the high ones.
fn nibble(codes: &[u8], group: usize, i: usize) -> u8 {
    codes[group / 2 * GROUP + i] >> (4 * (group % 2)) & 0xf
}
