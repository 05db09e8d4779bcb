//! The twin of `shaders/quantize_q8.wgsl`: activations in blocks of 32 signed bytes.

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::quantize_q8::{BLOCK, Params};
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let blocks = p.blocks as usize;
    let x = bindings.read::<f32>(0, blocks * BLOCK)?;
    let codes = bindings.write::<i8>(1, blocks * BLOCK)?;
    let scales = bindings.write::<f32>(2, blocks)?;
    quantize(x, codes, scales);
    Ok(())
}

/// Writes the codes and the scales of whole blocks.
pub(crate) fn quantize(x: &[f32], codes: &mut [i8], scales: &mut [f32]) {
    for ((x, codes), scale) in x.chunks_exact(BLOCK).zip(codes.chunks_exact_mut(BLOCK)).zip(scales) {
        *scale = quantize_block(x, codes);
    }
}

/// Writes the codes of a block and returns its scale: the largest magnitude has the code 127, and halves are rounded away from
/// zero, as in ggml. Where the largest is not finite or next to nothing, the codes are zeros; so is the scale of the latter.
pub(super) fn quantize_block(values: &[f32], codes: &mut [i8]) -> f32 {
    // NaN is larger than all.
    let largest = values.iter().map(|value| value.abs().to_bits()).max().map_or(0.0, f32::from_bits);
    let scale = largest / 127.0;
    if !scale.is_finite() || scale <= 1e-37 {
        codes.fill(0);
        return if scale.is_finite() { 0.0 } else { scale };
    }
    let inverse = 1.0 / scale;
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (value * inverse).round() as i8;
    }
    scale
}

/// What blocks stand for; one rounding, of the product.
pub(super) fn dequantize(codes: &[i8], scales: &[f32]) -> Vec<f32> {
    let blocks = codes.chunks_exact(BLOCK).zip(scales);
    blocks.flat_map(|(codes, scale)| codes.iter().map(move |code| scale * f32::from(*code))).collect()
}

#[cfg(test)]
mod tests;
