//! What a loaded model says about itself.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::formats::{Checkpoint, DType, Description};
use crate::gpu::DeviceInfo;
use crate::model::Memory;

/// Where the time of loading went. Descriptions and the tokenizer take the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadTimings {
    /// Finding and opening the device.
    pub device: Duration,
    /// Reading the weights, and laying their blocks out as the kernels want them.
    pub read: Duration,
    /// Handing the weights to the device.
    pub upload: Duration,
    /// Making pipelines, as far as the weights were not waited for meanwhile.
    pub compile: Duration,
}

/// A loaded model, described.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    pub name: String,
    pub architecture: String,
    pub parameters: u64,
    /// Bytes of the checkpoint's tensors.
    pub size: u64,
    /// `Q4_K_M`, `BF16`, ...
    pub quantisation: String,
    /// Tokens that the model knows: logits of a row.
    pub vocabulary: usize,
    /// Tokens of a sequence.
    pub context: u32,
    /// Tokens of a prefill chunk.
    pub chunk_size: u32,
    pub device: DeviceInfo,
    /// Which kernel does what in this engine.
    pub kernels: Vec<String>,
    /// From nothing to an engine that is ready.
    pub load: Duration,
    pub load_timings: LoadTimings,
    pub memory: Memory,
    pub warnings: Vec<String>,
    pub has_chat_template: bool,
}

/// The name that the checkpoint gives itself, or that of its file.
pub(super) fn name(checkpoint: &Checkpoint) -> String {
    let own = match checkpoint.description() {
        Description::Gguf(metadata) => metadata.str("general.name").map(str::to_owned),
        Description::HuggingFace { config, .. } => {
            config.get("_name_or_path").and_then(|v| v.as_str()).map(str::to_owned)
        }
    };
    own.filter(|name| !name.is_empty()).unwrap_or_else(|| stem(checkpoint.path()))
}

fn stem(path: &Path) -> String {
    let canonical = path.canonicalize();
    let path = canonical.as_deref().unwrap_or(path);
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    stem.map(|s| s.to_string_lossy().into_owned()).unwrap_or_else(|| "model".to_owned())
}

/// Elements of all tensors.
pub(super) fn parameters(checkpoint: &Checkpoint) -> u64 {
    checkpoint.tensors().map(|tensor| tensor.shape.iter().map(|n| *n as u64).product::<u64>()).sum()
}

/// The label of a GGUF file's mixture, or the type that most bytes have.
pub(super) fn quantisation(checkpoint: &Checkpoint) -> String {
    if let Description::Gguf(metadata) = checkpoint.description()
        && let Some(label) = metadata.u64("general.file_type").and_then(file_type)
    {
        return label.to_owned();
    }
    let mut bytes: HashMap<DType, u64> = HashMap::new();
    for tensor in checkpoint.tensors() {
        *bytes.entry(tensor.dtype).or_default() += tensor.size_bytes();
    }
    let most = bytes.into_iter().max_by_key(|(dtype, bytes)| (*bytes, *dtype));
    most.map(|(dtype, _)| dtype.name().to_owned()).unwrap_or_default()
}

/// llama.cpp's `llama_ftype`.
fn file_type(number: u64) -> Option<&'static str> {
    Some(match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        7 => "Q8_0",
        8 => "Q5_0",
        9 => "Q5_1",
        14 => "Q4_K_S",
        15 => "Q4_K_M",
        16 => "Q5_K_S",
        17 => "Q5_K_M",
        18 => "Q6_K",
        32 => "BF16",
        _ => return None,
    })
}
