//! How large to make things when the user does not say.

use crate::gpu::DeviceInfo;
use crate::model::Config;
use crate::recording::MemoryLimits;

/// Tokens of context unless asked for more: what most prompts need, at a modest cost in memory.
const DEFAULT_CONTEXT: usize = 4096;

/// The largest prefill chunk: beyond it a GPU gains nothing more.
const MAX_CHUNK: u64 = 512;
/// The smallest: below it the matrix kernels starve.
pub(super) const MIN_CHUNK: u64 = 32;
/// On a CPU that emulates a GPU.
const SOFTWARE_CHUNK: usize = 128;

/// The most logits of a scoring step: they are there twice, on the device and where the host reads them.
const MAX_LOGITS_BYTES: u64 = 256 << 20;

/// Tokens of a sequence.
pub(super) fn context(config: &Config) -> usize {
    config.context.min(DEFAULT_CONTEXT)
}

/// Tokens of a prefill chunk, so that even a slow device of the kind ends the largest matrix product of one within about
/// the time that a submit should take; of the whole chunk, it makes as many submits as that needs. It depends on the model
/// and the kind of device alone, so that runs can be repeated; where a device is slower yet, chunks shrink, and grow to this
/// again.
pub fn chunk(config: &Config, device: &DeviceInfo) -> usize {
    // A slow one of its kind, in floating-point operations a second.
    let rate: u64 = match device.device_type.as_str() {
        "discrete GPU" | "virtual GPU" => 1 << 40,
        // No watchdog, and nothing gained by more; a stop comes sooner.
        "software" => return SOFTWARE_CHUNK,
        _ => 1 << 37,
    };
    let chunk = rate / 10 / largest_product(config).max(1);
    let power = if chunk == 0 { 1 } else { 1 << chunk.ilog2() };
    u64::clamp(power, MIN_CHUNK, MAX_CHUNK) as usize
}

/// Rows of logits of a step that scores a text.
pub(super) fn scoring_rows(config: &Config, limits: MemoryLimits) -> usize {
    let bytes = limits.max_binding.min(MAX_LOGITS_BYTES);
    (bytes / (4 * config.vocabulary as u64).max(1)).max(1) as usize
}

/// Multiplications and additions of the largest matrix product of a layer for one token.
fn largest_product(config: &Config) -> u64 {
    2 * config.dim as u64 * config.ffn_dim.max(config.heads * config.head_dim) as u64
}

/// Bytes that may be taken on a software device, whose buffers lie in the host's own memory. Real GPUs report running out
/// themselves.
pub(super) fn available_memory(device: &DeviceInfo) -> Option<u64> {
    if !device.is_software() {
        return None;
    }
    let kind = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let mut system = sysinfo::System::new();
    system.refresh_memory_specifics(kind);
    Some(system.available_memory()).filter(|bytes| *bytes > 0)
}
