//! The twin of `shaders/rms_norm.wgsl`: the mean square in f64.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use super::dot::dot;
use crate::kernels::rms_norm::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, dim) = (p.rows as usize, p.dim4 as usize * 4);
    if dim == 0 {
        return Err(NO_ELEMENTS);
    }
    let x = bindings.read::<f32>(0, rows * dim)?;
    let weight = bindings.read::<f32>(1, dim)?;
    let y = bindings.write::<f32>(2, rows * dim)?;
    y.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).for_each(|(y, x)| {
        for (y, normed) in y.iter_mut().zip(normed(x, weight, &p)) {
            *y = normed as f32;
        }
    });
    Ok(())
}

pub(super) const NO_ELEMENTS: TwinError = TwinError::Shape("a row of no elements has no norm");

/// `x / rms(x) * (weight + offset)`, not yet rounded.
pub(super) fn normed<'a>(x: &'a [f32], weight: &'a [f32], p: &Params) -> impl Iterator<Item = f64> + 'a {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + f64::from(p.eps)).sqrt();
    let offset = f64::from(p.offset);
    x.iter().zip(weight).map(move |(x, weight)| f64::from(*x) * scale * (f64::from(*weight) + offset))
}
