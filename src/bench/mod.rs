//! Benchmarks: what an adapter can do, and how close the kernels come to it.
//!
//! A measurement is a flat [`Record`]; [`output`] prints records.

mod columns;
pub mod output;
mod record;
mod stats;

pub use record::Record;
pub use stats::Stats;
