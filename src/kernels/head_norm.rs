//! RMSNorm of each head of Q and K, in place.

use bytemuck::{Pod, Zeroable};

use super::rms_norm::RowThreads;
use super::{Work, fold};
use crate::recording::{Dispatch, Slice};

/// Mirrors `Params` of `shaders/head_norm.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub tokens: u32,
    /// Of Q.
    pub heads: u32,
    /// Of K, and of V, which is left as it is.
    pub kv_heads: u32,
    /// Vectors of four elements in a head.
    pub dim4: u32,
    /// As in [`rms_norm`](super::rms_norm::Params).
    pub eps: f32,
    /// As in [`rms_norm`](super::rms_norm::Params).
    pub offset: f32,
}

/// The weights of Q's heads and of K's, `[head_dim]` each.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    pub query: Slice,
    pub key: Slice,
}

/// `x = x / rms(x) * (weight + offset)` for each head `x` of Q and K in `qkv [tokens][heads + 2 kv_heads][head_dim]`.
pub fn dispatch(threads: RowThreads, qkv: Slice, weights: Weights, params: Params) -> Dispatch {
    let program = threads.program("head_norm", params.dim4);
    let grid = fold(params.tokens * (params.heads + params.kv_heads));
    Dispatch::new(program, &params, grid).read(0, weights.query).read(1, weights.key).read_write(2, qkv)
}

/// The work of the heads' norms, and both weights.
pub fn work(params: Params) -> Work {
    let heads = u64::from(params.tokens) * u64::from(params.heads + params.kv_heads);
    let dim = 4 * u64::from(params.dim4);
    Work { flops: 4 * heads * dim, read: 4 * (heads * dim + 2 * dim), written: 4 * heads * dim }
}
