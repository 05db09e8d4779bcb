//! Cases of the kernels that compute `y = x W^T (+ bias)`, or a gate with what goes through it, or a half of a norm.

use super::embed::planes;
use super::{Case, FOLDED_WORKGROUPS, activations};
use crate::formats::DType;
use crate::kernels::gated_activation::Activation::{self, GeluTanh, Silu};
use crate::kernels::linear::{Fused, Input, Residual, Slices, Unscaled, gated, residual, squares_stride, with_path};
use crate::kernels::quantize_q8::{BLOCK, Quantized};
use crate::kernels::weight_layout::{ROWS_AT_ONCE, TEXEL, interleave, row_words};
use crate::kernels::{LinearPath, Selection, WeightSlices};
use crate::recording::{Dispatch, Slice};
use crate::reference::quantize_q8::quantize;
use crate::verify::tolerances::{HALF_OUTLIERS, SUMMED_LONG, SUMMED_ROUNDED};
use crate::verify::{Elements, Random, Tensor};

/// One product.
#[derive(Clone, Copy)]
struct Linear {
    path: LinearPath,
    dtype: DType,
    m: usize,
    /// Rows of the shard.
    n: usize,
    k: usize,
    /// First row of the shard in the tensor.
    row0: usize,
    /// Rows of the tensor.
    total: usize,
    bias: bool,
    /// Half of the rows make a gate, of a whole tensor without a bias.
    gate: Option<Activation>,
    norm: Option<NormSide>,
    /// What the values of x are below, and what weights of f32 are multiplied by.
    sizes: [f32; 2],
    /// The last element of x, and that of W if it is f32, is this much larger than the others may be.
    outlier: f32,
    /// Groups of x are codes of 8 bits with a scale, which are rounded to themselves whatever a scale's last bit is.
    x_in_codes: bool,
    /// All elements of x are the largest, and all codes of W the least: their sums are as far from zero as they get.
    extreme: bool,
}

/// On which side of a product is the norm that it takes a half of.
#[derive(Clone, Copy)]
enum NormSide {
    /// Behind: the product is added to the residual stream, of a whole tensor without a bias. The norm adds the offset to its
    /// weights.
    Behind { offset: f32 },
    /// Before: x still lacks the factor, of mean squares below this.
    Before { squares: f32 },
}

const EPS: f32 = 1e-5;

/// Rows of weights: one group, an odd number of them, and a model's; one superblock and more for the K types.
pub(super) fn k_for(dtype: DType, i: usize) -> usize {
    match dtype.block_len() {
        256 => [256, 768, 512][i % 3],
        _ => [96, 576, 32, 320][i % 4],
    }
}

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for path in selection.linear_paths(1) {
        match path {
            // A tile is as wide as high here.
            LinearPath::Matmul { tm, .. } => push_matrix(cases, path, 16 * tm as usize, 16 * tm as usize),
            LinearPath::MatmulDot4 { side } => push_matrix(cases, path, 16 * side as usize, 16 * side as usize),
            LinearPath::MatmulF16 { rows } => push_half_matrix(cases, path, rows as usize, 64),
            LinearPath::MatmulCoop { block, .. } => push_half_matrix(cases, path, block as usize, block as usize),
            LinearPath::MatmulLanes { rows, .. } => push_matrix(cases, path, rows as usize, 64),
            LinearPath::Matvec { blocks: true, .. } => push_blocks(cases, path, 4),
            LinearPath::Matvec { blocks: false, .. } | LinearPath::MatvecDot4 { .. } => push_vector(cases, path, 4),
            LinearPath::MatvecLanes { .. } => {
                push_vector(cases, path, 32);
                push_blocks(cases, path, 32);
            }
        }
        push_long(cases, path);
    }
}

/// The types that a kernel takes, with their numbers.
fn types(path: LinearPath) -> impl Iterator<Item = (usize, DType)> {
    DType::ALL.into_iter().enumerate().filter(move |(_, dtype)| path.takes(*dtype))
}

/// A float type, or where the kernel takes none, one with a minimum.
fn plain(path: LinearPath, float: DType) -> DType {
    if path.takes(float) { float } else { DType::Q4_1 }
}

/// Whether a kernel gets activations that it rounds itself.
fn rounds_as_it_loads(path: LinearPath) -> bool {
    path.rounds_activations() && !path.takes_q8()
}

/// Cases of a kernel that makes tiles of `rows` x `columns`.
fn push_matrix(cases: &mut Vec<Case>, path: LinearPath, rows: usize, columns: usize) {
    let ms = [rows + 1, 1, rows - 1, rows, 33, 2 * rows + 3];
    let ns = [columns - 1, columns + 1, 1, columns, 2 * columns + 7, 70];
    for (i, dtype) in types(path) {
        push_case(cases, whole(path, dtype, ms[i % 6], ns[i % 6], k_for(dtype, i)));
    }
    // Every m with one type, whose pipeline there is already.
    for (i, m) in ms.into_iter().enumerate() {
        push_case(cases, whole(path, plain(path, DType::F32), m, ns[(i + 1) % 6], k_for(DType::F32, i)));
    }
    // Full tiles only: tiles that overlap would leave the last columns out.
    push_case(cases, whole(path, plain(path, DType::F32), 3, 3 * columns, 96));
    let odd = whole(path, DType::Q8_0, rows + 5, columns + 9, 96);
    push_case(cases, Linear { bias: true, ..odd });
    push_case(cases, Linear { row0: 32, total: 300, ..odd });
    push_case(cases, Linear { row0: 32, total: columns + 41, bias: true, ..odd });
    if path.loads_texels() {
        push_fours(cases, whole(path, DType::Q4_0, rows + 5, columns + 8, 96));
    }
    if path.gates() {
        let gate = |gate, m, n, of| Linear { gate: Some(gate), ..whole(path, of, m, gate_rows(path, n), k_for(of, n)) };
        push_case(cases, gate(Silu, rows - 1, columns, DType::Q4_1));
        push_case(cases, gate(GeluTanh, 2 * rows + 1, 3 * columns, plain(path, DType::F16)));
    }
}

/// Cases of rows that are stored four columns at a time.
fn push_fours(cases: &mut Vec<Case>, fours: Linear) {
    push_case(cases, Linear { bias: true, ..fours });
    push_case(cases, Linear { row0: 32, total: fours.n + 36, bias: true, ..fours });
}

/// Cases of a kernel that makes tiles of `rows` x `columns` from values that it brings into the range of f16.
fn push_half_matrix(cases: &mut Vec<Case>, path: LinearPath, rows: usize, columns: usize) {
    push_matrix(cases, path, rows, columns);
    // Beyond what f16 holds, as in real models' widest layers, and what it would make zeros of. Weights as large and as small
    // are no model's, but a file may have them.
    for sizes in [[1e4, 1.0], [3e8, 1.0], [1e-6, 1.0], [1e-30, 1e20], [1.0, 1e3], [1.0, 1e-9], [1e20, 1e15]] {
        push_case(cases, Linear { sizes, ..whole(path, DType::F32, rows + 2, 9, 96) });
    }
    // One outlier of each, as in real models' activations.
    let outliers = Linear { outlier: 1e6, ..whole(path, DType::F32, rows + 1, columns + 1, 96) };
    cases.push(case(outliers).within(&HALF_OUTLIERS));
    push_case(cases, Linear { sizes: [3e5, 1.0], ..whole(path, DType::Q4_K, rows + 3, columns + 2, 256) });
}

/// Cases of a kernel for few rows of x that makes `columns` outputs a workgroup.
fn push_vector(cases: &mut Vec<Case>, path: LinearPath, columns: usize) {
    let ns = [columns + 1, 1, columns, 2 * columns - 1, 67];
    for (i, dtype) in types(path) {
        push_case(cases, whole(path, dtype, 1, ns[i % 5], k_for(dtype, i + 1)));
    }
    for (i, m) in [2, 3, 8].into_iter().enumerate() {
        for dtype in [plain(path, DType::F16), DType::Q4_0, DType::Q6_K] {
            push_case(cases, whole(path, dtype, m, ns[i], k_for(dtype, i)));
        }
    }
    push_case(cases, whole(path, plain(path, DType::F16), 5, 9, 576));
    push_case(cases, whole(path, DType::Q4_0, 1, 9, 8192));
    push_case(cases, whole(path, DType::Q4_0, 1, columns * FOLDED_WORKGROUPS - 1, 32));
    let odd = whole(path, DType::Q8_0, 3, columns + 9, 96);
    push_case(cases, Linear { bias: true, ..odd });
    push_case(cases, Linear { row0: 32, total: 300, ..odd });
    push_case(cases, Linear { row0: 32, total: columns + 41, bias: true, ..odd });
    if path.loads_texels() {
        push_fours(cases, whole(path, DType::Q8_0, 2, columns + 8, 96));
        push_fours(cases, whole(path, plain(path, DType::BF16), 3, columns + 4, 96));
    }
    // One column, a workgroup's or less, and more. As large as activations get, and as small.
    let gate = |gate, m, n, x, of| Linear {
        gate: Some(gate),
        sizes: [x, 1.0],
        ..whole(path, of, m, gate_rows(path, n), k_for(of, n))
    };
    push_case(cases, gate(Silu, 1, 2, 1.0, DType::Q8_0));
    push_case(cases, gate(GeluTanh, 1, columns, 1.0, DType::Q4_0));
    push_case(cases, gate(Silu, 3, 2 * columns + 6, 0.01, plain(path, DType::F16)));
    push_case(cases, gate(GeluTanh, 8, columns + 2, 10.0, DType::Q6_K));
    push_case(cases, Linear { k: 32, ..gate(Silu, 1, 2 * columns * FOLDED_WORKGROUPS - 2, 1.0, DType::Q4_0) });
    if rounds_as_it_loads(path) {
        for dtype in [DType::Q4_0, DType::Q5_0, DType::Q6_K, DType::Q8_0] {
            push_case(cases, Linear { extreme: true, ..whole(path, dtype, 1, columns, 256) });
        }
        for dtype in [DType::Q4_1, DType::Q8_0] {
            let between = Linear { x_in_codes: false, ..whole(path, dtype, 3, columns + 9, 96) };
            cases.push(case(between).within(&SUMMED_ROUNDED));
        }
        // Next to nothing, whose scale has no inverse.
        push_case(cases, Linear { sizes: [1e-36, 1.0], ..whole(path, DType::Q8_0, 1, columns, 96) });
    }
    if path.part_of_norm().is_some() {
        push_norm_sides(cases, path, columns);
    }
}

/// Rows of weights of a gate and what goes through it, `n` or as many more as in texels make whole halves.
fn gate_rows(path: LinearPath, n: usize) -> usize {
    if path.loads_texels() { n.next_multiple_of(2 * ROWS_AT_ONCE) } else { n }
}

/// Cases of a kernel for few rows with the norm before or behind it.
fn push_norm_sides(cases: &mut Vec<Case>, path: LinearPath, columns: usize) {
    // In texels, rows are whole ones.
    let behind = |offset, m, n: usize, of| {
        let n = if path.loads_texels() { n.next_multiple_of(4) } else { n };
        Linear { norm: Some(NormSide::Behind { offset }), ..whole(path, of, m, n, k_for(of, n)) }
    };
    push_case(cases, behind(0.0, 1, 1, DType::Q8_0));
    push_case(cases, behind(1.0, 1, columns, DType::Q4_0));
    push_case(cases, behind(0.0, 3, 2 * columns + 3, plain(path, DType::F16)));
    push_case(cases, behind(1.0, 8, 5 * columns - 1, DType::Q6_K));
    // One sum of squares more than a whole load of them.
    push_case(cases, behind(0.0, 2, 8 * columns + 1, DType::Q4_0));
    push_case(cases, Linear { k: 32, ..behind(0.0, 1, columns * FOLDED_WORKGROUPS - 1, DType::Q4_0) });

    let before =
        |squares, m, n, of| Linear { norm: Some(NormSide::Before { squares }), ..whole(path, of, m, n, k_for(of, n)) };
    push_case(cases, before(1.0, 1, 1, DType::Q8_0));
    // More sums than the threads of a workgroup take at once, and fewer; as large as they get, and where eps decides.
    push_case(cases, Linear { k: 8192, ..before(1e6, 1, columns, DType::Q4_0) });
    push_case(cases, Linear { k: 32, ..before(1e-7, 5, columns + 1, plain(path, DType::F16)) });
    push_case(cases, Linear { bias: true, row0: 32, total: columns + 41, ..before(1.0, 3, columns + 9, DType::Q8_0) });
    for (m, activation) in [(1, Silu), (8, GeluTanh)] {
        let rows = gate_rows(path, 2 * columns + 6);
        push_case(cases, Linear { gate: Some(activation), ..before(1.0, m, rows, DType::Q4_K) });
    }
}

/// Nested loops of more than 65,535 turns in all: over k, and over what a thread makes of each part of it.
fn push_long(cases: &mut Vec<Case>, path: LinearPath) {
    use LinearPath::{MatmulDot4, MatmulLanes, Matvec, MatvecDot4, MatvecLanes};
    if matches!(
        path,
        Matvec { blocks: true, .. }
            | MatmulLanes { rows: 16, .. }
            | MatvecLanes { rounded: true }
            | MatvecDot4 { subgroups: true }
            | MatmulDot4 { side: 4 }
    ) {
        // The same loops as without blocks, subgroups or rounding, or with fewer rows.
        return;
    }
    let (dtype, m, k) = match path {
        LinearPath::Matmul { .. } | LinearPath::MatmulF16 { .. } | LinearPath::MatmulCoop { .. } => {
            (DType::F32, 2, 1 << 16)
        }
        LinearPath::MatmulLanes { .. } => (DType::F32, 2, 1 << 19),
        LinearPath::Matvec { .. } => (DType::Q4_0, 8, 1 << 20),
        LinearPath::MatvecLanes { .. } => (DType::Q4_0, 1, 1 << 22),
        LinearPath::MatvecDot4 { .. } => (DType::Q4_0, 8, 1 << 21),
        LinearPath::MatmulDot4 { .. } => (DType::Q8_0, 2, 1 << 18),
    };
    let long = case(whole(path, dtype, m, 6, k));
    cases.push(if path.multiplies_halves() { long } else { long.within(&SUMMED_LONG) });
}

/// Cases of a kernel for few rows that gets more of them, in blocks of eight; fewer and eight are among its own.
fn push_blocks(cases: &mut Vec<Case>, path: LinearPath, columns: usize) {
    for (i, dtype) in types(path) {
        push_case(cases, whole(path, dtype, [9, 16, 37][i % 3], [columns + 1, 67, 1][i % 3], k_for(dtype, i)));
    }
    // Folded where a workgroup makes few columns; where it makes many, so many rows of y fill no buffer.
    push_case(cases, whole(path, DType::Q4_0, 9, 4 * FOLDED_WORKGROUPS - 1, 32));
    push_case(
        cases,
        Linear { row0: 32, total: columns + 41, bias: true, ..whole(path, DType::Q8_0, 21, columns + 9, 96) },
    );
    push_case(
        cases,
        Linear { gate: Some(Silu), ..whole(path, DType::Q8_0, 11, gate_rows(path, 2 * columns + 10), 96) },
    );
}

/// The planes that a storage type has.
pub(super) fn weights(
    name: &'static str,
    dtype: DType,
    k: usize,
    planes: [Vec<u32>; 3],
    in_texels: bool,
) -> impl Iterator<Item = Tensor> {
    let planes = planes.into_iter().enumerate().filter(|(_, words)| !words.is_empty());
    planes.map(move |(plane, words)| match in_texels {
        true => Tensor::u32(name, interleave(dtype, plane, row_words(dtype, k)[plane], &words)).in_texels(TEXEL),
        false => Tensor::u32(name, words),
    })
}

fn whole(path: LinearPath, dtype: DType, m: usize, n: usize, k: usize) -> Linear {
    Linear {
        path,
        dtype,
        m,
        n,
        k,
        row0: 0,
        total: n,
        bias: false,
        gate: None,
        norm: None,
        sizes: [1.0; 2],
        outlier: 1.0,
        x_in_codes: rounds_as_it_loads(path),
        extreme: false,
    }
}

/// `y = x W^T` for `m` rows of x and a whole `W [n][k]`.
pub(crate) fn product(path: LinearPath, dtype: DType, m: usize, n: usize, k: usize) -> Case {
    case(whole(path, dtype, m, n, k))
}

/// The same with what it does beside in a decode step; with a gate, `n` is even.
pub(crate) fn fused(path: LinearPath, dtype: DType, m: usize, n: usize, k: usize, fused: Fused) -> Case {
    let before = Some(NormSide::Before { squares: 1.0 });
    let (gate, norm) = match fused {
        Fused::NormBefore => (None, before),
        Fused::NormBeforeAndGate => (Some(Silu), before),
        Fused::Gate => (Some(Silu), None),
        Fused::NormBehind => (None, Some(NormSide::Behind { offset: 0.0 })),
    };
    case(Linear { gate, norm, ..whole(path, dtype, m, n, k) })
}

fn push_case(cases: &mut Vec<Case>, linear: Linear) {
    cases.push(case(linear));
}

fn case(linear: Linear) -> Case {
    let Linear { m, n, k, row0, total, .. } = linear;
    let mut shape = format!("m {m}, n {n}, k {k}, rows {row0}..{} of {total}", row0 + n);
    if let Some(activation) = linear.gate {
        shape += &format!(", {activation:?} of the first half");
    }
    match linear.norm {
        Some(NormSide::Behind { offset }) => shape += &format!(", onto the residual stream, offset {offset}"),
        Some(NormSide::Before { squares }) => shape += &format!(", of a norm with mean squares to {squares:e}"),
        None => {}
    }
    if linear.sizes != [1.0; 2] {
        let [x, w] = linear.sizes;
        shape += &format!(", x of {x:e}, W of {w:e}");
    }
    if linear.outlier != 1.0 {
        shape += &format!(", outliers of {:e}", linear.outlier);
    }
    if rounds_as_it_loads(linear.path) && !linear.x_in_codes {
        shape += ", x between codes";
    }
    if linear.extreme {
        shape += ", the largest sums";
    }
    Case::new(shape, move |random| linear.tensors(random), move |s| linear.dispatch(s))
}

impl Linear {
    fn tensors(&self, random: &mut Random) -> Vec<Tensor> {
        let mut x = random.floats(self.m * self.k, self.sizes[0]);
        x[self.m * self.k - 1] *= self.outlier;
        if self.x_in_codes {
            x.iter_mut().for_each(|x| *x = (*x / self.sizes[0] * 127.0).round() * (self.sizes[0] / 127.0));
            x.iter_mut().step_by(BLOCK).for_each(|x| *x = self.sizes[0]);
        }
        // Before what there are more of for one kernel than for another, so that all get the same weights.
        let mut planes = random.weights(self.dtype, self.n, self.k);
        if self.extreme {
            x.fill(self.sizes[0]);
            let least = if self.dtype == DType::Q8_0 { i8::MIN } else { 0 };
            planes[0].fill(u32::from_ne_bytes([least.cast_unsigned(); 4]));
            planes[2].fill(0);
        }
        let width = if self.gate.is_some() { self.total / 2 } else { self.total };
        let mut tensors = vec![Tensor::output("y", self.m * width, Elements::F32).for_product(self.y_in_texels())];
        tensors.extend(self.input(x));
        let sums = |elements: usize| self.m * squares_stride(elements, self.part() as usize);
        match self.norm {
            Some(NormSide::Behind { .. }) => {
                tensors.push(Tensor::in_place("stream", random.floats(self.m * self.n, 2.0)));
                tensors.push(Tensor::f32("norm_weight", random.floats(self.n, 2.0)));
                tensors.push(Tensor::output("squares", sums(self.n), Elements::F32));
            }
            Some(NormSide::Before { squares }) => {
                let limit = (squares * self.part() as f32).sqrt();
                let roots = random.floats(sums(self.k), limit);
                tensors.push(Tensor::f32("squares", roots.into_iter().map(|root| root * root).collect()));
            }
            None => {}
        }
        if self.bias {
            tensors.push(Tensor::f32("bias", random.floats(self.total, 4.0)));
        }
        if self.dtype == DType::F32 {
            let weights: &mut [f32] = bytemuck::cast_slice_mut(&mut planes[0]);
            weights.iter_mut().for_each(|weight| *weight *= self.sizes[1]);
            weights[(self.n - 1) * row_words(self.dtype, self.k)[0] + self.k - 1] *= self.outlier;
        }
        let in_texels = self.path.loads_texels();
        tensors.extend(weights("weights", self.dtype, self.k, planes, in_texels));
        tensors
    }

    /// Whether what it makes is for another product that takes texels.
    fn y_in_texels(&self) -> bool {
        let for_product = self.gate.is_some() || matches!(self.norm, Some(NormSide::Behind { .. }));
        for_product && self.path.loads_texels()
    }

    /// Elements of a sum of squares.
    fn part(&self) -> u32 {
        self.path.part_of_norm().expect("a kernel that takes half of a norm")
    }

    /// The activations as the kernel takes them.
    fn input(&self, x: Vec<f32>) -> Vec<Tensor> {
        if !self.path.takes_q8() {
            return vec![Tensor::f32("x", x).for_product(self.path.loads_texels())];
        }
        let (mut codes, mut scales) = (vec![0u32; x.len() / 4], vec![0f32; x.len() / BLOCK]);
        quantize(&x, bytemuck::cast_slice_mut(&mut codes), &mut scales);
        vec![Tensor::u32("x", codes), Tensor::f32("x_scales", scales)]
    }

    fn dispatch(&self, s: &[Slice]) -> Dispatch {
        let (y, rest) = (s[0], &s[1..]);
        let (x, rest) = match self.path.takes_q8() {
            true => (Input::Q8(Quantized { codes: rest[0], scales: rest[1] }), &rest[2..]),
            false => (Input::Plain(activations(self.path.loads_texels(), rest[0])), &rest[1..]),
        };
        let (with_norm, rest) = rest.split_at(match self.norm {
            Some(NormSide::Behind { .. }) => 3,
            Some(NormSide::Before { .. }) => 1,
            None => 0,
        });
        let (bias, rest) = if self.bias { (Some(rest[0]), &rest[1..]) } else { (None, rest) };
        let weight = WeightSlices {
            dtype: self.dtype,
            row0: self.row0 as u32,
            rows: self.n as u32,
            k: self.k as u32,
            planes: planes(self.dtype, self.k, rest),
            in_texels: self.path.loads_texels(),
        };
        let m = self.m as u32;
        let x = match (self.norm, x) {
            (Some(NormSide::Behind { offset }), Input::Plain(x)) => {
                let [stream, weight_of_norm, squares] = [with_norm[0], with_norm[1], with_norm[2]];
                let unscaled = activations(self.y_in_texels(), y);
                let to = Residual { stream, weight: weight_of_norm, eps: EPS, offset, unscaled, squares };
                return residual(self.path, &weight, x, &to, m).0;
            }
            (Some(NormSide::Before { .. }), Input::Plain(x)) => {
                Input::Unscaled(Unscaled { x, squares: with_norm[0], part: self.part(), eps: EPS })
            }
            (_, x) => x,
        };
        match self.gate {
            Some(activation) => gated(self.path, &weight, activation, x, activations(self.y_in_texels(), y), m),
            None => with_path(self.path, &weight, Slices { x, y, bias }, m, self.total as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Executor;
    use crate::reference::ReferenceExecutor;

    /// What the reference makes of a product of 8 rows; always of the same numbers.
    fn product_of(path: LinearPath, dtype: DType) -> Vec<f32> {
        let mut case = case(Linear { x_in_codes: false, ..whole(path, dtype, 8, 67, 768) });
        case.seed = 5;
        let mut reference = ReferenceExecutor::new();
        let mut slices = Vec::new();
        for tensor in case.tensors() {
            let size = 4 * tensor.words.len() as u64;
            let buffer = match tensor.texel {
                Some(texel) => reference.allocate_texels(tensor.name, size, texel),
                None => reference.allocate(tensor.name, size),
            };
            let slice = Slice { buffer: buffer.expect("memory"), offset: 0, size };
            reference.write(slice, bytemuck::cast_slice(&tensor.words)).expect("written");
            slices.push(slice);
        }
        reference.dispatch(&case.dispatch(&slices)).expect("valid");
        let mut y = vec![0.0; 8 * 67];
        reference.read(slices[0], bytemuck::cast_slice_mut(&mut y)).expect("read");
        y
    }

    /// Of numbers below 1 a block's step is about 1/127, whose rounding errors have a mean square of a twelfth of the step's;
    /// that of the numbers is 1/3: an NMSE of 1.5e-5, whatever the weights are.
    #[test]
    fn rounded_activations_move_a_product_by_what_rounding_explains() {
        let exact = LinearPath::Matvec { subgroups: false, blocks: false };
        let rounding = [
            LinearPath::MatvecDot4 { subgroups: false },
            LinearPath::MatmulDot4 { side: 4 },
            LinearPath::MatvecLanes { rounded: true },
        ];
        for path in rounding {
            for (_, dtype) in types(path) {
                let (exact, rounded) = (product_of(exact, dtype), product_of(path, dtype));
                let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
                let errors = square(&mut rounded.iter().zip(&exact).map(|(a, b)| a - b));
                let nmse = errors / square(&mut exact.into_iter());
                assert!((1e-5..2.2e-5).contains(&nmse), "{path:?} {dtype:?}: {nmse:e}");
            }
        }
    }
}
