//! One list of kernel cases, shared by the parity tests, `wgpt verify` and the kernel benchmarks.
//!
//! [`cases`] names every kernel, variant and storage type with awkward shapes; a [`Runner`] runs one on an executor and on
//! the [CPU reference](crate::reference), and compares within the bounds of [`tolerances`]. Around every output lie
//! sentinels: an element that the kernel must not write is checked to the bit. [`device`] checks a whole device and returns
//! a [`Report`]; [`model`] runs a whole model on a device and on the reference.

mod case;
pub(crate) mod cases;
mod check;
mod compare;
pub mod model;
mod plan;
mod random;
mod report;
mod runner;
pub mod tolerances;

pub use case::{Case, Tensor, UNTOUCHED};
pub use cases::cases;
pub use check::{Progress, check, device};
pub use compare::{Fault, Outcome};
pub use plan::{Filter, Plan, kernels};
pub use random::Random;
pub use report::{Failure, Report, Skipped, VariantReport};
pub(crate) use runner::Pool;
pub use runner::Runner;

pub use crate::kernels::Elements;
