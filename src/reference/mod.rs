//! The CPU side of every kernel: `NAME.rs` computes what `shaders/NAME.wgsl` computes, from the same bindings and
//! parameters, and [`ReferenceExecutor`] runs a whole [`Recording`](crate::recording::Recording) with them.
//!
//! The twins are the more accurate side: sums and functions are taken in f64 and rounded once to f32. They are also the
//! stricter side: what a GPU would clamp or drop (a short slice, an index outside of a table) is an error here.

mod argmax;
mod attention;
mod attention_key_lanes;
mod attention_lanes;
mod attention_merge;
mod bindings;
mod dot;
mod embed;
mod executor;
mod gated_activation;
mod gather_rows;
mod head_norm;
mod linear;
mod matmul;
mod matmul_coop;
mod matmul_dot4;
mod matmul_f16;
mod matmul_lanes;
mod matvec;
mod matvec_dot4;
mod matvec_lanes;
pub(crate) mod quantize_q8;
mod residual_norm;
mod rms_norm;
mod rope_append;
mod rope_append_q8_0;
mod run_peaks;
mod sample;
mod to_texels;
mod weights;

pub use bindings::{Bindings, TwinError};
pub use executor::ReferenceExecutor;

use crate::recording::Dispatch;

/// Runs one dispatch on host memory.
pub type Twin = fn(&Dispatch, Bindings<'_>) -> Result<(), TwinError>;

/// The twin of every kernel, by stem.
pub const TWINS: &[(&str, Twin)] = &[
    ("argmax", argmax::run),
    ("attention", attention::run),
    ("attention_key_lanes", attention_key_lanes::run),
    ("attention_lanes", attention_lanes::run),
    ("attention_merge", attention_merge::run),
    ("embed", embed::run),
    ("gated_activation", gated_activation::run),
    ("gather_rows", gather_rows::run),
    ("head_norm", head_norm::run),
    ("matmul", matmul::run),
    ("matmul_coop", matmul_coop::run),
    ("matmul_dot4", matmul_dot4::run),
    ("matmul_f16", matmul_f16::run),
    ("matmul_lanes", matmul_lanes::run),
    ("matvec", matvec::run),
    ("matvec_dot4", matvec_dot4::run),
    ("matvec_lanes", matvec_lanes::run),
    ("quantize_q8", quantize_q8::run),
    ("residual_norm", residual_norm::run),
    ("rms_norm", rms_norm::run),
    ("rope_append", rope_append::run),
    ("rope_append_q8_0", rope_append_q8_0::run),
    ("run_peaks", run_peaks::run),
    ("sample", sample::run),
    ("to_texels", to_texels::run),
];

/// The twin of a kernel.
pub fn twin(kernel: &str) -> Option<Twin> {
    TWINS.iter().find(|entry| entry.0 == kernel).map(|entry| entry.1)
}
