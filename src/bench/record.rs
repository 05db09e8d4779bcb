//! Measurements as flat records: a line of CSV, an object of JSON.

use serde::Serialize;

use super::Stats;
use crate::gpu::DeviceInfo;

/// What each measurement says of where and when it was made.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Origin {
    /// Which benchmark: `model`, `complexity`, `kernels`, or `peaks` for what the adapter can do.
    pub bench: &'static str,
    pub device: String,
    pub device_type: String,
    pub backend: String,
    pub driver: String,
    /// Bytes: the largest buffer that the adapter allows.
    pub max_buffer: u64,
    /// Bytes: the largest storage binding that the adapter allows.
    pub max_storage_binding: u64,
    /// Bytes: the largest workgroup memory that the adapter allows.
    pub max_workgroup_memory: u32,
    /// Threads: the largest workgroup that the adapter allows.
    pub max_workgroup_invocations: u32,
    /// The adapter's smallest and largest subgroup, in lanes.
    pub min_subgroup: u32,
    pub max_subgroup: u32,
    /// wgpt's version.
    pub version: &'static str,
    /// The git commit that wgpt was built from; `None` where it was built outside of its repository.
    pub build_commit: Option<&'static str>,
    /// When, as in RFC 3339, in UTC.
    pub test_time: String,
}

impl Origin {
    /// A measurement of this moment on a device.
    pub fn of_device(bench: &'static str, device: &DeviceInfo) -> Origin {
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).ok();
        Origin {
            bench,
            device: device.name.clone(),
            device_type: device.device_type.clone(),
            backend: device.backend.clone(),
            driver: format!("{} {}", device.driver, device.driver_info).trim().to_owned(),
            max_buffer: device.limits.max_buffer_size,
            max_storage_binding: device.limits.max_storage_binding,
            max_workgroup_memory: device.limits.max_workgroup_memory,
            max_workgroup_invocations: device.limits.max_workgroup_invocations,
            min_subgroup: device.subgroup_sizes.0,
            max_subgroup: device.subgroup_sizes.1,
            version: env!("CARGO_PKG_VERSION"),
            build_commit: option_env!("WGPT_COMMIT"),
            test_time: now
                .and_then(|now| now.format(&time::format_description::well_known::Rfc3339).ok())
                .unwrap_or_default(),
        }
    }
}

/// How fast a kernel is. What was not measured is `None`.
///
/// Times are nanoseconds of one dispatch. Rates follow from the median of the device's clock, or of the wall clock where the
/// device has none.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KernelRecord {
    #[serde(flatten)]
    pub origin: Origin,
    /// What was measured, the same for all variants and devices: `smollm2 ffn_down q8_0 m1`.
    pub name: String,
    pub kernel: String,
    pub variant: String,
    /// The kernel with everything that was fixed when its shader was compiled.
    pub program: String,
    /// The shape in words.
    pub shape: String,
    /// How it was measured: rounds, dispatches a sample, how caches were kept cold.
    pub settings: String,
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
    /// The time that the kernel would take if it were as fast throughout as over weights or keys that stay in a cache, over
    /// the time taken, in percent: what it loses to memory. Only of software devices, whose cores bound what memory does on
    /// a GPU.
    pub percent_of_inner_loop: Option<f64>,
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

impl KernelRecord {
    /// Takes over the times: nanoseconds by the device's clock, if it has one, and by the wall clock.
    pub fn timed(mut self, device: Option<&Stats>, wall: &Stats) -> KernelRecord {
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
