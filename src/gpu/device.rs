//! An open device, with the errors that wgpu reports out of band collected where a step can find them.

use std::sync::{Arc, Mutex, PoisonError};

use super::adapter::{AdapterError, Candidate, DeviceInfo};
use crate::recording::ExecutionError;

/// What the engine asks for beyond the baseline, where the adapter has it.
const OPTIONAL: wgpu::Features = wgpu::Features::SUBGROUP;

pub(super) struct Device {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub info: DeviceInfo,
    failure: Arc<Mutex<Option<Failure>>>,
}

enum Failure {
    Lost(String),
    Rejected(String),
}

impl Device {
    pub fn open(candidate: Candidate) -> Result<Device, AdapterError> {
        let Candidate { adapter, info } = candidate;
        let refused = |reason: String| AdapterError::Refused { name: info.name.clone(), reason };
        let mut limits = adapter.limits();
        limits.max_immediate_size = limits.max_immediate_size.min(128);
        // DX12 allocates descriptors for this limit up front.
        limits.max_non_sampler_bindings = limits.max_non_sampler_bindings.min(100_000);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgpt"),
            required_features: wgpu::Features::IMMEDIATES | (adapter.features() & OPTIONAL),
            required_limits: limits,
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|e| refused(e.to_string()))?;

        let failure = Arc::new(Mutex::new(None));
        let on_error = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            note(&on_error, Failure::Rejected(error.to_string()));
        }));
        let on_loss = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the device is reported as a loss, too.
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&on_loss, Failure::Lost(message));
            }
        });
        Ok(Device { device, queue, info, failure })
    }

    /// Fails if the device has been lost or has rejected something since the last call.
    pub fn check(&self, what: &str) -> Result<(), ExecutionError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.take() {
            None => Ok(()),
            Some(Failure::Rejected(message)) => Err(ExecutionError::Rejected { what: what.to_owned(), message }),
            Some(Failure::Lost(message)) => {
                // For good.
                *failure = Some(Failure::Lost(message.clone()));
                Err(ExecutionError::DeviceLost(message))
            }
        }
    }

    /// Waits until the device has done all that was submitted.
    pub fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<(), ExecutionError> {
        loop {
            match self.device.poll(wgpu::PollType::Wait { submission_index: submission.clone(), timeout: None }) {
                Ok(_) => return self.check("a step"),
                // GL gives up after about two seconds; the work goes on.
                Err(wgpu::PollError::Timeout) => self.check("a step")?,
                Err(error) => return Err(ExecutionError::DeviceLost(error.to_string())),
            }
        }
    }
}

/// Keeps the first failure: the others follow from it.
fn note(failure: &Mutex<Option<Failure>>, new: Failure) {
    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(new);
}
