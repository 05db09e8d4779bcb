//! The gate of the feed-forward network: `gate = act(gate) * up`.

use bytemuck::{Pod, Zeroable};

use super::{ELEMENT_WG, Work, element_grid};
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
    /// Vectors of four elements.
    pub count4: u32,
}

/// Over `count` elements, a multiple of 4.
pub fn dispatch(activation: Activation, gate: Slice, up: Slice, count: u32) -> Dispatch {
    let program = Program::new("gated_activation", "base")
        .constant("WG", ELEMENT_WG)
        .flag("gelu", activation == Activation::GeluTanh);
    Dispatch::new(program, &Params { count4: count / 4 }, element_grid(count / 4)).read(0, up).read_write(1, gate)
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
