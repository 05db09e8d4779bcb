//! Benchmarks: how fast models run, how their time grows, and how close the kernels come to what an adapter can do.
//!
//! [`model::measure`] runs llama-bench's tests, and [`complexity::measure`] texts of growing length. [`kernels::measure`]
//! measures an adapter's peaks with probes of their own, then times the kernels of the shared case list with the shapes of
//! real models. A measurement is a flat record ([`ModelRecord`], [`ComplexityRecord`], [`KernelRecord`]), which [`output`]
//! prints, [`plot`] draws and [`mod@compare`] holds against another run's.

mod cases;
mod columns;
pub mod compare;
pub mod complexity;
mod complexity_record;
mod error;
pub mod kernels;
pub mod model;
mod model_record;
mod models;
pub mod output;
mod peaks;
pub mod plot;
mod probes;
mod process_memory;
mod progress;
mod record;
mod roofline;
mod sample;
mod sampling;
pub mod tune;
mod work_of_model;
mod workload;

pub use cases::{Choice, Impossible};
pub use complexity_record::{ComplexityRecord, exponents, growth_chart};
pub use error::BenchError;
pub use model_record::{ModelRecord, depth_chart};
pub use models::{MatrixShape, ModelShape};
pub use progress::Progress;
pub use record::{KernelRecord, Origin};
pub use roofline::{Bound, Roofs};

pub use crate::stats::Stats;
