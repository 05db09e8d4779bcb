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
        return Err(TwinError::Shape("a row of no elements has no norm"));
    }
    let x = bindings.read::<f32>(0, rows * dim)?;
    let weight = bindings.read::<f32>(1, dim)?;
    let y = bindings.write::<f32>(2, rows * dim)?;
    let offset = f64::from(p.offset);
    y.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(dim)).for_each(|(y, x)| {
        let scale = 1.0 / (dot(x, x) / dim as f64 + f64::from(p.eps)).sqrt();
        for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
            *y = (f64::from(*x) * scale * (f64::from(*weight) + offset)) as f32;
        }
    });
    Ok(())
}
