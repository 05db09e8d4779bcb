//! The gate of the feed-forward network: `act(gate) * up`.

use bytemuck::{Pod, Zeroable};

use super::{Activations, ELEMENT_WG, Work, rows_grid};
use crate::recording::{Dispatch, Program, Slice};

/// The activation of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// GELU in its tanh form (`gelu_pytorch_tanh`).
    GeluTanh,
}

/// Mirrors `Params` of `shaders/gated_activation.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Params {
    pub rows: u32,
    /// Vectors of four elements in a row of y.
    pub dim4: u32,
}

/// `y [rows][dim] = act(gate) * up`, where a row of `x [rows][2 dim]` has the gate's elements and then up's.
pub fn dispatch(activation: Activation, x: Slice, y: Activations, rows: u32, dim: u32) -> Dispatch {
    let params = Params { rows, dim4: dim / 4 };
    let program = Program::new("gated_activation", "base")
        .constant("WG", ELEMENT_WG)
        .flag("gelu", activation == Activation::GeluTanh);
    let program = y.flag(program).flag("wide", matches!(y, Activations::Texels(_)));
    y.bind_output(Dispatch::new(program, &params, rows_grid(rows, params.dim4)).read(0, x), 1)
}

/// The work of `count` elements: `x / (1 + exp(-x)) * up`, or `x / 2 * (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) * up`.
pub fn work(activation: Activation, count: u32) -> Work {
    let count = u64::from(count);
    let operations = match activation {
        Activation::Silu => 5,
        Activation::GeluTanh => 10,
    };
    Work { flops: operations * count, read: 8 * count, written: 4 * count }
}
