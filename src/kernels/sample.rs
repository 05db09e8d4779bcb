//! Draws a token from each row of logits, as [`Sampler`](crate::engine::sampler::Sampler) does on the host.
//!
//! Where a row asks for few best tokens, they are taken out one by one, in their order: the largest logit of all is the
//! largest peak of a run ([`run_peaks`]), and of the runs only that one has to be looked at again. Top-p, min-p and the draw
//! then work on a list that is short and sorted.
//!
//! More are not sorted, since what top-k and top-p keep are all tokens up to a last one: the order is by falling logit, and of
//! equal logits the lower token comes first. That token is found by its rank, between bounds that close in on it; the peaks tell
//! which runs have to be weighed. The draw is then the inverse of the cumulative distribution in the order of tokens. Numbers
//! of tokens are summed in f32: rows of up to 2^24 logits have the top-k that is asked for.

use bytemuck::{Pod, Zeroable};

use super::run_peaks::{self, RUN};
use super::{Work, fold};
use crate::recording::{Dispatch, Program, Slice};

pub use super::run_peaks::Params;

/// The largest top-k whose tokens are drawn from in their order.
pub const MAX_TOP_K: usize = 64;

/// Whether the `top_k` best tokens are sorted for the draw, the best first; if not, it is in the order of tokens.
pub fn is_sorted(top_k: usize) -> bool {
    (1..=MAX_TOP_K).contains(&top_k)
}

/// Threads of a workgroup, which draws from one row.
const WG: u32 = 256;
/// Threads whose best tokens are compared by one thread; as many groups there are at most.
const GROUP: u32 = 16;

/// How a row's token is chosen. Mirrors `Draw` of `shaders/sample.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Draw {
    /// Only so many of the best tokens; 0: all.
    top_k: u32,
    /// Only the fewest of them whose probabilities reach this sum; 1: all.
    top_p: f32,
    /// Only tokens whose logit is at most so much below the largest: `-ln(min_p)`.
    depth: f32,
    /// Above 0.
    temperature: f32,
    /// A random number of [0, 1): the place in the cumulative distribution of what is left.
    unit: f32,
}

impl Draw {
    /// The largest logit, of equal ones the first.
    pub const GREEDY: Draw = Draw { top_k: 1, top_p: 1.0, depth: ALL, temperature: 1.0, unit: 0.0 };

    /// The filters and `temperature` as in [`SamplingOptions`](crate::engine::sampler::SamplingOptions).
    pub fn new(top_k: usize, top_p: f32, min_p: f32, temperature: f32, unit: f32) -> Draw {
        let top_k = u32::try_from(top_k).unwrap_or(u32::MAX);
        let depth = if min_p > 0.0 { -libm::logf(min_p) } else { ALL };
        Draw { top_k, top_p, depth, temperature, unit }
    }

    pub fn top_k(&self) -> usize {
        self.top_k as usize
    }

    pub fn top_p(&self) -> f32 {
        self.top_p
    }

    pub fn depth(&self) -> f32 {
        self.depth
    }

    pub fn temperature(&self) -> f32 {
        self.temperature
    }

    pub fn unit(&self) -> f32 {
        self.unit
    }
}

/// A depth below which no logit lies.
const ALL: f32 = f32::MAX;

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// `[rows][width]`.
    pub logits: Slice,
    /// `[rows][runs(width)]`, as [`run_peaks`] makes them.
    pub peaks: Slice,
    /// `[rows]` of [`Draw`].
    pub draws: Slice,
    /// `[rows]`: a token each, or [`INVALID`](super::argmax::INVALID).
    pub tokens: Slice,
}

/// `tokens[r]` is drawn from `logits[r][0..width]` as `draws[r]` says.
pub fn dispatch(slices: Slices, params: Params) -> Dispatch {
    let program = Program::new("sample", "base")
        .constant("WG", WG)
        .constant("GROUP", GROUP)
        .constant("RUN", RUN)
        .constant("MAX_TOP_K", MAX_TOP_K as u32);
    Dispatch::new(program, &params, fold(params.rows))
        .read(0, slices.logits)
        .read(1, slices.peaks)
        .read(2, slices.draws)
        .read_write(3, slices.tokens)
}

/// The work of `rows` rows: the peaks once, and a run for each token of a list; or else every logit once.
pub fn work(params: Params, draw: &Draw) -> Work {
    let rows = u64::from(params.rows);
    let runs = u64::from(run_peaks::runs(params.width));
    let listed = u64::from(draw.top_k) * u64::from(RUN);
    let looked_at = rows * (runs + if is_sorted(draw.top_k()) { listed } else { u64::from(params.width) });
    Work { flops: looked_at, read: 4 * looked_at, written: 4 * rows }
}
