//! A recording with everything resolved, and what is known of how long it takes.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::device::Device;
use super::pace::Pace;
use crate::recording::{ExecutionError, Prepared};

/// A dispatch with everything resolved.
pub(super) struct Step {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub params: Vec<u8>,
    pub grid: [u32; 3],
    pub cost: u64,
}

pub(super) struct Recorded {
    pub steps: Vec<Step>,
    cost: u64,
    /// At which it ran so far; `None` before it has.
    pub pace: Option<Pace>,
}

impl Recorded {
    pub fn new(steps: Vec<Step>) -> Recorded {
        let cost = steps.iter().map(|step| step.cost).fold(0, u64::saturating_add);
        Recorded { steps, cost, pace: None }
    }

    /// The steps of each submit: as many as the pace allows within the budget. One submit at least.
    pub fn submits(&self, pace: Pace, budget: Duration) -> impl Iterator<Item = &[Step]> {
        let mut rest = Some(self.steps.as_slice());
        std::iter::from_fn(move || {
            let steps = rest?;
            let count = pace.fitting(budget, steps.iter().map(|step| step.cost)).min(steps.len());
            let (now, later) = steps.split_at(count);
            rest = (!later.is_empty()).then_some(later);
            Some(now)
        })
    }

    /// Learns from a run that took between these times, and from the pace of others as long as it has none of its own; gives
    /// the pace as it is now, and how long the largest dispatch took.
    pub fn has_taken(&mut self, time: &RangeInclusive<Duration>, general: Pace) -> Option<(Pace, Duration)> {
        let new = self.pace.unwrap_or(general).within(self.cost, time)?;
        let pace = self.pace.map_or(new, |old| old.corrected(new));
        self.pace = Some(pace);
        let largest = self.steps.iter().map(|step| step.cost).max()?;
        Some((pace, new.time(largest)))
    }
}

/// A recording that was not discarded.
pub(super) fn find(all: &HashMap<Prepared, Recorded>, prepared: Prepared) -> Result<&Recorded, ExecutionError> {
    all.get(&prepared).ok_or_else(|| {
        let what = "a step".to_owned();
        ExecutionError::Rejected { what, message: "its recording was discarded".to_owned() }
    })
}

/// The commands of a submit, to which more may be added.
pub(super) fn encoded(device: &Device, steps: &[Step]) -> wgpu::CommandEncoder {
    let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        encode(&mut pass, steps);
    }
    encoder
}

/// Records the steps into a pass.
pub(super) fn encode(pass: &mut wgpu::ComputePass<'_>, steps: &[Step]) {
    for step in steps {
        pass.set_pipeline(&step.pipeline);
        pass.set_bind_group(0, &step.bind_group, &[]);
        pass.set_immediates(0, &step.params);
        let [x, y, z] = step.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}
