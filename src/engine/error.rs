//! What can go wrong between a prompt and its text.

use super::sampler::{OptionsError, SampleError};
use crate::formats::FormatError;
use crate::gpu::AdapterError;
use crate::model::{ModelError, NonFinite};
use crate::schedule::{BatchError, ScheduleError};
use crate::text::TextError;

/// Why an engine cannot be made or a request cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Sampling(#[from] OptionsError),
    #[error(
        "a window to score has {tokens} tokens and is to be scored from token {first}; at least one token must stand before \
         that one"
    )]
    Window { tokens: usize, first: usize },
    #[error("the prompt is empty; give it some text")]
    EmptyPrompt,
    #[error("{name} is 0; use 1 or more")]
    Zero { name: &'static str },
    #[error("the context of {asked} tokens is longer than the {limit} that the model was made for; use a smaller -c")]
    ContextTooLong { asked: u32, limit: usize },
    /// The logits after a token hold NaN or +infinity, or nothing but -infinity: no token is sampled from them.
    #[error(
        "the logits after token {position} are not numbers: the model computed {origin}; either its file is damaged or the \
         device is at fault: see what `wgpt verify -m MODEL` says, or try --kv-type f32 or another device (--device)"
    )]
    NotFinite { position: usize, origin: Box<NonFinite> },
    /// The same, and running the step again gave none of it.
    #[error(
        "the logits after token {position} were not numbers, and were when the step ran again: the device or its driver is \
         at fault; see what `wgpt verify` says, or try another device (--device)"
    )]
    NotFiniteOnce { position: usize },
}

impl From<crate::recording::ExecutionError> for EngineError {
    fn from(error: crate::recording::ExecutionError) -> Self {
        EngineError::Model(ModelError::Execution(error))
    }
}
