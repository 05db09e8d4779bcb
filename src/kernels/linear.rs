//! `y = x W^T (+ bias)`: what all matmul kernels compute, and which of them does it. Some compute `y = act(x G^T) * (x U^T)`
//! at once, the gate of a feed-forward network, where the rows of G and U are one matrix.

use bytemuck::{Pod, Zeroable};

use super::gated_activation::Activation;
use super::quantize_q8::Quantized;
use super::weight_layout::{WeightSlices, row_bytes};
use super::{
    LinearPath, Work, matmul, matmul_coop, matmul_dot4, matmul_f16, matmul_lanes, matvec, matvec_dot4, matvec_lanes,
};
use crate::formats::DType;
use crate::recording::{Dispatch, Program, Slice};

/// Mirrors `Params` of `shaders/shared/linear_io.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    /// Rows of x and y.
    pub m: u32,
    /// Rows of this shard of W: columns of y that are written.
    pub n: u32,
    /// Elements of a row of x and of W.
    pub k: u32,
    /// Elements of a row of y.
    pub y_stride: u32,
    /// First column of y that this shard writes, and first element of the bias that it reads.
    pub y_column: u32,
}

/// The slices beside the weights.
#[derive(Clone, Copy, Debug)]
pub struct Slices {
    pub x: Input,
    /// `[m][y_stride]`.
    pub y: Slice,
    /// `[y_stride]`.
    pub bias: Option<Slice>,
}

/// What is multiplied with the weights, `[m][k]`.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    F32(Slice),
    /// For the kernels that [multiply packed bytes](LinearPath::rounds_activations).
    Q8(Quantized),
}

/// One shard of a linear layer over `m` rows, with the kernel that [`Selection::linear`](super::Selection::linear) names for
/// so many.
pub fn with_path(path: LinearPath, weight: &WeightSlices, slices: Slices, m: u32, y_stride: u32) -> Dispatch {
    let params = Params { m, n: weight.rows, k: weight.k, y_stride, y_column: weight.row0 };
    let (program, grid) = program(path, weight, &params);
    finish(program.requires(path.requirement()), grid, weight, slices, &params)
}

/// `y [m][n / 2] = act(gate) * up` for all `n` rows of weights, of which the first half makes the gate, with a kernel that
/// [can do so](LinearPath::gates).
pub fn gated(path: LinearPath, weight: &WeightSlices, activation: Activation, x: Input, y: Slice, m: u32) -> Dispatch {
    let params = Params { m, n: weight.rows, k: weight.k, y_stride: weight.rows / 2, y_column: 0 };
    // As many workgroups as for the rows of weights: each pair of them makes one column of y.
    let (program, grid) = program(path, weight, &params);
    let program = program.flag("gated", true).flag("gelu", activation == Activation::GeluTanh);
    finish(program.requires(path.requirement()), grid, weight, Slices { x, y, bias: None }, &params)
}

fn program(path: LinearPath, weight: &WeightSlices, params: &Params) -> (Program, [u32; 3]) {
    match path {
        LinearPath::Matmul { tm, tn } => matmul::program(tm, tn, params),
        LinearPath::MatmulCoop { size, lanes, block } => matmul_coop::program(size, lanes, block, params),
        LinearPath::MatmulF16 { rows } => matmul_f16::program(rows, params),
        LinearPath::MatmulLanes { rows } => matmul_lanes::program(rows, params),
        LinearPath::Matvec { subgroups, blocks } => matvec::program(subgroups, blocks, params),
        LinearPath::MatvecDot4 { subgroups } => matvec_dot4::program(subgroups, params),
        LinearPath::MatmulDot4 { side } => matmul_dot4::program(side, weight.dtype, params),
        LinearPath::MatvecLanes => matvec_lanes::program(params),
    }
}

fn finish(program: Program, grid: [u32; 3], weight: &WeightSlices, slices: Slices, params: &Params) -> Dispatch {
    let name = super::weight_layout::shader_name(weight.dtype);
    let program = program.weights(name).flag("bias", slices.bias.is_some());
    let cost = [params.m, params.n, params.k].map(u64::from).iter().product();
    let dispatch = Dispatch::new(program, params, grid).costing(cost);
    let dispatch = weight.bind(dispatch).read_write(4, slices.y);
    let dispatch = match slices.x {
        Input::F32(x) => dispatch.read(3, x),
        Input::Q8(x) => dispatch.read(3, x.codes).read(6, x.scales),
    };
    match slices.bias {
        Some(bias) => dispatch.read(5, bias),
        None => dispatch,
    }
}

/// The work of a product of `x [m][k]` with `n` rows of weights, without a bias.
pub fn work(dtype: DType, m: u32, n: u32, k: u32) -> Work {
    let [m, n, inner] = [m, n, k].map(u64::from);
    Work { flops: 2 * m * n * inner, read: n * row_bytes(dtype, k as usize) + 4 * m * inner, written: 4 * m * n }
}
