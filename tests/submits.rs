//! How a step is cut into submits, and what happens where the device is too slow for it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{Engine, EngineOptions, GenerationRequest, default_chunk};
use wgpt::formats::Checkpoint;
use wgpt::gpu::{DeviceInfo, GpuExecutor, devices};
use wgpt::kernels::linear;
use wgpt::model::Config;
use wgpt::recording::{ExecutionError, Load, Recording};
use wgpt::reference::ReferenceExecutor;

use crate::faults::runs::{load_on_gpu, load_on_reference};
use crate::support::command::has_device;
use crate::support::instrumented::{Call, Probe};
use crate::support::models::oracle;

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
        if matches!(call, Call::Run(_)) {
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

/// By the tokens of a step.
type LoadOf = fn(u32) -> f64;

/// A device whose largest dispatch takes so many times what a submit may take, by how many tokens its step has.
struct Slow {
    load: Arc<Mutex<LoadOf>>,
    /// The tokens of each recording, in the order in which they were prepared, and of the runs since they were looked at.
    recorded: Vec<u32>,
    runs: Arc<Mutex<Vec<u32>>>,
    loads: VecDeque<Load>,
}

/// The tokens of a step: the rows of its largest product.
fn tokens_of(recording: &Recording) -> u32 {
    let is_linear = |name: &str| name.starts_with("mat");
    let products = recording.dispatches.iter().filter(|dispatch| is_linear(dispatch.program.kernel));
    products.map(|dispatch| dispatch.params::<linear::Params>().m).max().unwrap_or(0)
}

impl Probe<ReferenceExecutor> for Slow {
    fn before(&mut self, call: Call<'_>, _: &mut ReferenceExecutor) -> Result<(), ExecutionError> {
        match call {
            Call::Prepare(recording) => self.recorded.push(tokens_of(recording)),
            Call::Run(prepared) => {
                let tokens = self.recorded[prepared.0 as usize - 1];
                self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(tokens);
                let of_budget = self.load.lock().unwrap_or_else(PoisonError::into_inner)(tokens);
                self.loads.push_back(Load { prepared, of_budget });
            }
            _ => {}
        }
        Ok(())
    }

    fn load(&mut self) -> Option<Load> {
        self.loads.pop_front()
    }
}

/// The tokens of the steps of prompts of 700 tokens, one after the other, on a device with such loads; and that they change
/// no token.
fn steps_of_prompts(chunk_size: Option<u32>, loads: &[LoadOf]) -> Vec<Vec<u32>> {
    let (load, runs) = (Arc::new(Mutex::new(loads[0])), Arc::<Mutex<Vec<u32>>>::default());
    let probe = Slow { load: Arc::clone(&load), recorded: Vec::new(), runs: Arc::clone(&runs), loads: VecDeque::new() };
    let options = EngineOptions { context: Some(1024), chunk_size, prefix_cache: false, ..EngineOptions::default() };
    let mut engine = load_on_reference(&options, probe).unwrap_or_else(|e| panic!("{e}"));
    let mut first = None;
    let mut run = |now: &LoadOf| {
        *load.lock().unwrap_or_else(PoisonError::into_inner) = *now;
        let prompt_tokens = Some((0..700).map(|i| 20 + i % 50).collect());
        let tokens = generate(&mut engine, &GenerationRequest { prompt_tokens, max_new_tokens: Some(4), ..request() });
        assert_eq!(first.get_or_insert_with(|| tokens.clone()), &tokens);
        std::mem::take(&mut *runs.lock().unwrap_or_else(PoisonError::into_inner))
    };
    loads.iter().map(&mut run).collect()
}

fn largest(steps: &[u32]) -> Option<u32> {
    steps.iter().copied().max()
}

#[test]
fn chunks_shrink_on_a_device_that_is_too_slow_unless_the_user_chose_them() {
    let slow: LoadOf = |_| 9.0;
    let steps = steps_of_prompts(None, &[slow; 4]);
    assert_eq!((largest(&steps[0]), largest(&steps[3])), (Some(512), Some(32)));
    let steps = steps_of_prompts(Some(128), &[slow, slow]);
    assert_eq!((largest(&steps[0]), largest(&steps[1])), (Some(128), Some(128)));
}

#[test]
fn chunks_grow_again_once_the_device_is_quick() {
    let (slow, quick): (LoadOf, LoadOf) = (|_| 9.0, |tokens| f64::from(tokens) / 4096.0);
    let steps = steps_of_prompts(None, &[slow, quick, quick, quick, quick]);
    assert_eq!(largest(&steps[1]), Some(256), "{:?}", steps[1]);
    assert_eq!(largest(&steps[4]), Some(512), "{:?}", steps[4]);
}

/// Neither do they halve the chunks of the next prompt.
#[test]
fn decode_steps_that_take_too_long_say_nothing_of_chunks() {
    let load: LoadOf = |tokens| if tokens == 1 { 9.0 } else { 1.0 };
    let steps = steps_of_prompts(None, &[load; 3]);
    assert!(steps.iter().all(|steps| largest(steps) == Some(512)), "{steps:?}");
}

/// A product of the layer with the widest feed-forward network should end in time on a slow device of the kind.
#[test]
fn chunks_begin_by_the_kind_of_device_and_the_width_of_the_model() {
    let Some(found) = devices().into_iter().next() else { return };
    let device = |name: &str, device_type: &str| DeviceInfo {
        name: name.to_owned(),
        device_type: device_type.to_owned(),
        ..found.clone()
    };
    let checkpoint = Checkpoint::open(&oracle("tiny/llama3")).unwrap_or_else(|e| panic!("{e}"));
    let tiny = Config::from_checkpoint(&checkpoint).unwrap_or_else(|e| panic!("{e}"));
    let config = |dim, ffn_dim| Config { dim, ffn_dim, heads: dim / 128, kv_heads: 8, head_dim: 128, ..tiny.clone() };
    // Of Llama 3.2 1B, 3.1 8B and 70B.
    let configs = [config(2048, 8192), config(4096, 14336), config(8192, 28672)];
    for (name, device_type, expected) in [
        ("GeForce", "discrete GPU", [512, 512, 128]),
        ("Apple M1", "integrated GPU", [512, 512, 128]),
        ("UHD Graphics", "integrated GPU", [256, 64, 32]),
        ("llvmpipe", "software", [128, 128, 128]),
    ] {
        let device = device(name, device_type);
        assert_eq!(configs.each_ref().map(|config| default_chunk(config, &device)), expected, "{name}");
    }
}
