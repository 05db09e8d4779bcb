//! The greedy choice: the index of each row's largest logit.

use bytemuck::{Pod, Zeroable};

use super::{Work, fold};
use crate::recording::{Dispatch, Program, Slice};

/// Stands for the token of a row that cannot be sampled from: one with NaN or +infinity, or with nothing but -infinity.
/// -infinity beside finite logits is a token ruled out, and no fault.
pub const INVALID: u32 = u32::MAX;

/// Mirrors `Params` of `shaders/argmax.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub rows: u32,
    pub width: u32,
}

/// `tokens[r]` = index of the maximum of `logits[r][0..width]`, or [`INVALID`].
pub fn dispatch(logits: Slice, tokens: Slice, params: Params) -> Dispatch {
    let program = Program::new("argmax", "base").constant("WG", 256);
    Dispatch::new(program, &params, fold(params.rows)).read(0, logits).read_write(1, tokens)
}

/// The work of `rows` rows of `width` logits; a comparison is an operation.
pub fn work(params: Params) -> Work {
    let (rows, logits) = (u64::from(params.rows), u64::from(params.rows) * u64::from(params.width));
    Work { flops: logits, read: 4 * logits, written: 4 * rows }
}
