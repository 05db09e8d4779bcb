//! The twin of `shaders/argmax.wgsl`: the lowest index of the largest logit, unless the row cannot be sampled from.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::argmax::{INVALID, Params};
use crate::kernels::run_peaks::runs;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, width) = (p.rows as usize, p.width as usize);
    if width == 0 {
        return Err(TwinError::Shape("a row of no logits has no largest one"));
    }
    let logits = bindings.read::<f32>(0, rows * width)?;
    bindings.read::<u32>(1, rows * runs(p.width) as usize)?;
    let tokens = bindings.write::<u32>(2, rows)?;
    tokens.par_iter_mut().zip(logits.par_chunks_exact(width)).for_each(|(token, row)| *token = argmax(row));
    Ok(())
}

fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (i, value) in row.iter().enumerate() {
        if value.is_nan() || *value == f32::INFINITY {
            return INVALID;
        }
        if *value > row[best] {
            best = i;
        }
    }
    if row[best] == f32::NEG_INFINITY { INVALID } else { best as u32 }
}
