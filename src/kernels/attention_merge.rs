//! Joins what attention over the parts of a row's keys came to.

use super::attention::{Heads, Params};
use super::attention_tiles::SplitPath;
use super::{Activations, Work};
use crate::recording::{Dispatch, Program, Slice};

/// Threads of a workgroup: several times the vectors of most heads, which share the parts among them; or one subgroup of a
/// CPU that emulates a GPU, where more are run one after the other.
fn threads(path: SplitPath) -> u32 {
    match path {
        SplitPath::Tile => 128,
        SplitPath::Lanes => 8,
    }
}

/// The slices that the kernel works on.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    /// What [`dispatch_split`](super::attention::dispatch_split) left.
    pub partials: Slice,
    pub sequences: Slice,
    pub merges: Slice,
    /// `[tokens][heads][head_dim]`.
    pub out: Activations,
}

/// Over so many [`Merge`](super::attention_tiles::Merge)s.
pub fn dispatch(path: SplitPath, heads: Heads, merges: u32, slices: Slices) -> Dispatch {
    let rows = path.rows(heads.ratio());
    let program = Program::new("attention_merge", "base")
        .constant("D", heads.head_dim)
        .constant("R", rows)
        .constant("WG", threads(path));
    let program = slices.out.flag(program);
    let dispatch = Dispatch::new(program, &Params::new(heads, 0, 0), [merges, heads.kv_heads, rows])
        .read(0, slices.partials)
        .read(4, slices.sequences)
        .read(5, slices.merges);
    slices.out.bind_output(dispatch, 6)
}

/// The work of one token whose keys are in so many parts: a scaled sum of the parts, each with its own exponential.
pub fn work(heads: Heads, parts: u64) -> Work {
    let (dim, vectors) = (u64::from(heads.head_dim), u64::from(heads.heads));
    Work {
        flops: vectors * (parts * (2 * dim + 3) + dim),
        read: 4 * vectors * parts * (dim + 2),
        written: 4 * vectors * dim,
    }
}
