//! Root mean square layer normalisation (Zhang & Sennrich 2019), also of each head of Q and K.

use bytemuck::{Pod, Zeroable};

use super::{Activations, Work, fold};
use crate::recording::{Dispatch, Program, Requirement, Slice};

/// Mirrors `Params` of `shaders/rms_norm.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub rows: u32,
    /// Vectors of four elements in a row.
    pub dim4: u32,
    pub eps: f32,
    /// Added to the weight: 1 where the checkpoint stores it less one (Gemma in Hugging Face's form).
    pub offset: f32,
}

/// The threads that a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowThreads {
    /// A workgroup, which adds up in its memory.
    Workgroup,
    /// The eight lanes of a subgroup: where a CPU emulates the GPU, a row's barriers take longer than its sum.
    Lanes,
}

impl RowThreads {
    pub const ALL: [RowThreads; 2] = [RowThreads::Workgroup, RowThreads::Lanes];

    pub fn requirement(self) -> Requirement {
        match self {
            RowThreads::Workgroup => Requirement::Nothing,
            RowThreads::Lanes => Requirement::EightLanes,
        }
    }

    /// A kernel's program for rows of so many vectors of four elements: one of a head's size does not feed more than a small
    /// workgroup.
    pub(super) fn program(self, kernel: &'static str, dim4: u32) -> Program {
        let (variant, threads) = match self {
            RowThreads::Workgroup if dim4 <= 64 => ("base", 32),
            RowThreads::Workgroup => ("base", 128),
            RowThreads::Lanes => ("lanes", 8),
        };
        let program = Program::new(kernel, variant).requires(self.requirement()).constant("WG", threads);
        program.flag("lanes", self == RowThreads::Lanes)
    }
}

/// `y[r] = x[r] / rms(x[r]) * (weight + offset)`.
pub fn dispatch(threads: RowThreads, x: Slice, weight: Slice, y: Activations, params: Params) -> Dispatch {
    let program = y.flag(threads.program("rms_norm", params.dim4));
    y.bind_output(Dispatch::new(program, &params, fold(params.rows)).read(0, x).read(1, weight), 2)
}

/// The work of `rows` rows: a square and an addition, then two multiplications an element. The root is once a row.
pub fn work(params: Params) -> Work {
    let (rows, dim) = (u64::from(params.rows), 4 * u64::from(params.dim4));
    Work { flops: 4 * rows * dim, read: 4 * (rows * dim + dim), written: 4 * rows * dim }
}
