//! Benchmarks: what an adapter can do, and how close the kernels come to it.
//!
//! [`kernels::measure`] measures an adapter's peaks with probes of their own, then times the kernels of the shared case list
//! with the shapes of real models. A measurement is a flat [`Record`]; [`output`] prints records, [`plot`] draws them.

mod cases;
mod columns;
mod error;
pub mod kernels;
mod models;
pub mod output;
mod peaks;
pub mod plot;
mod probes;
mod record;
mod roofline;
mod sample;
mod sampling;
mod stats;
pub mod tune;

pub use cases::{Choice, Impossible};
pub use error::BenchError;
pub use models::ModelShape;
pub use record::Record;
pub use roofline::{Bound, Roofs};
pub use stats::Stats;
