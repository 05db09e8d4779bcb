//! Requests, pages and the ragged batch: which tokens run in a step. Pure, no GPU.
//!
//! There are no prefill and decode phases. Each [`Request`] has known tokens (its prompt, then what was sampled) and
//! a count of those already computed; the [`Scheduler`] lets the second catch up with the first, a [`Batch`] at a
//! time. The policy is that of vLLM V1 and of Sarathi-Serve's chunked prefill
//! (Agrawal et al. 2024, <https://arxiv.org/abs/2403.02310>); the cache is paged as in PagedAttention
//! (Kwon et al. 2023, <https://arxiv.org/abs/2309.06180>).

mod batch;
mod free_list;
mod pages;
mod prefix;
mod request;
mod scheduler;

pub use batch::{Batch, BatchError, LogitsWanted, SAMPLED, SequenceStep, ValidationScratch};
pub use pages::{PageAllocator, PageError, PageList};
pub use prefix::PrefixHash;
pub use request::{FinishReason, Request, RequestId, RequestState};
pub use scheduler::{Limits, ScheduleError, Scheduler, Stats};
