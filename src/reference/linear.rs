//! `y = x W^T (+ bias)`, or a gate with what goes through it, or half of a norm beside it: what the twins of all matmul
//! kernels share.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use super::dot::dot;
use super::gated_activation::activation;
use super::quantize_q8::{dequantize, quantize};
use super::weights::Weights;
use crate::kernels::linear::{Params, squares_stride};
use crate::kernels::quantize_q8::BLOCK;
use crate::kernels::weight_layout::ROWS_AT_ONCE;
use crate::recording::Dispatch;

/// Rows of W that a thread takes at a time.
const CHUNK: usize = 16;

/// With activations as they are, or where the program rounds them, to blocks of q8_0.
pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let shape = shape(dispatch)?;
    let x = bindings.read::<f32>(3, shape.m * shape.k)?;
    if !dispatch.program.has_flag("rounded") {
        return product(dispatch, bindings, &shape, x);
    }
    let (mut codes, mut scales) = (vec![0; x.len()], vec![0.0; x.len() / BLOCK]);
    quantize(x, &mut codes, &mut scales);
    product(dispatch, bindings, &shape, &dequantize(&codes, &scales))
}

/// With activations in blocks of q8_0.
pub(super) fn run_q8(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let shape = shape(dispatch)?;
    let elements = shape.m * shape.k;
    let codes = bindings.read::<i8>(3, elements)?;
    let scales = bindings.read::<f32>(6, elements / BLOCK)?;
    product(dispatch, bindings, &shape, &dequantize(codes, scales))
}

/// Of the product, in elements.
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    stride: usize,
    column: usize,
    /// Those that are written.
    columns: usize,
    /// Elements of a row whose squares are one sum.
    part: usize,
    eps: f64,
    offset: f64,
}

fn shape(dispatch: &Dispatch) -> Result<Shape, TwinError> {
    let p: Params = params(dispatch)?;
    let [m, n, k, stride, column] = [p.m, p.n, p.k, p.y_stride, p.y_column].map(|v| v as usize);
    let gated = dispatch.program.has_flag("gated");
    let columns = if gated { n / 2 } else { n };
    if m == 0 || columns == 0 || k == 0 || column + columns > stride {
        return Err(TwinError::Shape("a linear layer needs rows, columns, and a row of y that holds its columns"));
    }
    if gated && n % 2 != 0 {
        return Err(TwinError::Shape("a gate needs as many rows of weights as what goes through it"));
    }
    if gated && dispatch.loads_texels(0) && !columns.is_multiple_of(ROWS_AT_ONCE) {
        return Err(TwinError::Shape("in texels what goes through a gate begins among rows that lie together"));
    }
    let splits = ["residual", "unscaled"].iter().any(|flag| dispatch.program.has_flag(flag));
    if splits && p.part == 0 {
        return Err(TwinError::Shape("a sum of squares needs elements"));
    }
    let (part, eps, offset) = (p.part as usize, f64::from(p.eps), f64::from(p.offset));
    Ok(Shape { m, n, k, stride, column, columns, part, eps, offset })
}

/// What each row of x still lacks.
fn scales(dispatch: &Dispatch, bindings: &mut Bindings<'_>, shape: &Shape) -> Result<Vec<f64>, TwinError> {
    if !dispatch.program.has_flag("unscaled") {
        return Ok(vec![1.0; shape.m]);
    }
    let (parts, stride) = (shape.k.div_ceil(shape.part), squares_stride(shape.k, shape.part));
    let squares = bindings.read::<f32>(7, shape.m * stride)?;
    let scale = |row: &[f32]| {
        let sum: f64 = row[..parts].iter().copied().map(f64::from).sum();
        1.0 / (sum / shape.k as f64 + shape.eps).sqrt()
    };
    Ok(squares.chunks_exact(stride).map(scale).collect())
}

/// Adds rows of y to the residual stream, and leaves in them what the norm behind begins with.
fn add_to_stream(mut bindings: Bindings<'_>, shape: &Shape, y: &mut [f32]) -> Result<(), TwinError> {
    let &Shape { m, columns, part, offset, .. } = shape;
    let stream = bindings.write::<f32>(5, m * columns)?;
    let weight = bindings.read::<f32>(6, columns)?;
    let squares_stride = squares_stride(columns, part);
    let squares = bindings.write::<f32>(7, m * squares_stride)?;
    stream.iter_mut().zip(&*y).for_each(|(stream, y)| *stream += y);
    let rows = y.chunks_exact_mut(columns).zip(stream.chunks_exact(columns));
    for ((y, stream), squares) in rows.zip(squares.chunks_exact_mut(squares_stride)) {
        for ((y, x), weight) in y.iter_mut().zip(stream).zip(weight) {
            *y = (f64::from(*x) * (f64::from(*weight) + offset)) as f32;
        }
        for (sum, x) in squares.iter_mut().zip(stream.chunks(part)) {
            *sum = dot(x, x) as f32;
        }
    }
    Ok(())
}

fn product(dispatch: &Dispatch, mut bindings: Bindings<'_>, shape: &Shape, x: &[f32]) -> Result<(), TwinError> {
    let &Shape { m, n, k, stride, column, columns, .. } = shape;
    let scales = scales(dispatch, &mut bindings, shape)?;
    let weights = Weights::new(dispatch, &mut bindings, n, k)?;
    let y = bindings.write::<f32>(4, (m - 1) * stride + column + columns)?;
    let bias = match dispatch.program.has_flag("bias") {
        true => Some(&bindings.read::<f32>(5, column + n)?[column..]),
        false => None,
    };

    // Transposed, so that each row of W, dequantised once, owns its outputs.
    let mut outputs = vec![0f32; n * m];
    outputs.par_chunks_mut(CHUNK * m).enumerate().for_each(|(chunk, outputs)| {
        let mut w = vec![0f32; k];
        for (i, outputs) in outputs.chunks_exact_mut(m).enumerate() {
            let row = chunk * CHUNK + i;
            weights.row(row, &mut w);
            let offset = bias.map_or(0.0, |bias| f64::from(bias[row]));
            for ((out, x), scale) in outputs.iter_mut().zip(x.chunks_exact(k)).zip(&scales) {
                *out = (dot(&w, x) * scale + offset) as f32;
            }
        }
    });
    if columns < n {
        let activate = activation(dispatch);
        let (gates, ups) = outputs.split_at_mut(columns * m);
        for (gate, up) in gates.iter_mut().zip(ups) {
            *gate = (activate(f64::from(*gate)) * f64::from(*up)) as f32;
        }
    }
    for (row, outputs) in outputs.chunks_exact(m).take(columns).enumerate() {
        for (i, out) in outputs.iter().enumerate() {
            y[i * stride + column + row] = *out;
        }
    }
    match dispatch.program.has_flag("residual") {
        true => add_to_stream(bindings, shape, y),
        false => Ok(()),
    }
}
