//! Why an adapter's peaks could not be measured.

use crate::recording::ExecutionError;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    #[error(
        "{device} computed a wrong result in the probe '{probe}'; check it with `wgpt verify`, and update its driver"
    )]
    Wrong { probe: &'static str, device: String },
    #[error("the probe '{probe}' took no time by any clock; report this with the output of `wgpt devices -v`")]
    NoTime { probe: &'static str },
}
