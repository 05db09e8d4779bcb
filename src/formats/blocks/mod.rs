//! Dequantisation of stored weights to `f32` on the CPU.
//!
//! The block layouts are those of ggml's `ggml-common.h` and the arithmetic, down to its order, that of
//! `ggml-quants.c`, so results are bit for bit those of ggml and gguf-py.

mod k_quants;
mod legacy;

use half::{bf16, f16};

use super::DType;

/// Why a piece of a tensor cannot be dequantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DequantizeError {
    #[error("{bytes} bytes are not whole {dtype} blocks; pass whole rows")]
    PartialBlock { dtype: DType, bytes: usize },
    #[error("the bytes hold {stored} elements and the output {output}; pass an output of {stored}")]
    OutputLen { stored: usize, output: usize },
}

/// Expands `bytes`, whole blocks of `dtype` in file order, to one `f32` an element in `out`. The three float types are
/// converted exactly.
///
/// Scales are not judged: one that is NaN or infinite makes the elements of its block so.
///
/// # Errors
/// [`DequantizeError`] if `bytes` are not whole blocks or `out` has not their number of elements; `out` is not touched.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), DequantizeError> {
    if !bytes.len().is_multiple_of(dtype.block_bytes()) {
        return Err(DequantizeError::PartialBlock { dtype, bytes: bytes.len() });
    }
    let stored = (bytes.len() / dtype.block_bytes()).saturating_mul(dtype.block_len());
    if stored != out.len() {
        return Err(DequantizeError::OutputLen { stored, output: out.len() });
    }
    match dtype {
        DType::F32 => each(bytes, out, |block, [x]| *x = f32::from_le_bytes(*block)),
        DType::F16 => each(bytes, out, |block, [x]| *x = f16::from_le_bytes(*block).to_f32()),
        DType::BF16 => each(bytes, out, |block, [x]| *x = bf16::from_le_bytes(*block).to_f32()),
        DType::Q4_0 => each(bytes, out, legacy::q4_0),
        DType::Q4_1 => each(bytes, out, legacy::q4_1),
        DType::Q5_0 => each(bytes, out, legacy::q5_0),
        DType::Q5_1 => each(bytes, out, legacy::q5_1),
        DType::Q8_0 => each(bytes, out, legacy::q8_0),
        DType::Q4_K => each(bytes, out, k_quants::q4_k),
        DType::Q5_K => each(bytes, out, k_quants::q5_k),
        DType::Q6_K => each(bytes, out, k_quants::q6_k),
    }
    Ok(())
}

/// Applies `block` to every block of `BYTES` bytes and its `LEN` elements.
fn each<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (bytes, out) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        block(bytes, out);
    }
}

/// The `f16` at byte `at` of a block.
fn half_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
