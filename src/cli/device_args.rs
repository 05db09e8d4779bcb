//! The flags about the device and how it is used, which every command that runs a model has.

use std::time::Duration;

use clap::Args;
use wgpt::engine::{EngineOptions, KvType};
use wgpt::gpu::{Backend, DeviceSelector};
use wgpt::kernels::Forced;

use super::cache_folder::cache_folder;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Prompt tokens that one step computes [default: chosen for the device]. `-ub N` is the same
    #[arg(short = 'b', long, visible_aliases = ["batch-size", "ubatch-size"], value_name = "N")]
    #[arg(value_parser = parse_tokens, allow_negative_numbers = true)]
    chunk_size: Option<u32>,

    #[command(flatten)]
    engine: EngineArgs,
}

/// All of them but the chunk size, of which a benchmark takes several.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct EngineArgs {
    /// Type of the KV cache: f16 takes half the memory of f32, and q8_0 about half of that
    #[arg(long, visible_alias = "cache-type", value_name = "f32|f16|q8_0", default_value = "f16")]
    kv_type: KvType,

    /// Make logits the same to the bit for any chunk size; slower
    ///
    /// On one device and driver, the logits of a text are then the same to the bit whatever the chunk size, and in the library
    /// also beside whatever other texts, in whatever pages of the cache, and whether their prefixes were cached or not. Each matrix is
    /// multiplied by one kernel, for one token as for many, which costs speed: see `wgpt devices -v` for which it is. Another
    /// device, driver or version may still give other bits.
    #[arg(long)]
    deterministic: bool,

    /// Use these kernels, whatever is the default or was measured: linear.decode=matvec,attention=attention
    ///
    /// The roles are linear.decode (1 token), linear.batch (2 to 8), linear.short (9 to 32), linear.prefill (more) and attention. Kernels
    /// for linear layers of any number of tokens are matmul32, matmul64, matvec_blocks, matmul_lanes8, matmul_lanes16, matvec_lanes
    /// and matvec_lanes_q8, the last with activations of 8 bits;
    /// in f16 matmul_f16_64 and matmul_f16_128; on matrix units matmul_coop8_64, matmul_coop8_128, matmul_coop16_64 and
    /// matmul_coop16_128, the last two also with _wide behind for subgroups of up to 64 lanes. Those for up to 8 tokens are also
    /// matvec and matvec_subgroup. Attention has attention and attention_lanes. Not every device runs all. Kernels for linear layers
    /// with lanes in their names load weights from textures, all others from buffers: name kernels of one kind, and the roles
    /// that you do not name follow.
    #[arg(long, value_name = "ROLE=KERNEL,..", conflicts_with = "deterministic")]
    variant: Option<Forced>,

    /// Milliseconds that one submit to the device should take at most: drivers end those that take seconds [default: 100]
    #[arg(long, value_name = "MS", value_parser = parse_milliseconds)]
    submit_ms: Option<u64>,

    /// A device of `wgpt devices`, by its index or a part of its name; `-dev DEVICE` is the same
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Take only devices of this backend
    #[arg(long, value_name = "vulkan|metal|dx12|gl")]
    backend: Option<Backend>,
}

impl DeviceArgs {
    /// What the flags ask for; the rest as the library has it.
    pub fn engine_options(self) -> EngineOptions {
        EngineOptions { chunk_size: self.chunk_size, ..self.engine.engine_options() }
    }
}

impl EngineArgs {
    /// What the flags ask for; the rest as the library has it.
    pub fn engine_options(self) -> EngineOptions {
        EngineOptions {
            device: DeviceSelector { device: self.device, backend: self.backend },
            kv_type: self.kv_type,
            deterministic: self.deterministic,
            variants: self.variant.unwrap_or_default(),
            cache: cache_folder(),
            submit_budget: self.submit_ms.map(Duration::from_millis),
            ..EngineOptions::default()
        }
    }
}

fn parse_milliseconds(text: &str) -> Result<u64, String> {
    let milliseconds = text.parse().ok().filter(|&milliseconds| milliseconds > 0);
    milliseconds.ok_or_else(|| "use a number of milliseconds, 1 or more".to_owned())
}

/// A number of tokens.
pub fn parse_tokens(text: &str) -> Result<u32, String> {
    let tokens = text.parse().ok().filter(|&tokens| tokens > 0);
    tokens.ok_or_else(|| "use a number of tokens, 1 or more, or leave the flag out".to_owned())
}
