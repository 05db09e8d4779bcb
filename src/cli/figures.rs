//! The report after a run, for people and as JSON, and the units that people read.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wgpt::engine::{FinishReason, Generation, ModelInfo};

use super::terminal::printable;
use wgpt::units::three_digits;
pub use wgpt::units::{count, size};

/// What a run took and used.
pub struct Figures<'a> {
    pub path: &'a Path,
    pub model: &'a ModelInfo,
    pub generation: &'a Generation,
    pub seed: u64,
    /// That the model was made for.
    pub longest_context: usize,
    /// Says more about the model and the device.
    pub verbose: bool,
}

/// What `--json` says about the model.
pub fn model_json(path: &Path, model: &ModelInfo) -> Value {
    json!({
        "path": path.to_string_lossy(),
        "name": model.name,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "quantisation": model.quantisation,
        "context": model.context,
        "chunk_size": model.chunk_size,
    })
}

/// What `--json` calls a [`FinishReason`].
fn finish_name(reason: &FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos => "eos",
        FinishReason::Stop(_) => "stop",
        FinishReason::Length => "length",
        FinishReason::Context => "context",
        FinishReason::Interrupted => "interrupted",
    }
}

impl Figures<'_> {
    /// The object that `--json` prints. Durations are in seconds and sizes in bytes.
    pub fn to_json(&self) -> Value {
        let Self { model, generation, .. } = self;
        let timings = &generation.timings;
        json!({
            "text": generation.text,
            "token_ids": generation.token_ids,
            "finish_reason": finish_name(&generation.finish_reason),
            "stop": match &generation.finish_reason { FinishReason::Stop(text) => Some(text), _ => None },
            "seed": self.seed,
            "prompt_tokens": generation.prompt_tokens,
            "cached_prompt_tokens": generation.cached_prompt_tokens,
            "generated_tokens": generation.token_ids.len(),
            "wasted_tokens": generation.wasted_tokens,
            "timings": {
                "load_s": model.load.as_secs_f64(),
                "prefill_s": timings.prefill.as_secs_f64(),
                "time_to_first_token_s": timings.time_to_first_token.as_secs_f64(),
                "decode_s": timings.decode.as_secs_f64(),
                "host_per_step_s": timings.host_per_step.as_secs_f64(),
            },
            "prompt_tokens_per_second": generation.prompt_tokens_per_second(),
            "decode_tokens_per_second": generation.decode_tokens_per_second(),
            "memory": model.memory,
            "model": model_json(self.path, model),
            "device": model.device,
            "kernels": model.kernels,
            "warnings": model.warnings,
        })
    }

    fn write_verbose(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, generation, .. } = self;
        let device = &model.device;
        let [name, architecture] = [&model.name, &model.architecture].map(|text| printable(text));
        let quantisation = &model.quantisation;
        row(f, "model", &format!("{name}, {architecture}, {} parameters, {quantisation}", count(model.parameters)))?;
        row(
            f,
            "device",
            &format!(
                "{} ({}, {}, {} {})",
                device.name, device.backend, device.device_type, device.driver, device.driver_info
            ),
        )?;
        row(f, "kernels", &model.kernels.join("; "))?;
        row(f, "context", &format!("{} tokens, prefilled in chunks of {}", model.context, model.chunk_size))?;
        if !generation.timings.host_per_step.is_zero() {
            row(f, "host", &format!("{} a decode step", seconds(generation.timings.host_per_step)))?;
        }
        row(f, "wasted", &tokens(generation.wasted_tokens, 0.0))
    }

    /// Why the run ended, where it was cut off: by default, nobody asks about other ends.
    fn ending(&self) -> Option<String> {
        let Self { model, generation, longest_context, verbose, .. } = self;
        let context = model.context as usize;
        Some(match &generation.finish_reason {
            FinishReason::Length => format!("-n, after {}", tokens(generation.token_ids.len(), 0.0)),
            FinishReason::Context if context < *longest_context => {
                format!("the context of {context} tokens, which is full; -c gives more, up to {longest_context}")
            }
            FinishReason::Context => format!("the model's context of {context} tokens, which is full"),
            _ if !verbose => return None,
            FinishReason::Eos => "the model".to_owned(),
            FinishReason::Stop(text) => format!("--stop {}", printable(text)),
            FinishReason::Interrupted => "a signal".to_owned(),
        })
    }
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, generation, .. } = self;
        let timings = &generation.timings;
        let memory = &model.memory;
        let total = memory.weights.saturating_add(memory.kv_cache).saturating_add(memory.scratch);
        if self.verbose {
            self.write_verbose(f)?;
        }
        row(f, "load", &seconds(model.load))?;
        row(f, "prompt", &tokens(generation.prompt_tokens, generation.prompt_tokens_per_second()))?;
        if !generation.token_ids.is_empty() {
            row(f, "first token", &seconds(timings.time_to_first_token))?;
        }
        row(f, "generated", &tokens(generation.token_ids.len(), generation.decode_tokens_per_second()))?;
        if let Some(ending) = self.ending() {
            row(f, "ended by", &ending)?;
        }
        let [weights, kv_cache, scratch, total] = [memory.weights, memory.kv_cache, memory.scratch, total].map(size);
        row(f, "memory", &format!("{total}: weights {weights}, KV cache {kv_cache}, scratch {scratch}"))?;
        row(f, "seed", &self.seed.to_string())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    let value = value.trim_end();
    writeln!(f, "{name:<12}{value}")
}

/// `48 tokens, 4.21 tokens/s`; without a speed where there was nothing to measure.
fn tokens(count: usize, per_second: f64) -> String {
    let mut text = format!("{count} token{}", if count == 1 { "" } else { "s" });
    if per_second.is_finite() && per_second > 0.0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {} tokens/s", three_digits(per_second));
    }
    text
}

/// `1.24 s`, or `12.4 ms` below a tenth of a second.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.1 { format!("{} ms", three_digits(seconds * 1e3)) } else { format!("{} s", three_digits(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_are_in_milliseconds() {
        assert_eq!(seconds(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(seconds(Duration::from_millis(340)), "0.34 s");
        assert_eq!(seconds(Duration::from_secs(75)), "75.0 s");
    }

    #[test]
    fn a_speed_that_was_not_measured_is_left_out() {
        assert_eq!(tokens(0, f64::NAN), "0 tokens");
        assert_eq!(tokens(1, f64::INFINITY), "1 token");
        assert_eq!(tokens(48, 4.214), "48 tokens, 4.21 tokens/s");
    }
}
