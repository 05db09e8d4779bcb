//! The twin of `shaders/head_norm.wgsl`: the norm of each head of Q and K, as `rms_norm` takes it.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use super::rms_norm::{NO_ELEMENTS, normed};
use crate::kernels::head_norm::Params;
use crate::kernels::rms_norm;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let [tokens, heads, kv_heads, dim] = [p.tokens, p.heads, p.kv_heads, 4 * p.dim4].map(|v| v as usize);
    let width = (heads + 2 * kv_heads) * dim;
    if width == 0 {
        return Err(NO_ELEMENTS);
    }
    let q_weight = bindings.read::<f32>(0, dim)?;
    let k_weight = bindings.read::<f32>(1, dim)?;
    let qkv = bindings.write::<f32>(2, tokens * width)?;
    let norm = rms_norm::Params { rows: 1, dim4: p.dim4, eps: p.eps, offset: p.offset };
    qkv.par_chunks_exact_mut(width).for_each(|token| {
        for (head, x) in token.chunks_exact_mut(dim).take(heads + kv_heads).enumerate() {
            let weight = if head < heads { q_weight } else { k_weight };
            let normed: Vec<f64> = normed(x, weight, &norm).collect();
            x.iter_mut().zip(normed).for_each(|(x, normed)| *x = normed as f32);
        }
    });
    Ok(())
}
