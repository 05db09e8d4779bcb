//! An open device: what wgpu reports out of band is collected where a step can find it, and no wait is without end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::adapter::{AdapterError, Candidate, DeviceInfo};
use super::timeline::Timeline;
use super::worker_threads::WorkerThreads;
use crate::panics::caught;
use crate::recording::{ExecutionError, Prepared};

/// What is asked for beyond the baseline, where the adapter has it: subgroups, 64-bit integers and f16 for the kernels, the
/// pipeline cache for a faster start.
const OPTIONAL: wgpu::Features = wgpu::Features::SUBGROUP
    .union(wgpu::Features::SHADER_INT64)
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::PIPELINE_CACHE);
/// What the benchmarks ask for beyond that: the device's clock.
const OF_BENCHMARKS: wgpu::Features = wgpu::Features::TIMESTAMP_QUERY;

/// How long a GPU may take for one submit. Most drivers give up after seconds, and the work of a submit is bounded to that.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// A CPU that emulates a GPU has no watchdog, and takes minutes for a submit of a large model.
const SOFTWARE_STALL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// From a wait that came back early to the next one.
const AGAIN: Duration = Duration::from_millis(1);

/// What a device is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Inference,
    Benchmarks,
}

pub(super) struct Device {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: DeviceInfo,
    pub stall_limit: Duration,
    failures: Arc<Mutex<Failures>>,
    /// Submits that may still be running, the oldest first.
    in_flight: VecDeque<InFlight>,
    /// Recordings that have ended since somebody looked, and between which times the device was at each.
    pub ended: Vec<(Prepared, RangeInclusive<Duration>)>,
    timeline: Timeline,
    /// Submits so far.
    submits: u64,
    waited: Cell<Duration>,
    /// Of a driver that emulates a GPU, until each has a core.
    workers: Option<WorkerThreads>,
}

/// A submit that may still be running.
struct InFlight {
    submission: wgpu::SubmissionIndex,
    /// It does more than copy what was written.
    computes: bool,
    handed_over: Instant,
    part: Part,
}

/// What a submit is of the whole that is timed.
pub(super) enum Part {
    /// One that others of its recording follow.
    Open,
    /// The last of a recording, the first of which was handed over at this time.
    Last { prepared: Prepared, began: Instant },
    /// No recording's.
    Other,
}

/// What has gone wrong so far.
#[derive(Default)]
struct Failures {
    /// For good.
    lost: Option<String>,
    /// For good, too: a submit did not end within this time.
    stalled: Option<Duration>,
    /// Since the last check.
    rejected: Option<String>,
}

impl Device {
    pub fn open(candidate: Candidate, purpose: Purpose) -> Result<Device, AdapterError> {
        let Candidate { adapter, info } = candidate;
        let refused = |reason: String| AdapterError::Refused { name: info.name.clone(), reason };
        let mut wanted = match purpose {
            Purpose::Inference => OPTIONAL,
            Purpose::Benchmarks => OPTIONAL | OF_BENCHMARKS,
        };
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if info.facts().matrices.contains(&true) {
            wanted |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            // SAFETY: what could go wrong is a cooperative load or store outside of its array or of a size that the adapter
            // lacks, since wgpu checks neither. Only our own kernels have any, within arrays of workgroup memory whose sizes
            // are constants, and they run only where the adapter has listed their matrices.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let mut limits = adapter.limits();
        limits.max_immediate_size = limits.max_immediate_size.min(128);
        // DX12 allocates descriptors for this limit up front.
        limits.max_non_sampler_bindings = limits.max_non_sampler_bindings.min(100_000);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpt"),
            required_features: wgpu::Features::IMMEDIATES | (adapter.features() & wanted),
            required_limits: limits,
            experimental_features,
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| refused(e.to_string()))?;

        let failures = Arc::new(Mutex::new(Failures::default()));
        // The first of a kind is kept: the others follow from it.
        let on_error = Arc::clone(&failures);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&on_error).rejected.get_or_insert(error.to_string());
        }));
        let on_loss = Arc::clone(&failures);
        device.set_device_lost_callback(move |reason, message| {
            let message = match reason {
                wgpu::DeviceLostReason::Destroyed => "it was destroyed".to_owned(),
                _ => message,
            };
            lock(&on_loss).lost.get_or_insert(message);
        });
        let workers = info.is_software().then(WorkerThreads::watch).flatten();
        let stall_limit = if info.is_software() { SOFTWARE_STALL_LIMIT } else { STALL_LIMIT };
        Ok(Device {
            device,
            queue,
            info,
            stall_limit,
            failures,
            in_flight: VecDeque::new(),
            ended: Vec::new(),
            timeline: Timeline::default(),
            submits: 0,
            waited: Cell::default(),
            workers,
        })
    }

    /// Fails if the device has been lost or did not end a submit in time, or has rejected something since the last call.
    pub fn check(&self, what: &str) -> Result<(), ExecutionError> {
        let mut failures = lock(&self.failures);
        if let Some(message) = &failures.lost {
            return Err(ExecutionError::DeviceLost(message.clone()));
        }
        if let Some(limit) = failures.stalled {
            return Err(ExecutionError::Stalled { seconds: limit.as_secs_f64() });
        }
        match failures.rejected.take() {
            Some(message) => Err(ExecutionError::Rejected { what: what.to_owned(), message }),
            None => Ok(()),
        }
    }

    /// Frees what the device holds once its work has ended, and loses it.
    pub fn destroy(&self) {
        self.device.destroy();
        // wgpu tells when it is polled, and takes errors that follow from the loss for others until then.
        let _ = caught(|| self.device.poll(wgpu::PollType::Poll));
    }

    /// Does something that allocates `size` bytes for `what`, and turns wgpu's report of too little memory into an error.
    ///
    /// The device stays as it was where a buffer could not be made; where staging memory could not, wgpu gives it up, and
    /// the next call finds it lost.
    pub fn allocating<T>(&self, what: &str, size: u64, act: impl FnOnce() -> T) -> Result<T, ExecutionError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let done = act();
        if pollster::block_on(scope.pop()).is_some() {
            return Err(ExecutionError::OutOfMemory { what: what.to_owned(), size });
        }
        self.check(what)?;
        Ok(done)
    }

    /// Hands work over, after all that was written.
    pub fn submit(&mut self, commands: Option<wgpu::CommandBuffer>, part: Part) -> Result<(), ExecutionError> {
        // Lavapipe takes a submit only when the one before has ended, and waits for that without a limit.
        if self.info.is_software() {
            self.wait(0)?;
        }
        let computes = commands.is_some();
        let handed_over = Instant::now();
        let submission = self.queue.submit(commands);
        self.in_flight.push_back(InFlight { submission, computes, handed_over, part });
        self.submits += 1;
        Ok(())
    }

    /// How many submits there have been.
    pub fn submits(&self) -> u64 {
        self.submits
    }

    /// Waits until at most `ahead` submits have not ended. Each may take as long as the stall limit.
    pub fn wait(&mut self, ahead: usize) -> Result<(), ExecutionError> {
        while self.in_flight.len() > ahead {
            self.check("a step")?;
            let oldest = &self.in_flight[0].submission;
            let waits = !self.ends_within(oldest, Duration::ZERO);
            if waits && !self.ends_within(oldest, self.stall_limit) {
                lock(&self.failures).stalled = Some(self.stall_limit);
                break;
            }
            if let Some(ended) = self.in_flight.pop_front() {
                self.has_ended(ended, waits);
            }
        }
        self.check("a step")
    }

    fn has_ended(&mut self, InFlight { computes, handed_over, part, .. }: InFlight, waited: bool) {
        let now = Instant::now();
        match part {
            // Its time is that of the whole.
            Part::Open => {}
            Part::Last { prepared, began } => {
                let took = self.timeline.has_ended(began, waited, now);
                self.ended.push((prepared, took));
            }
            Part::Other => {
                self.timeline.has_ended(handed_over, waited, now);
            }
        }
        if computes && self.workers.as_mut().is_some_and(WorkerThreads::spread) {
            self.workers = None;
        }
    }

    /// Waits for what is still running, unless it has been given up; whether it has ended.
    pub fn comes_to_rest(&self) -> bool {
        let given_up = lock(&self.failures).stalled.is_some();
        let limit = if given_up { Duration::ZERO } else { self.stall_limit };
        self.in_flight.iter().all(|submit| self.ends_within(&submit.submission, limit))
    }

    /// The time that all waits have taken.
    pub fn time_waited(&self) -> Duration {
        self.waited.get()
    }

    /// Waits for a submit and all before it. A lost device's have ended.
    fn ends_within(&self, submission: &wgpu::SubmissionIndex, limit: Duration) -> bool {
        let started = Instant::now();
        let ends = self.polled_within(submission, limit, started);
        self.waited.set(self.waited.get() + started.elapsed());
        ends
    }

    /// A panic of a wait is wgpu's outermost layer's, which has nothing of its own to leave half done.
    fn polled_within(&self, submission: &wgpu::SubmissionIndex, limit: Duration, started: Instant) -> bool {
        loop {
            let timeout = Some(limit.saturating_sub(started.elapsed()));
            let wait = wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout };
            match caught(|| self.device.poll(wait)) {
                Some(Ok(_)) => return true,
                // GL gives up after about two seconds, and at once where a wait fails; the work may go on.
                Some(Err(wgpu::PollError::Timeout)) if started.elapsed() < limit => thread::sleep(AGAIN),
                Some(Err(wgpu::PollError::Timeout)) => return false,
                Some(Err(wgpu::PollError::WrongSubmissionIndex(..))) => {
                    lock(&self.failures).lost.get_or_insert("it takes no more work".to_owned());
                    return true;
                }
                // wgpu calls the lost callback before it panics.
                None => {
                    lock(&self.failures).lost.get_or_insert("its driver failed in a wait".to_owned());
                    return true;
                }
            }
        }
    }
}

fn lock(failures: &Mutex<Failures>) -> std::sync::MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}
