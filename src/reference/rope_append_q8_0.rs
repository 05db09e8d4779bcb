//! The twin of `shaders/rope_append_q8_0.wgsl`: as `rope_append`, with K and V in blocks of 32 codes.

use super::bindings::{Bindings, TwinError, below};
use super::rope_append::{Turned, pack, turn};
use crate::recording::Dispatch;

/// Elements of a block.
const BLOCK: usize = 32;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let Turned { k, v, slots, width } = turn(dispatch, &mut bindings)?;
    if !width.is_multiple_of(BLOCK) {
        return Err(TwinError::Shape("a head of a q8_0 cache must be whole blocks of 32 elements"));
    }
    let k_cache = bindings.write_all::<i8>(4)?;
    let v_cache = bindings.write_all::<i8>(5)?;
    let scales = bindings.write_all::<u32>(6)?;
    let most = (k_cache.len().min(v_cache.len()) / width).min(scales.len() / (width / BLOCK));
    for (token, slot) in slots.iter().enumerate() {
        let to = below("a slot of the KV cache", *slot as usize, most)? * width;
        for first in (0..width).step_by(BLOCK) {
            let [k, v] = [&k, &v].map(|from| &from[token * width + first..][..BLOCK]);
            let k_scale = quantize(k, &mut k_cache[to + first..][..BLOCK]);
            let v_scale = quantize(v, &mut v_cache[to + first..][..BLOCK]);
            scales[(to + first) / BLOCK] = pack([k_scale, v_scale]);
        }
    }
    Ok(())
}

/// Writes the codes of a block and returns its scale: the largest magnitude has the code 127, and halves are rounded away from
/// zero, as in ggml.
fn quantize(values: &[f32], codes: &mut [i8]) -> f32 {
    // NaN is larger than all.
    let largest = values.iter().map(|value| value.abs().to_bits()).max().map_or(0.0, f32::from_bits);
    let scale = largest / 127.0;
    let inverse = if scale > 1e-30 { 1.0 / scale } else { 0.0 };
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (value * inverse).round() as i8;
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_ggml() {
        let mut values = [0.0; BLOCK];
        // The codes of 254 / 127 = 2 are halves of the values.
        values[..6].copy_from_slice(&[254.0, -254.0, 1.0, -1.0, 0.9, -3.0]);
        let mut codes = [9; BLOCK];
        assert_eq!(quantize(&values, &mut codes), 2.0);
        assert_eq!(codes[..7], [127, -127, 1, -1, 0, -2, 0]);
        assert_eq!(quantize(&[0.0; BLOCK], &mut codes), 0.0);
        assert_eq!(codes, [0; BLOCK]);
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for (value, finite) in [(f32::NAN, false), (f32::INFINITY, false), (f32::MAX, true)] {
            let mut values = [1.0; BLOCK];
            values[7] = value;
            assert_eq!(quantize(&values, &mut [0; BLOCK]).is_finite(), finite, "{value}");
        }
    }
}
