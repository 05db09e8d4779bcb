//! The host side of every kernel: its parameters, bindings, variants and grid. One stem NAME in `shaders/NAME.wgsl`,
//! `kernels/NAME.rs` and `reference/NAME.rs`.
//!
//! Nothing here knows a backend: a kernel turns slices and parameters into a [`Dispatch`](crate::recording::Dispatch).

mod activations;
pub mod argmax;
pub mod attention;
mod attention_key_lanes;
mod attention_lanes;
pub mod attention_merge;
pub mod attention_tiles;
pub mod embed;
pub mod gated_activation;
pub mod gather_rows;
pub mod head_norm;
pub mod kv_cache;
pub mod linear;
mod matmul;
mod matmul_coop;
mod matmul_dot4;
mod matmul_f16;
mod matmul_lanes;
pub mod matvec;
mod matvec_dot4;
mod matvec_lanes;
mod outputs;
pub mod quantize_q8;
pub mod residual_norm;
pub mod rms_norm;
pub mod rope_append;
mod rope_append_q8_0;
pub mod run_peaks;
pub mod sample;
mod selection;
pub mod shader;
pub mod to_texels;
pub mod weight_layout;
mod work;

pub use activations::Activations;
pub use outputs::Elements;
pub use selection::{
    AdapterClass, AdapterFacts, AdapterKind, Choices, Exception, Forced, ForcedError, LinearPath, MAX_SHORT,
    Measurement, Reason, Role, Selection, Tuned, Tuning, Variant,
};
pub use weight_layout::WeightSlices;
pub use work::Work;

/// Threads of a workgroup in the kernels that go through elements one by one.
const ELEMENT_WG: u32 = 64;

/// The most workgroups that wgpu's default limits allow along one axis.
const MAX_GRID: u32 = 65_535;

/// Folds a number of workgroups into two axes, since one is limited; the shader reads `y * grid.x + x` and skips the rest.
pub(crate) fn fold(workgroups: u32) -> [u32; 3] {
    if workgroups <= MAX_GRID {
        return [workgroups, 1, 1];
    }
    let y = workgroups.div_ceil(MAX_GRID);
    [workgroups.div_ceil(y), y, 1]
}

/// The grid for one thread an element of so many rows, which the shader tells apart without a division: a row is
/// `z * grid.y + y`, and `x` counts the workgroups along it.
fn rows_grid(rows: u32, elements: u32) -> [u32; 3] {
    let [y, z, _] = fold(rows);
    [elements.div_ceil(ELEMENT_WG), y, z]
}

/// The grid for one thread an element.
fn element_grid(elements: u32) -> [u32; 3] {
    fold(elements.div_ceil(ELEMENT_WG))
}
