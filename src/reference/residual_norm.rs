//! The twin of `shaders/residual_norm.wgsl`: mean squares in f64.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use super::rms_norm;
use crate::kernels::rms_norm::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, dim) = (p.rows as usize, p.dim4 as usize * 4);
    if dim == 0 {
        return Err(rms_norm::NO_ELEMENTS);
    }
    let delta = bindings.read::<f32>(0, rows * dim)?;
    let weight = bindings.read::<f32>(1, dim)?;
    let x = bindings.write::<f32>(2, rows * dim)?;
    let h = bindings.write::<f32>(3, rows * dim)?;
    let post_weight = match dispatch.program.has_flag("post_norm") {
        true => Some(bindings.read::<f32>(4, dim)?),
        false => None,
    };
    let rows = x.par_chunks_exact_mut(dim).zip(h.par_chunks_exact_mut(dim)).zip(delta.par_chunks_exact(dim));
    rows.for_each(|((x, h), delta)| {
        match post_weight {
            Some(weight) => {
                for (x, delta) in x.iter_mut().zip(rms_norm::normed(delta, weight, &p)) {
                    *x = (f64::from(*x) + delta) as f32;
                }
            }
            None => x.iter_mut().zip(delta).for_each(|(x, delta)| *x += delta),
        }
        for (h, normed) in h.iter_mut().zip(rms_norm::normed(x, weight, &p)) {
            *h = normed as f32;
        }
    });
    Ok(())
}
