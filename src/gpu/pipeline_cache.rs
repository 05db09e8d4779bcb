//! The driver's compiled pipelines in a file, for backends that give them (Vulkan). Where the driver keeps a cache of its
//! own, as Mesa's drivers do, it adds little; others compile anew in each process without it.

use std::path::Path;

use super::adapter::DeviceInfo;
use crate::cache::CacheFile;

const KIND: &str = "pipelines";

/// A cache that pipelines are made with, and the file that outlives the process.
pub(super) struct PipelineCache {
    pub cache: wgpu::PipelineCache,
    file: CacheFile,
    /// What the file holds.
    kept: Vec<u8>,
}

impl PipelineCache {
    /// A cache with what the folder has for the device, and why its file was ignored if it was; no cache where the backend
    /// has none.
    pub fn open(device: &wgpu::Device, info: &DeviceInfo, folder: &Path) -> (Option<PipelineCache>, Option<String>) {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return (None, None);
        }
        let file = CacheFile::new(folder, KIND, info.origin());
        let (kept, notice) = match file.read() {
            Ok(kept) => (kept.unwrap_or_default(), None),
            Err(ignored) => (Vec::new(), Some(ignored.to_string())),
        };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some(KIND),
            data: (!kept.is_empty()).then_some(&kept),
            // An empty cache where the data is not for this device after all.
            fallback: true,
        };
        // SAFETY: the data came from `get_data` in a process with the same adapter, driver and version, and its checksum is
        // right (`CacheFile`); wgpu and the driver check the headers that they have put into it. What remains is somebody
        // who forges the file, and who can then also replace the program: both lie in folders of the user's own.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        (Some(PipelineCache { cache, file, kept }), notice)
    }

    /// Writes the file, if there is anything new. A failure costs a later process time and nothing else.
    pub fn keep(&self) {
        let Some(data) = self.cache.get_data().filter(|data| *data != self.kept) else { return };
        match self.file.write(&data) {
            Ok(()) => tracing::debug!(file = %self.file.path().display(), bytes = data.len(), "kept the pipelines"),
            Err(error) => tracing::warn!(file = %self.file.path().display(), %error, "cannot keep the pipelines"),
        }
    }
}
