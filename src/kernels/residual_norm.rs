//! The residual connection and the norm of the next block in one pass: one dispatch, and one barrier, where `add` and
//! `rms_norm` are two (with the norm behind a block, as Gemma has it, three).

use super::rms_norm::{Params, RowThreads};
use super::{Activations, Work, fold};
use crate::recording::{Dispatch, Slice};

/// The slices that the kernel works on: `x`, `h` and `delta` are `[rows][dim]`, weights `[dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    pub delta: Slice,
    pub weight: Slice,
    /// The residual stream, in place.
    pub x: Slice,
    pub h: Activations,
    /// Of the norm that `delta` goes through first, where there is one.
    pub post_weight: Option<Slice>,
}

/// `x += delta`, then `h[r] = x[r] / rms(x[r]) * (weight + offset)`.
pub fn dispatch(threads: RowThreads, slices: Slices, params: Params) -> Dispatch {
    let program = threads.program("residual_norm", params.dim4).flag("post_norm", slices.post_weight.is_some());
    let program = slices.h.flag(program);
    let dispatch = Dispatch::new(program, &params, fold(params.rows))
        .read(0, slices.delta)
        .read(1, slices.weight)
        .read_write(2, slices.x);
    let dispatch = slices.h.bind_output(dispatch, 3);
    match slices.post_weight {
        Some(weight) => dispatch.read(4, weight),
        None => dispatch,
    }
}

/// The work of `rows` rows: an addition, and four operations for each norm, an element. The roots are once a row.
pub fn work(params: Params, post_norm: bool) -> Work {
    let (rows, dim) = (u64::from(params.rows), 4 * u64::from(params.dim4));
    let norms = 1 + u64::from(post_norm);
    Work { flops: (1 + 4 * norms) * rows * dim, read: 4 * (2 * rows * dim + norms * dim), written: 8 * rows * dim }
}
