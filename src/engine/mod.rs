//! The loop around the model: schedule, record, execute, sample, detokenise, stop. The library's public face.

mod active;
mod capacity;
mod chunks;
mod device;
mod error;
mod generation;
mod info;
mod load;
mod not_finite;
pub mod sampler;
pub mod scoring;
mod steps;

pub use capacity::chunk as default_chunk;
pub use device::EngineDevice;
pub use error::EngineError;
pub use generation::{FinishReason, Generation, GenerationRequest, OnPrompt, Timings};
pub use info::{LoadTimings, ModelInfo};
pub use load::{EngineOptions, LoadProgress};

pub use crate::gpu::{DeviceInfo, DeviceSelector, devices};
pub use crate::kernels::Forced;
pub use crate::kernels::kv_cache::KvType;
pub use crate::model::{Memory, NonFinite};

use self::steps::Flight;
use crate::model::{Config, Model};
use crate::recording::Executor;
use crate::schedule::{Batch, Scheduler};
use crate::text::{Message, Tokenizer};

/// A loaded model on a device, with its scheduler.
///
/// An error ends the requests that were running. If it was about memory, the engine can be used for smaller ones; once the
/// device is lost or hangs ([`ExecutionError`](crate::recording::ExecutionError)), every request fails. Dropping the engine
/// then frees what the driver gives back, and another one can be loaded.
pub struct Engine {
    executor: Box<dyn Executor + Send>,
    model: Model,
    tokenizer: Tokenizer,
    scheduler: Scheduler,
    batch: Batch,
    flight: Flight,
    info: ModelInfo,
}

impl Engine {
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model in numbers.
    pub fn config(&self) -> &Config {
        self.model.config()
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A conversation as the model was trained to read it, ending where its answer begins.
    ///
    /// # Errors
    /// When the model has no chat template, or the template does not parse or refuses the conversation.
    pub fn apply_chat_template(&self, messages: &[Message]) -> Result<String, EngineError> {
        Ok(self.tokenizer.chat_template()?.render(messages, true)?)
    }
}
