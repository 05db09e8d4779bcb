//! The twin of `shaders/run_peaks.wgsl`: the largest rank of each run of a row's logits.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::run_peaks::{Params, RULED_OUT, RUN, rank_of, runs};
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, width) = (p.rows as usize, p.width as usize);
    if width == 0 {
        return Err(TwinError::Shape("a row of no logits has no runs"));
    }
    let runs = runs(p.width) as usize;
    let logits = bindings.read::<f32>(0, rows * width)?;
    let peaks = bindings.write::<u32>(1, rows * runs)?;
    peaks.par_chunks_exact_mut(runs).zip(logits.par_chunks_exact(width)).for_each(|(peaks, row)| {
        for (peak, run) in peaks.iter_mut().zip(row.chunks(RUN as usize)) {
            *peak = run.iter().map(|logit| rank_of(*logit)).max().unwrap_or(RULED_OUT);
        }
    });
    Ok(())
}
