//! Why something could not be measured.

use crate::engine::EngineError;
use crate::recording::ExecutionError;

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the tests need a context of {tokens} tokens and the model was made for {limit}; use smaller ones")]
    TooLong { tokens: usize, limit: usize },
    #[error(
        "a prompt cannot be measured behind {depth} tokens of context, as the cache keeps them in pages of {page}; use a \
         multiple of that"
    )]
    Depth { depth: usize, page: usize },
    #[error(
        "before a test, {found} tokens were in the cache and not {expected}; report this with the flags of this run"
    )]
    Cached { found: usize, expected: usize },
    #[error(
        "{device} computed a wrong result in the probe '{probe}'; check it with `wgpt verify`, and update its driver"
    )]
    Wrong { probe: &'static str, device: String },
    #[error("the probe '{probe}' took no time by any clock; report this with the output of `wgpt devices -v`")]
    NoTime { probe: &'static str },
}
