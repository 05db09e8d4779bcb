//! The twin of `shaders/add.wgsl`: one f32 addition an element.

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::add::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let count = params::<Params>(dispatch)?.count4 as usize * 4;
    let y = bindings.read::<f32>(0, count)?;
    let x = bindings.write::<f32>(1, count)?;
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
    Ok(())
}
