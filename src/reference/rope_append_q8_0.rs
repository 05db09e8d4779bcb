//! The twin of `shaders/rope_append_q8_0.wgsl`: as `rope_append`, with K and V in blocks of 32 codes.

use super::bindings::{Bindings, TwinError, below};
use super::quantize_q8::quantize_block;
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
            let k_scale = quantize_block(k, &mut k_cache[to + first..][..BLOCK]);
            let v_scale = quantize_block(v, &mut v_cache[to + first..][..BLOCK]);
            scales[(to + first) / BLOCK] = pack([k_scale, v_scale]);
        }
    }
    Ok(())
}
