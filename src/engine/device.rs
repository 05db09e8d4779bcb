//! What an engine computes on.

use super::EngineOptions;
use crate::gpu::{AdapterError, DeviceInfo, GpuExecutor};
use crate::kernels::Selection;
use crate::recording::Executor;

/// An executor, and what the engine has to know of its device to choose sizes and kernels.
pub struct EngineDevice {
    pub executor: Box<dyn Executor + Send>,
    pub info: DeviceInfo,
    pub selection: Selection,
}

impl EngineDevice {
    /// Opens the GPU that the options name.
    ///
    /// # Errors
    /// When there is no such adapter, or its driver is known to be wrong or refuses.
    pub fn open(options: &EngineOptions) -> Result<EngineDevice, AdapterError> {
        let mut executor = GpuExecutor::open(&options.device)?;
        if let Some(limit) = options.stall_limit {
            executor.set_stall_limit(limit);
        }
        let (info, selection) = (executor.info().clone(), executor.selection());
        Ok(EngineDevice { executor: Box::new(executor), info, selection })
    }
}
