//! How long recordings take, by the device's clock and by the wall's.

use std::time::{Duration, Instant};

use super::device::{Device, Part};
use super::executor::GpuExecutor;
use super::recorded::{encode, find};
use crate::recording::{ExecutionError, Prepared};

/// How long a submit took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the start of its compute pass to the end, by the device's clock; `None` where the adapter has none, or the device
    /// was not opened [for benchmarks](GpuExecutor::open_for_benchmarks).
    pub device: Option<Duration>,
    /// From handing it over to knowing that it is done.
    pub wall: Duration,
}

impl GpuExecutor {
    /// Runs prepared recordings, one after the other in one compute pass of one submit, and says how long all of that took.
    ///
    /// To time a dispatch, repeat it so often that handing over a submit does not matter, and divide.
    ///
    /// # Errors
    /// When a recording was discarded, or the device fails.
    pub fn time(&mut self, sequence: &[Prepared]) -> Result<Timing, ExecutionError> {
        self.device.wait(0)?;
        // Put back only when it is free again.
        let clock = self.clock.take().or_else(|| DeviceClock::new(&self.device));
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let timestamp_writes = clock.as_ref().map(DeviceClock::writes);
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            let mut pass = encoder.begin_compute_pass(&descriptor);
            for prepared in sequence {
                encode(&mut pass, &find(&self.prepared, *prepared)?.steps);
            }
        }
        if let Some(clock) = &clock {
            clock.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let started = Instant::now();
        self.device.submit(Some(commands), Part::Other)?;
        self.device.wait(0)?;
        let wall = started.elapsed();
        let device = clock.as_ref().map(|clock| clock.read(&self.device)).transpose()?.flatten();
        self.clock = clock;
        Ok(Timing { device, wall })
    }
}

/// Timestamps at the start and at the end of a pass.
pub(super) struct DeviceClock {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readback: wgpu::Buffer,
}

/// Two timestamps of 64 bits.
const BYTES: u64 = 16;

impl DeviceClock {
    fn new(device: &Device) -> Option<DeviceClock> {
        let device = &device.device;
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let buffer = |usage| {
            let label = Some("timestamps");
            device.create_buffer(&wgpu::BufferDescriptor { label, size: BYTES, usage, mapped_at_creation: false })
        };
        Some(DeviceClock {
            queries,
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readback: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
        })
    }

    fn writes(&self) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readback, 0, BYTES);
        encoder.map_buffer_on_submit(&self.readback, wgpu::MapMode::Read, ..BYTES, |_| {});
    }

    /// The time between the two; `None` if the clock stood still or ran backwards, as some drivers' do.
    fn read(&self, device: &Device) -> Result<Option<Duration>, ExecutionError> {
        let mapped = self
            .readback
            .get_mapped_range(..BYTES)
            .map_err(|e| ExecutionError::DeviceLost(format!("its memory could not be read: {e}")))?;
        let [start, end]: [u64; 2] = bytemuck::pod_read_unaligned(&mapped);
        drop(mapped);
        self.readback.unmap();
        let period = f64::from(device.queue.get_timestamp_period());
        let ticks = end.checked_sub(start).filter(|ticks| *ticks > 0);
        Ok(ticks.map(|ticks| Duration::from_nanos((ticks as f64 * period) as u64)))
    }
}
