//! `y = x W^T (+ bias)`: what all matmul kernels compute, and which of them does it. Some compute `y = act(x G^T) * (x U^T)`
//! at once, the gate of a feed-forward network, where the rows of G and U are one matrix; and some take an RMS norm between
//! them, a half each, as `W (x / rms(x) * weight) = (W (x * weight)) / rms(x)`.

use std::fmt;

use bytemuck::{Pod, Zeroable};

use super::gated_activation::{self, Activation};
use super::quantize_q8::Quantized;
use super::weight_layout::{ROWS_AT_ONCE, WeightSlices, row_bytes};
use super::{
    Activations, LinearPath, Work, matmul, matmul_coop, matmul_dot4, matmul_f16, matmul_lanes, matvec, matvec_dot4,
    matvec_lanes,
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
    /// Of a norm whose halves are products, how many elements of a row one sum of squares is of.
    pub part: u32,
    /// Of that norm: added to the mean square.
    pub eps: f32,
    /// Of that norm: added to its weights.
    pub offset: f32,
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
    Plain(Activations),
    /// For the kernels that [multiply packed bytes](LinearPath::takes_q8).
    Q8(Quantized),
    /// For the kernels that [take half of a norm](LinearPath::part_of_norm).
    Unscaled(Unscaled),
}

/// Rows that are normed but for the division by their root mean square.
#[derive(Clone, Copy, Debug)]
pub struct Unscaled {
    /// Elements times the norm's weights.
    pub x: Activations,
    /// Of each row, the sums of the squares of `part` elements each, [`squares_stride`] apart.
    pub squares: Slice,
    pub part: u32,
    pub eps: f32,
}

/// The residual stream that a product is added to, and what that leaves for the norm behind it.
#[derive(Clone, Copy, Debug)]
pub struct Residual {
    /// `[m][n]`, in place.
    pub stream: Slice,
    /// Of the norm, `[n]`.
    pub weight: Slice,
    pub eps: f32,
    /// Added to the weights.
    pub offset: f32,
    /// The stream times the weights, `[m][n]`; in texels `n` is a multiple of 4.
    pub unscaled: Activations,
    /// [`squares_bytes`].
    pub squares: Slice,
}

/// One shard of a linear layer over `m` rows, with the kernel that [`Selection::linear`](super::Selection::linear) names for
/// so many.
pub fn with_path(path: LinearPath, weight: &WeightSlices, slices: Slices, m: u32, y_stride: u32) -> Dispatch {
    let params = Params { y_stride, y_column: weight.row0, ..whole(weight, m) };
    let (program, grid) = program(path, weight, &params, false);
    let Slices { x, y, bias } = slices;
    let fours = [params.n, params.y_stride, params.y_column].iter().all(|columns| columns.is_multiple_of(4));
    let program = program.flag("bias", bias.is_some()).flag("wide", weight.in_texels && fours);
    let dispatch = finish(path, (program, grid), weight, x, Activations::Buffer(y), params, None);
    bias.into_iter().fold(dispatch, |dispatch, bias| dispatch.read(5, bias))
}

/// Whether a kernel can compute a gate and what goes through it [at once](gated), of which these are the weights: in texels, a
/// half begins among rows that lie together.
pub fn gates(path: LinearPath, weight: &WeightSlices) -> bool {
    path.gates() && (!weight.in_texels || weight.rows.is_multiple_of(2 * ROWS_AT_ONCE as u32))
}

/// `y [m][n / 2] = act(gate) * up` for all `n` rows of weights, of which the first half makes the gate, with a kernel that
/// [can](gates).
pub fn gated(
    path: LinearPath,
    weight: &WeightSlices,
    activation: Activation,
    x: Input,
    y: Activations,
    m: u32,
) -> Dispatch {
    debug_assert!(gates(path, weight), "{} takes no gate of {} rows", path.name(), weight.rows);
    let params = Params { y_stride: weight.rows / 2, ..whole(weight, m) };
    let (program, grid) = program(path, weight, &params, true);
    let program = program.flag("gated", true).flag("gelu", activation == Activation::GeluTanh);
    let program = program.flag("wide", weight.in_texels);
    finish(path, (program, grid), weight, x, y, params, None)
}

/// `stream [m][n] += x W^T` for all rows of weights, and the first half of the norm behind: gives what the product behind
/// that norm takes.
///
/// # Panics
/// If the kernel [cannot](LinearPath::part_of_norm).
pub fn residual(
    path: LinearPath,
    weight: &WeightSlices,
    x: Activations,
    to: &Residual,
    m: u32,
) -> (Dispatch, Unscaled) {
    let part = path.part_of_norm().unwrap_or_else(|| panic!("{} takes no half of a norm", path.name()));
    let params = Params { part, offset: to.offset, ..whole(weight, m) };
    let (program, grid) = program(path, weight, &params, false);
    // The stream is loaded and stored as wide as what lies beside it in texels.
    let (program, x) = (program.flag("residual", true).flag("wide", weight.in_texels), Input::Plain(x));
    let dispatch = finish(path, (program, grid), weight, x, to.unscaled, params, Some(to));
    (dispatch, Unscaled { x: to.unscaled, squares: to.squares, part, eps: to.eps })
}

/// From the sums of squares of a row of so many elements to those of the next one, in a plane of them.
pub fn squares_stride(elements: usize, part: usize) -> usize {
    elements.div_ceil(part).next_multiple_of(8)
}

/// The most bytes of [`Residual::squares`], whichever the kernel.
pub fn squares_bytes(m: usize, n: usize) -> u64 {
    let parts = LinearPath::ALL.into_iter().filter_map(LinearPath::part_of_norm);
    4 * parts.map(|part| (m * squares_stride(n, part as usize)) as u64).max().unwrap_or(0)
}

/// Of all rows of the weights, into rows of y that are as wide.
fn whole(weight: &WeightSlices, m: u32) -> Params {
    let (n, k) = (weight.rows, weight.k);
    Params { m, n, k, y_stride: n, y_column: 0, part: 0, eps: 0.0, offset: 0.0 }
}

fn program(path: LinearPath, weight: &WeightSlices, params: &Params, gated: bool) -> (Program, [u32; 3]) {
    match path {
        LinearPath::Matmul { tm, tn } => matmul::program(tm, tn, params),
        LinearPath::MatmulCoop { size, lanes, block } => matmul_coop::program(size, lanes, block, params),
        LinearPath::MatmulF16 { rows } => matmul_f16::program(rows, params),
        LinearPath::MatmulLanes { rows } => matmul_lanes::program(rows, params),
        LinearPath::Matvec { subgroups, blocks } => matvec::program(subgroups, blocks, params),
        LinearPath::MatvecDot4 { subgroups } => matvec_dot4::program(subgroups, params),
        LinearPath::MatmulDot4 { side } => matmul_dot4::program(side, weight.dtype, params),
        LinearPath::MatvecLanes { rounded } => matvec_lanes::program(rounded, weight.dtype, gated, params),
    }
}

fn finish(
    path: LinearPath,
    (program, grid): (Program, [u32; 3]),
    weight: &WeightSlices,
    x: Input,
    y: Activations,
    mut params: Params,
    onto: Option<&Residual>,
) -> Dispatch {
    if let Input::Unscaled(x) = x {
        debug_assert!(path.part_of_norm().is_some(), "{} takes no half of a norm", path.name());
        (params.part, params.eps) = (x.part, x.eps);
    }
    debug_assert_eq!(path.loads_texels(), weight.in_texels, "{} with weights elsewhere", path.name());
    let program =
        weight.program(program.requires(path.requirement())).flag("unscaled", matches!(x, Input::Unscaled(_)));
    let cost = [params.m, params.n, params.k].map(u64::from).iter().product();
    let dispatch = Dispatch::new(y.flag(program), &params, grid).costing(cost);
    // The residual stream is the first output of every kernel that writes it.
    let dispatch = match onto {
        Some(to) => dispatch.read_write(5, to.stream).read(6, to.weight).read_write(7, to.squares),
        None => dispatch,
    };
    let dispatch = y.bind_output(weight.bind(dispatch), 4);
    match x {
        Input::Plain(x) => x.bind_input(dispatch, 3),
        Input::Q8(x) => dispatch.read(3, x.codes).read(6, x.scales),
        Input::Unscaled(x) => x.x.bind_input(dispatch, 3).read(7, x.squares),
    }
}

/// What a product of few rows does beside, in the same dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fused {
    /// Its half of the norm before it.
    NormBefore,
    /// The same, and the [gate](gated).
    NormBeforeAndGate,
    /// The gate alone.
    Gate,
    /// The sum with the residual stream, and its half of the norm [behind](residual) that.
    NormBehind,
}

impl fmt::Display for Fused {
    /// As names of benchmarks have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fused::NormBefore => "with norm",
            Fused::NormBeforeAndGate => "with norm, gate",
            Fused::Gate => "with gate",
            Fused::NormBehind => "with residual, norm",
        })
    }
}

/// The [work](work()) of a product that does this beside, but for the sums of squares, whose number is the kernel's.
pub fn fused_work(fused: Fused, dtype: DType, m: u32, n: u32, k: u32) -> Work {
    let plain = work(dtype, m, n, k);
    let outputs = u64::from(m) * u64::from(n);
    let scaled = Work { flops: plain.flops + outputs, ..plain };
    let gated = |before: Work| {
        let gate = gated_activation::work(Activation::Silu, m * (n / 2));
        Work { flops: before.flops + gate.flops, written: gate.written, ..before }
    };
    match fused {
        Fused::NormBefore => scaled,
        Fused::NormBeforeAndGate => gated(scaled),
        Fused::Gate => gated(plain),
        // An addition, a product with the norm's weight, a square and its addition.
        Fused::NormBehind => Work {
            flops: plain.flops + 4 * outputs,
            read: plain.read + 4 * outputs + 4 * u64::from(n),
            written: plain.written + 4 * outputs,
        },
    }
}

/// The work of a product of `x [m][k]` with `n` rows of weights, without a bias.
pub fn work(dtype: DType, m: u32, n: u32, k: u32) -> Work {
    let [m, n, inner] = [m, n, k].map(u64::from);
    Work { flops: 2 * m * n * inner, read: n * row_bytes(dtype, k as usize) + 4 * m * inner, written: 4 * m * n }
}
