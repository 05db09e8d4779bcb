//! One measurement as a flat record: a line of CSV, an object of JSON.

use serde::Serialize;

use super::Stats;
use crate::gpu::DeviceInfo;

/// One measurement, with all that is needed to read it later. What a benchmark does not measure is `None`.
///
/// Times are nanoseconds: of one dispatch for kernels, as `bench` says for others. Rates follow from the median of the
/// device's clock, or of the wall clock where the device has none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Which benchmark: `kernels`, or `peaks` for what the adapter can do.
    pub bench: &'static str,
    /// What was measured, the same for all variants and devices: `smollm2 ffn_down q8_0 m1`.
    pub name: String,
    pub kernel: String,
    pub variant: String,
    /// The kernel with everything that was fixed when its shader was compiled.
    pub program: String,
    /// The shape in words.
    pub shape: String,
    pub device: String,
    pub device_type: String,
    pub backend: String,
    pub driver: String,
    /// Bytes: the largest storage binding that the adapter allows.
    pub max_storage_binding: u64,
    /// Bytes: the largest workgroup memory that the adapter allows.
    pub max_workgroup_memory: u32,
    /// wgpt's version.
    pub version: &'static str,
    /// How it was measured: rounds, dispatches a sample, how caches were kept cold.
    pub settings: String,
    /// When, in seconds since 1970.
    pub unix_time: u64,
    pub samples: usize,
    pub device_min_ns: Option<f64>,
    pub device_median_ns: Option<f64>,
    pub device_p95_ns: Option<f64>,
    pub device_mean_ns: Option<f64>,
    pub device_stddev_ns: Option<f64>,
    pub wall_min_ns: Option<f64>,
    pub wall_median_ns: Option<f64>,
    pub wall_p95_ns: Option<f64>,
    pub wall_mean_ns: Option<f64>,
    pub wall_stddev_ns: Option<f64>,
    /// Operations of one dispatch; a multiplication with an addition counts two.
    pub flops: Option<u64>,
    /// Bytes that one dispatch must move at least: every input and output once.
    pub bytes: Option<u64>,
    /// 10^9 operations a second.
    pub gflops: Option<f64>,
    /// 10^9 bytes a second.
    pub gbps: Option<f64>,
    /// Operations a byte.
    pub intensity: Option<f64>,
    /// Which of the adapter's measured peaks bounds the work: `fma_f32`, `read`, `copy` or `dispatch`.
    pub bound: Option<&'static str>,
    /// That peak: GFLOP/s, GB/s, or nanoseconds a dispatch.
    pub bound_peak: Option<f64>,
    /// The least time that the bound allows over the time taken, in percent. Above 100 where caches helped.
    pub percent_of_bound: Option<f64>,
    /// Normalised mean squared error against the CPU reference.
    pub nmse: Option<f64>,
    /// The largest error of an element, over the reference's root mean square.
    pub max_error: Option<f64>,
    /// Elements that were compared with the reference, and of how many.
    pub compared: Option<u64>,
    pub elements: Option<u64>,
    /// What is wrong with the result, if it is outside of the kernel's tolerance.
    pub fault: Option<String>,
}

impl Record {
    /// A record of a device, without any measurement yet.
    pub fn of_device(bench: &'static str, device: &DeviceInfo) -> Record {
        Record {
            bench,
            device: device.name.clone(),
            device_type: device.device_type.clone(),
            backend: device.backend.clone(),
            driver: format!("{} {}", device.driver, device.driver_info).trim().to_owned(),
            max_storage_binding: device.limits.max_storage_binding,
            max_workgroup_memory: device.limits.max_workgroup_memory,
            version: env!("CARGO_PKG_VERSION"),
            unix_time: std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs()),
            ..Record::default()
        }
    }

    /// Takes over the times: nanoseconds by the device's clock, if it has one, and by the wall clock.
    pub fn timed(mut self, device: Option<&Stats>, wall: &Stats) -> Record {
        self.samples = wall.samples;
        self.device_min_ns = device.map(|stats| stats.min);
        self.device_median_ns = device.map(|stats| stats.median);
        self.device_p95_ns = device.map(|stats| stats.p95);
        self.device_mean_ns = device.map(|stats| stats.mean);
        self.device_stddev_ns = device.map(|stats| stats.stddev);
        self.wall_min_ns = Some(wall.min);
        self.wall_median_ns = Some(wall.median);
        self.wall_p95_ns = Some(wall.p95);
        self.wall_mean_ns = Some(wall.mean);
        self.wall_stddev_ns = Some(wall.stddev);
        self
    }
}
