//! Takes the time of dispatches, many to a sample.

use std::time::Duration;

use super::Stats;
use crate::gpu::{GpuExecutor, Timing};
use crate::recording::{Dispatch, ExecutionError, Executor, Label, Prepared, Recording};

/// The most dispatches of a sample.
const MOST_DISPATCHES: usize = 1024;

/// A dispatch to time, in copies that do the same over different buffers: each dispatch of a sample takes the next.
pub struct Sampler {
    copies: Vec<Prepared>,
    next: usize,
    /// Dispatches of a sample.
    pub per_sample: usize,
    /// Dispatches so far.
    pub ran: usize,
    /// Nanoseconds a dispatch, a sample each.
    device: Vec<Option<f64>>,
    wall: Vec<f64>,
}

impl Sampler {
    /// # Errors
    /// As of [`Executor::prepare`].
    pub fn new(gpu: &mut GpuExecutor, copies: impl Iterator<Item = Dispatch>) -> Result<Sampler, ExecutionError> {
        let mut prepared = Vec::new();
        for dispatch in copies {
            let mut recording = Recording::default();
            recording.push(Label { layer: None, what: "a benchmark" }, dispatch);
            prepared.push(gpu.prepare(&recording)?);
        }
        Ok(Sampler { copies: prepared, next: 0, per_sample: 1, ran: 0, device: Vec::new(), wall: Vec::new() })
    }

    /// Runs the first copy once, untimed: what is made at a dispatch's first use is made then.
    ///
    /// # Errors
    /// When the device fails.
    pub fn run_first(&mut self, gpu: &mut GpuExecutor) -> Result<(), ExecutionError> {
        self.ran += 1;
        gpu.time(&self.copies[..1]).map(|_| ())
    }

    /// Warms up, finds how many dispatches take about `target`, and returns how long one takes.
    ///
    /// # Errors
    /// When the device fails.
    pub fn calibrate(&mut self, gpu: &mut GpuExecutor, target: Duration) -> Result<Duration, ExecutionError> {
        self.per_sample = 1;
        let mut one = self.once(gpu)?;
        // A single dispatch may take less than handing it over: measure again with the first guess.
        for _ in 0..2 {
            let fitting = target.as_secs_f64() / one.max(1e-9);
            self.per_sample = (fitting as usize).clamp(1, MOST_DISPATCHES);
            if self.per_sample == 1 {
                break;
            }
            one = self.once(gpu)?;
        }
        Ok(Duration::from_secs_f64(one))
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// When the device fails.
    pub fn sample(&mut self, gpu: &mut GpuExecutor) -> Result<(), ExecutionError> {
        let timing = self.time(gpu)?;
        let nanoseconds = |duration: Duration| duration.as_secs_f64() * 1e9 / self.per_sample as f64;
        self.device.push(timing.device.map(nanoseconds));
        self.wall.push(nanoseconds(timing.wall));
        Ok(())
    }

    /// Nanoseconds of a dispatch by the device's clock, where it worked for every sample, and by the wall's.
    pub fn stats(&self) -> (Option<Stats>, Option<Stats>) {
        let device: Option<Vec<f64>> = self.device.iter().copied().collect();
        (device.and_then(|values| Stats::of(&values)), Stats::of(&self.wall))
    }

    /// # Errors
    /// When the device fails.
    fn once(&mut self, gpu: &mut GpuExecutor) -> Result<f64, ExecutionError> {
        let timing = self.time(gpu)?;
        Ok(timing.device.unwrap_or(timing.wall).as_secs_f64() / self.per_sample as f64)
    }

    fn time(&mut self, gpu: &mut GpuExecutor) -> Result<Timing, ExecutionError> {
        let sequence: Vec<Prepared> =
            (0..self.per_sample).map(|i| self.copies[(self.next + i) % self.copies.len()]).collect();
        self.next = (self.next + self.per_sample) % self.copies.len();
        self.ran += self.per_sample;
        gpu.time(&sequence)
    }

    /// Gives back what was prepared.
    pub fn discard(self, gpu: &mut GpuExecutor) {
        self.copies.into_iter().for_each(|prepared| gpu.discard(prepared));
    }
}
