//! The twin of `shaders/to_texels.wgsl`: a copy.

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::to_texels::{PAIR, Params};
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let elements = (p.pairs * PAIR) as usize;
    let x = bindings.read::<u32>(0, elements)?;
    bindings.write::<u32>(1, elements)?.copy_from_slice(x);
    Ok(())
}
