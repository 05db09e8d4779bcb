//! Blocks of 32 elements with one scale, and perhaps one minimum.
//!
//! Four-bit codes lie in 16 bytes: element `i` in the low half of byte `i`, element `i + 16` in its high half. The
//! fifth bits of the `q5` types are one little-endian `u32`, bit `i` for element `i`.

use super::half_at;

const LEN: usize = 32;

/// `d: f16, codes: [u8; 16]`; an element is `d * (code - 8)`.
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; LEN]) {
    let d = half_at(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * (i32::from(nibble(&block[2..], i)) - 8) as f32;
    }
}

/// `d: f16, m: f16, codes: [u8; 16]`; an element is `d * code + m`.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; LEN]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        *out = d * f32::from(nibble(&block[4..], i)) + m;
    }
}

/// `d: f16, fifth bits: u32, codes: [u8; 16]`; an element is `d * (code - 16)`.
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; LEN]) {
    let d = half_at(block, 0);
    for (i, out) in out.iter_mut().enumerate() {
        let code = nibble(&block[6..], i) | bit(&block[2..], i) << 4;
        *out = d * (i32::from(code) - 16) as f32;
    }
}

/// `d: f16, m: f16, fifth bits: u32, codes: [u8; 16]`; an element is `d * code + m`.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; LEN]) {
    let (d, m) = (half_at(block, 0), half_at(block, 2));
    for (i, out) in out.iter_mut().enumerate() {
        let code = nibble(&block[8..], i) | bit(&block[4..], i) << 4;
        *out = d * f32::from(code) + m;
    }
}

/// `d: f16, codes: [i8; 32]`; an element is `d * code`.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; LEN]) {
    let d = half_at(block, 0);
    for (out, &code) in out.iter_mut().zip(&block[2..]) {
        *out = d * f32::from(code.cast_signed());
    }
}

fn nibble(codes: &[u8], i: usize) -> u8 {
    if i < LEN / 2 { codes[i] & 0xf } else { codes[i - LEN / 2] >> 4 }
}

fn bit(bits: &[u8], i: usize) -> u8 {
    bits[i / 8] >> (i % 8) & 1
}
