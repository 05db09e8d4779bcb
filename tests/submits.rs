//! How a step is cut into submits, and what happens where the device is too slow for it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{Engine, EngineOptions, GenerationRequest};
use wgpt::gpu::GpuExecutor;
use wgpt::kernels::linear;
use wgpt::recording::{ExecutionError, Recording};
use wgpt::reference::ReferenceExecutor;

use crate::faults::runs::{load_on_gpu, load_on_reference};
use crate::support::command::has_device;
use crate::support::instrumented::{Call, Probe};

/// What each step came to.
#[derive(Default)]
struct Steps {
    /// The dispatches of every recording.
    dispatches: Vec<usize>,
    /// The submits of every run.
    submits: Vec<u64>,
}

/// Counts submits.
struct Counter {
    steps: Arc<Mutex<Steps>>,
    budget: Duration,
    before: u64,
}

impl Probe<GpuExecutor> for Counter {
    fn before(&mut self, call: Call<'_>, gpu: &mut GpuExecutor) -> Result<(), ExecutionError> {
        gpu.set_submit_budget(self.budget);
        self.before = gpu.submits();
        if let Call::Prepare(recording) = call {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            steps.dispatches.push(recording.dispatches.len());
        }
        Ok(())
    }

    fn after(&mut self, call: Call<'_>, gpu: &mut GpuExecutor) -> Result<(), ExecutionError> {
        if matches!(call, Call::Run) {
            let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
            steps.submits.push(gpu.submits() - self.before);
        }
        Ok(())
    }
}

fn request() -> GenerationRequest {
    GenerationRequest {
        prompt: "Once upon a time".to_owned(),
        max_new_tokens: Some(6),
        ignore_eos: true,
        sampling: SamplingOptions::greedy(),
        ..GenerationRequest::default()
    }
}

fn generate(engine: &mut Engine, request: &GenerationRequest) -> Vec<u32> {
    let done = engine.generate(request, &mut |_| ControlFlow::Continue(()));
    done.unwrap_or_else(|e| panic!("{e}")).token_ids
}

#[test]
fn a_step_takes_as_many_submits_as_its_budget_allows_and_gives_the_same_tokens() {
    if !has_device() {
        return;
    }
    let run = |budget| {
        let steps = Arc::default();
        let counter = Counter { steps: Arc::clone(&steps), budget, before: 0 };
        let options = EngineOptions { context: Some(64), chunk_size: Some(32), ..EngineOptions::default() };
        let mut engine = load_on_gpu(&options, counter).unwrap_or_else(|e| panic!("{e}"));
        let tokens = generate(&mut engine, &request());
        let steps = std::mem::take(&mut *steps.lock().unwrap_or_else(PoisonError::into_inner));
        (tokens, steps)
    };
    let (whole, of_whole) = run(Duration::from_secs(3600));
    assert!(of_whole.submits.len() >= 6 && of_whole.submits.iter().all(|count| *count == 1), "{:?}", of_whole.submits);
    let (single, of_single) = run(Duration::from_nanos(1));
    for count in &of_single.submits {
        assert!(of_single.dispatches.contains(&(*count as usize)), "{count} of {:?}", of_single.dispatches);
    }
    assert_eq!(whole, single);
}

/// A device that says it is too slow, whatever it gets.
struct TooSlow(Arc<Mutex<Vec<u32>>>);

/// The tokens of a step: the rows of its largest product.
fn tokens_of(recording: &Recording) -> u32 {
    let is_linear = |name: &str| name.starts_with("mat");
    let products = recording.dispatches.iter().filter(|dispatch| is_linear(dispatch.program.kernel));
    products.map(|dispatch| dispatch.params::<linear::Params>().m).max().unwrap_or(0)
}

impl Probe<ReferenceExecutor> for TooSlow {
    fn before(&mut self, call: Call<'_>, _: &mut ReferenceExecutor) -> Result<(), ExecutionError> {
        if let Call::Prepare(recording) = call {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(tokens_of(recording));
        }
        Ok(())
    }

    fn overruns(&mut self) -> bool {
        true
    }
}

#[test]
fn chunks_shrink_on_a_device_that_is_too_slow_unless_the_user_chose_them() {
    let largest_chunks = |chunk_size| {
        let steps = Arc::default();
        let options =
            EngineOptions { context: Some(1024), chunk_size, prefix_cache: false, ..EngineOptions::default() };
        let mut engine = load_on_reference(&options, TooSlow(Arc::clone(&steps))).unwrap_or_else(|e| panic!("{e}"));
        let mut run = || {
            let prompt_tokens = Some((0..700).map(|i| 20 + i % 50).collect());
            let tokens =
                generate(&mut engine, &GenerationRequest { prompt_tokens, max_new_tokens: Some(4), ..request() });
            let steps = std::mem::take(&mut *steps.lock().unwrap_or_else(PoisonError::into_inner));
            (tokens, steps.into_iter().max())
        };
        let (first, second) = (run(), run());
        assert_eq!(first.0, second.0);
        (first.1, second.1)
    };
    assert_eq!(largest_chunks(None), (Some(512), Some(32)));
    assert_eq!(largest_chunks(Some(128)).0, Some(128));
}
