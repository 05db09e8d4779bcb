//! The greedy choice: the index of each row's largest logit, found by the [peaks](run_peaks) of its runs.

use super::run_peaks::{self, RUN};
use super::{Work, fold};
use crate::recording::{Dispatch, Program, Slice};

pub use super::run_peaks::Params;

/// Stands for the token of a row that cannot be sampled from: one with NaN or +infinity, or with nothing but -infinity.
/// -infinity beside finite logits is a token ruled out, and no fault.
pub const INVALID: u32 = u32::MAX;

/// `tokens[r]` = index of the maximum of `logits[r][0..width]`, or [`INVALID`]. `peaks`: `[rows][runs(width)]`, as
/// [`run_peaks`] makes them.
pub fn dispatch(logits: Slice, peaks: Slice, tokens: Slice, params: Params) -> Dispatch {
    let program = Program::new("argmax", "base").constant("WG", 256).constant("RUN", RUN);
    Dispatch::new(program, &params, fold(params.rows)).read(0, logits).read(1, peaks).read_write(2, tokens)
}

/// The work of `rows` rows of `width` logits: every peak, and a run. A comparison is an operation.
pub fn work(params: Params) -> Work {
    let rows = u64::from(params.rows);
    let looked_at = rows * u64::from(run_peaks::runs(params.width) + RUN.min(params.width));
    Work { flops: looked_at, read: 4 * looked_at, written: 4 * rows }
}
