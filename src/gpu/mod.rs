//! Adapters, devices, buffers and pipelines: the only room that names wgpu.

mod adapter;
mod choices;
mod device;
mod executor;
mod memory;
mod pace;
mod pipeline_cache;
mod pipelines;
mod recorded;
mod texels;
mod timeline;
mod timing;
mod worker_threads;

pub use adapter::{AdapterError, Backend, DeviceInfo, DeviceLimits, DeviceSelector, devices, matching};
pub use executor::GpuExecutor;
pub use timing::Timing;
