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
    let Some(operations) = operations_of_a_submit(device) else { return SOFTWARE_CHUNK };
    let chunk = operations as f64 / largest_product(config).max(1) as f64;
    // The nearest power of two: the time is a guess, and fewer tokens read the weights more often.
    let power = 1 << chunk.max(1.0).log2().round() as u32;
    u64::clamp(power, MIN_CHUNK, MAX_CHUNK) as usize
}

/// Rows of logits of a step that scores a text: as many as there is room for, and as a slow device of the kind computes in one
/// product within about the time that a submit should take, since a dispatch cannot be parted.
pub(super) fn scoring_rows(config: &Config, device: &DeviceInfo, limits: MemoryLimits) -> usize {
    let vocabulary = config.vocabulary.max(1) as u64;
    let by_bytes = limits.max_binding.min(MAX_LOGITS_BYTES) / (4 * vocabulary);
    let a_row = 2 * config.dim.max(1) as u64 * vocabulary;
    let by_time = operations_of_a_submit(device).map_or(u64::MAX, |operations| operations / a_row);
    by_bytes.min(by_time).max(1) as usize
}

/// The floating-point operations that a slow device of the kind does in 100 ms; none of a software device, which has no
/// watchdog, and gains nothing by more.
fn operations_of_a_submit(device: &DeviceInfo) -> Option<u64> {
    // An M1 has 2.6 TFLOP/s, as many as small discrete GPUs.
    let fast = matches!(device.device_type.as_str(), "discrete GPU" | "virtual GPU") || device.is_apple();
    let a_second: u64 = if fast { 1 << 40 } else { 1 << 37 };
    (!device.is_software()).then_some(a_second / 10)
}

/// Multiplications and additions of the largest matrix product of a layer for one token: Q, K and V are one, and so are gate
/// and up.
fn largest_product(config: &Config) -> u64 {
    let qkv = (config.heads + 2 * config.kv_heads) * config.head_dim;
    2 * config.dim as u64 * qkv.max(2 * config.ffn_dim) as u64
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
