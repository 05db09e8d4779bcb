//! The twin of `shaders/kv_append.wgsl`: K and V into their slots of the cache.

use half::f16;

use super::bindings::{Bindings, TwinError, below, params};
use crate::kernels::kv_append::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (tokens, width) = (p.tokens as usize, p.kv_heads as usize * p.dim4 as usize * 4);
    if width == 0 {
        return Err(TwinError::Shape("keys of no elements cannot be cached"));
    }
    let k = bindings.read::<f32>(0, tokens * width)?;
    let v = bindings.read::<f32>(1, tokens * width)?;
    let slots = bindings.read::<u32>(2, tokens)?;
    let halves = dispatch.program.has_flag("kv_f16");
    for (from, binding) in [(k, 3), (v, 4)] {
        let cache = bindings.write_all::<u32>(binding)?;
        let slot_words = if halves { width / 2 } else { width };
        for (from, slot) in from.chunks_exact(width).zip(slots) {
            let slot = below("a slot of the KV cache", *slot as usize, cache.len() / slot_words)?;
            let to = &mut cache[slot * slot_words..][..slot_words];
            if halves {
                for (to, pair) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                    *to = pack(*pair);
                }
            } else {
                to.copy_from_slice(bytemuck::cast_slice(from));
            }
        }
    }
    Ok(())
}

/// Two f16 in a word, each rounded to the nearest, ties to even.
pub(super) fn pack([low, high]: [f32; 2]) -> u32 {
    u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16
}
