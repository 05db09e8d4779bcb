//! The twin of `shaders/gather_rows.wgsl`: a copy of chosen rows.

use super::bindings::{Bindings, TwinError, below, params};
use crate::kernels::gather_rows::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (count, dim) = (p.count as usize, p.dim4 as usize * 4);
    if dim == 0 {
        return Err(TwinError::Shape("rows of no elements cannot be gathered"));
    }
    let x = bindings.read_all::<u32>(0)?;
    let rows = bindings.read::<u32>(1, count)?;
    let y = bindings.write::<u32>(2, count * dim)?;
    for (y, row) in y.chunks_exact_mut(dim).zip(rows) {
        let row = below("a gathered row", *row as usize, x.len() / dim)?;
        y.copy_from_slice(&x[row * dim..][..dim]);
    }
    Ok(())
}
