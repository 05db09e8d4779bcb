//! What a list of numbers comes to: means and how sure they are, quantiles, and laws fitted to measurements.

mod fit;
mod moments;
mod summary;

pub use fit::{BeyondConstant, PowerLaw, beyond_constant, power_law};
pub use moments::{Estimate, Moments};
pub use summary::Stats;
