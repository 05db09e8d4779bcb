//! A small run of the tiny chat model - a load, a prompt in one chunk, three decode steps - that fails where it is told to.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{Engine, EngineDevice, EngineError, EngineOptions, GenerationRequest};
use wgpt::gpu::{DeviceInfo, DeviceLimits, GpuExecutor};
use wgpt::kernels::Selection;
use wgpt::model::ModelError;
use wgpt::recording::{ExecutionError, Executor};
use wgpt::reference::ReferenceExecutor;

use crate::support::command::chat_model;
use crate::support::instrumented::{Call, Instrumented, Probe};

/// The name of a call, for choosing and for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Allocate,
    Write,
    Flush,
    Prepare,
    Run,
    Read,
    Collect,
}

impl From<Call<'_>> for Kind {
    fn from(call: Call<'_>) -> Kind {
        match call {
            Call::Allocate { .. } => Kind::Allocate,
            Call::Write => Kind::Write,
            Call::Flush => Kind::Flush,
            Call::Prepare(_) => Kind::Prepare,
            Call::Run(_) => Kind::Run,
            Call::Read => Kind::Read,
            Call::Collect => Kind::Collect,
        }
    }
}

/// What a [`Watch`] has seen.
#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Kind>,
    /// Buffers that were allocated and not freed.
    pub buffers: usize,
}

/// Whether to act at the last of these calls.
type When = Box<dyn FnMut(&[Kind]) -> bool + Send>;
/// What to do there; an error takes the call's place.
type Act<E> = Box<dyn FnMut(&mut E) -> Result<(), ExecutionError> + Send>;

/// Counts calls and buffers, and does something at some calls.
pub struct Watch<E> {
    seen: Arc<Mutex<Seen>>,
    buffers: usize,
    when: When,
    act: Act<E>,
}

impl<E> Watch<E> {
    /// Does nothing but count.
    pub fn new(seen: &Arc<Mutex<Seen>>) -> Watch<E> {
        Watch::acting(seen, |_| false, |_| Ok(()))
    }

    /// Acts before the calls that `when` chooses.
    pub fn acting(
        seen: &Arc<Mutex<Seen>>,
        when: impl FnMut(&[Kind]) -> bool + Send + 'static,
        act: impl FnMut(&mut E) -> Result<(), ExecutionError> + Send + 'static,
    ) -> Watch<E> {
        Watch { seen: Arc::clone(seen), buffers: 0, when: Box::new(when), act: Box::new(act) }
    }
}

/// Chooses one call: the n-th of a kind, counted from 0.
pub fn nth(kind: Kind, n: usize) -> impl FnMut(&[Kind]) -> bool + Send + 'static {
    move |calls| calls.last() == Some(&kind) && calls.iter().filter(|call| **call == kind).count() == n + 1
}

pub fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E: Executor> Probe<E> for Watch<E> {
    fn before(&mut self, call: Call<'_>, inner: &mut E) -> Result<(), ExecutionError> {
        let mut seen = lock(&self.seen);
        seen.calls.push(call.into());
        let acts = (self.when)(&seen.calls);
        drop(seen);
        if acts { (self.act)(inner) } else { Ok(()) }
    }

    fn after(&mut self, call: Call<'_>, _inner: &mut E) -> Result<(), ExecutionError> {
        if matches!(call, Call::Allocate { .. }) {
            self.buffers += 1;
            lock(&self.seen).buffers += 1;
        }
        Ok(())
    }
}

impl<E> Drop for Watch<E> {
    fn drop(&mut self) {
        // The executor frees them all, and only then: it goes with its probe.
        lock(&self.seen).buffers -= self.buffers;
    }
}

/// What `error` is below the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    OutOfMemory,
    Lost,
    Stalled,
    Rejected,
    Other,
}

impl From<&EngineError> for Fault {
    fn from(error: &EngineError) -> Fault {
        match error {
            EngineError::Model(ModelError::OutOfMemory { .. }) => Fault::OutOfMemory,
            EngineError::Model(ModelError::Execution(error)) => match error {
                ExecutionError::OutOfMemory { .. } => Fault::OutOfMemory,
                ExecutionError::DeviceLost(_) => Fault::Lost,
                ExecutionError::Stalled { .. } => Fault::Stalled,
                ExecutionError::Rejected { .. } => Fault::Rejected,
                ExecutionError::BufferTooLarge { .. } | ExecutionError::BadSlice(_) => Fault::Other,
            },
            _ => Fault::Other,
        }
    }
}

/// Checks that an error is of this kind, and that its text is one sentence that says what to do.
pub fn assert_is(error: &EngineError, fault: Fault, when: &str) {
    assert_eq!(Fault::from(error), fault, "{when}: {error}");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{when}: {text}");
    let advice = match fault {
        Fault::OutOfMemory => "use a smaller context (-c)",
        Fault::Lost | Fault::Stalled => "try a smaller --chunk-size, update the driver, or choose another device",
        Fault::Rejected | Fault::Other => "",
    };
    assert!(text.contains(advice), "{when}: {text}");
}

/// Everything in one chunk.
pub fn options() -> EngineOptions {
    EngineOptions { context: Some(64), chunk_size: Some(32), ..EngineOptions::default() }
}

pub fn request() -> GenerationRequest {
    GenerationRequest {
        prompt: "Once upon a time".to_owned(),
        max_new_tokens: Some(4),
        ignore_eos: true,
        sampling: SamplingOptions::greedy(),
        ..GenerationRequest::default()
    }
}

pub fn generate(engine: &mut Engine) -> Result<String, EngineError> {
    engine.generate(&request(), &mut |_| ControlFlow::Continue(())).map(|generation| generation.text)
}

/// Loads the tiny chat model on the GPU.
pub fn load_on_gpu(
    options: &EngineOptions,
    probe: impl Probe<GpuExecutor> + Send + 'static,
) -> Result<Engine, EngineError> {
    let open = |options: &EngineOptions| {
        let mut gpu = GpuExecutor::open(&options.device)?;
        if let Some(limit) = options.stall_limit {
            gpu.set_stall_limit(limit);
        }
        let (info, selection) = (gpu.info().clone(), gpu.selection());
        let executor = Box::new(Instrumented { inner: Box::new(gpu), probe });
        Ok(EngineDevice { executor, info, selection, notices: Vec::new() })
    };
    Engine::load_on(&chat_model(), options, open, &mut |_| {})
}

/// Loads the tiny chat model on the CPU reference.
pub fn load_on_reference(
    options: &EngineOptions,
    probe: impl Probe<ReferenceExecutor> + Send + 'static,
) -> Result<Engine, EngineError> {
    let executor = Box::new(Instrumented { inner: Box::new(ReferenceExecutor::new()), probe });
    let device = EngineDevice { executor, info: reference_info(), selection: Selection::BASELINE, notices: Vec::new() };
    Engine::load_on(&chat_model(), options, |_| Ok(device), &mut |_| {})
}

fn reference_info() -> DeviceInfo {
    DeviceInfo {
        index: 0,
        name: "the CPU reference".into(),
        backend: "none".into(),
        device_type: "other".into(),
        driver: String::new(),
        driver_info: String::new(),
        vendor_id: 0,
        device_id: 0,
        usable: true,
        notice: None,
        subgroup_sizes: (1, 1),
        features: vec![],
        kernels: vec![],
        limits: DeviceLimits {
            max_buffer_size: u64::MAX,
            max_storage_binding: u64::MAX,
            max_storage_buffers: 8,
            max_workgroup_memory: 16 << 10,
            max_workgroup_invocations: 256,
            max_texels: 0,
        },
        selected: true,
    }
}
