//! The twin of `shaders/gated_activation.wgsl`: `act(gate) * up` in f64.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::gated_activation::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (rows, dim) = (p.rows as usize, 4 * p.dim4 as usize);
    if dim == 0 {
        return Err(TwinError::Shape("a gate of no elements lets nothing through"));
    }
    let x = bindings.read::<f32>(0, 2 * rows * dim)?;
    let y = bindings.write::<f32>(1, rows * dim)?;
    let activate = activation(dispatch);
    y.par_chunks_exact_mut(dim).zip(x.par_chunks_exact(2 * dim)).for_each(|(y, x)| {
        let (gate, up) = x.split_at(dim);
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = (activate(f64::from(*gate)) * f64::from(*up)) as f32;
        }
    });
    Ok(())
}

/// The activation that a program is made for.
pub(super) fn activation(dispatch: &Dispatch) -> fn(f64) -> f64 {
    if dispatch.program.has_flag("gelu") { gelu_tanh } else { silu }
}

/// x * sigmoid(x).
fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The tanh form of GELU (Hendrycks & Gimpel 2016).
fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    0.5 * x * (1.0 + u.tanh())
}

#[cfg(test)]
mod tests {
    use super::{gelu_tanh, silu};

    /// Values of PyTorch's `silu` and `gelu(approximate="tanh")` in float64.
    #[test]
    fn activations_have_their_published_values() {
        for (x, expected) in [(0.0, 0.0), (1.0, 0.731_058_578_630_004_9), (-2.0, -0.238_405_844_044_235_13)] {
            assert!((silu(x) - expected).abs() < 1e-15, "silu({x}) = {}", silu(x));
        }
        for (x, expected) in [(0.0, 0.0), (1.0, 0.841_191_990_608_276), (-2.0, -0.045_402_305_912_224_46)] {
            assert!((gelu_tanh(x) - expected).abs() < 1e-12, "gelu({x}) = {}", gelu_tanh(x));
        }
        assert_eq!((silu(-1e4), gelu_tanh(-1e4), gelu_tanh(1e4)), (0.0, 0.0, 1e4));
    }
}
