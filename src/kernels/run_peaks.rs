//! The rank of the largest logit of each run of logits: what the best tokens of a row are found by without reading it again.

use bytemuck::{Pod, Zeroable};

use super::{Work, fold};
use crate::recording::{Dispatch, Program, Slice};

/// Logits of a run.
pub const RUN: u32 = 16;

/// Threads of a workgroup.
const WG: u32 = 64;

/// The rank of NaN and of +infinity.
pub const FAULT: u32 = u32::MAX;
/// The rank of -infinity.
pub const RULED_OUT: u32 = 0;

/// A number that rises with the logit; -0 and 0 have the same. Comparing it is safe where compilers may assume that there is
/// neither NaN nor infinity.
pub fn rank_of(logit: f32) -> u32 {
    const SIGN: u32 = 1 << 31;
    match logit.to_bits() {
        _ if logit.is_nan() || logit == f32::INFINITY => FAULT,
        _ if logit == f32::NEG_INFINITY => RULED_OUT,
        bits if bits > SIGN => !bits,
        bits => bits | SIGN,
    }
}

/// Mirrors `Params` of `shaders/run_peaks.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub rows: u32,
    /// Logits of a row.
    pub width: u32,
}

/// Runs of a row of `width` logits; the last may be shorter.
pub fn runs(width: u32) -> u32 {
    width.div_ceil(RUN)
}

/// `peaks[r][i]` = the largest [rank](rank_of) of `logits[r][i * RUN..][..RUN]`.
pub fn dispatch(logits: Slice, peaks: Slice, params: Params) -> Dispatch {
    let program = Program::new("run_peaks", "base").constant("WG", WG).constant("RUN", RUN);
    let grid = fold((params.rows * runs(params.width)).div_ceil(WG));
    Dispatch::new(program, &params, grid).read(0, logits).read_write(1, peaks)
}

/// The work of `rows` rows of `width` logits; a comparison is an operation.
pub fn work(params: Params) -> Work {
    let (rows, width) = (u64::from(params.rows), u64::from(params.width));
    Work { flops: rows * width, read: 4 * rows * width, written: 4 * rows * u64::from(runs(params.width)) }
}
