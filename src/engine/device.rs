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
    /// What the user should know of how it was opened, such as that a file of the cache was ignored.
    pub notices: Vec<String>,
}

impl EngineDevice {
    /// Opens the GPU that the options name.
    ///
    /// # Errors
    /// When there is no such adapter, its driver is known to be wrong or refuses, or it cannot run the kernels that the
    /// options name.
    pub fn open(options: &EngineOptions) -> Result<EngineDevice, AdapterError> {
        let folder = options.cache.as_deref();
        let mut executor = GpuExecutor::open_keeping(&options.device, folder)?;
        if let Some(limit) = options.stall_limit {
            executor.set_stall_limit(limit);
        }
        if let Some(budget) = options.submit_budget {
            executor.set_submit_budget(budget);
        }
        let mut info = executor.info().clone();
        let (choices, ignored) = info.choices(folder, &options.variants)?;
        info.kernels = choices.describe();
        let notices = executor.notices().iter().cloned().chain(ignored).collect();
        Ok(EngineDevice { executor: Box::new(executor), info, selection: choices.selection(), notices })
    }
}
