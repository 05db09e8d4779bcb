//! Hyperparameters from GGUF metadata, with llama.cpp's keys.

use super::ModelError;
use super::config::{Config, Layer, Rope, RopeScaling};
use crate::formats::gguf::{Array, Metadata, Value};
use crate::formats::{Checkpoint, blocks};
use crate::kernels::gated_activation::Activation;
use crate::kernels::rope_append::Pairing;

pub(super) fn read(metadata: &Metadata, checkpoint: &Checkpoint) -> Result<Config, ModelError> {
    let architecture =
        metadata.str("general.architecture").ok_or_else(|| ModelError::Missing("general.architecture".to_owned()))?;
    match architecture {
        "llama" | "mistral" | "qwen2" | "qwen3" | "gemma3" => Reader { metadata, architecture }.read(checkpoint),
        other => Err(ModelError::Architecture(shortened(other))),
    }
}

struct Reader<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Reader<'_> {
    fn read(&self, checkpoint: &Checkpoint) -> Result<Config, ModelError> {
        let gemma = self.architecture == "gemma3";
        self.refuse_what_is_not_computed()?;
        let dim = self.size("embedding_length")?;
        let heads = self.size("attention.head_count")?;
        let head_dim = match self.optional_size("attention.key_length")? {
            Some(head_dim) => head_dim,
            None if heads > 0 && dim % heads == 0 => dim / heads,
            None => return Err(self.bad("attention.head_count", heads, "does not divide the embedding length")),
        };
        for key in ["attention.value_length", "rope.dimension_count"] {
            if let Some(other) = self.optional_size(key)?
                && other != head_dim
            {
                return Err(self.bad(key, other, "differs from the size of a head, which is not supported"));
            }
        }
        let count = self.size("block_count")?.min(1 << 13);
        let context = self.optional_size("context_length")?.unwrap_or(2048);
        // The others' windows, Mistral 0.1's, are not in their GGUF files.
        let window = self.optional_size("attention.sliding_window")?.filter(|window| gemma && *window > 0);
        let slides = if window.is_some() { self.slides(count)? } else { vec![false; count] };
        let layer = |slides| if slides { Layer::sliding(window, context) } else { Layer::full() };
        let layers = slides.into_iter().map(layer).collect();
        // Gemma 3 27B alone scales by the width of the residual stream over the heads (llama.cpp's LLM_TYPE_27B).
        let attention_scale =
            if gemma && count == 62 { (dim as f32 / heads as f32).sqrt() } else { (head_dim as f32).sqrt() };
        let local = self.number("rope.freq_base_swa")?.unwrap_or(1e4);
        Ok(Config {
            architecture: self.architecture.to_owned(),
            dim,
            ffn_dim: self.size("feed_forward_length")?,
            heads,
            kv_heads: self.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocabulary: self.vocabulary(checkpoint)?,
            context,
            norm_eps: self
                .number("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| ModelError::Missing(self.key("attention.layer_norm_rms_epsilon")))?,
            // GGUF's converter has added the 1 to Gemma's norms already.
            norm_offset: 0.0,
            embedding_scale: if gemma { (dim as f32).sqrt() } else { 1.0 },
            attention_scale: 1.0 / attention_scale,
            activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
            // The converter permutes the llama family's Q and K for adjacent pairs.
            pairing: match self.architecture {
                "llama" | "mistral" => Pairing::Adjacent,
                _ => Pairing::Half,
            },
            rope: self.rope(checkpoint, head_dim)?,
            rope_sliding: gemma.then_some(Rope { base: local, scaling: RopeScaling::None }),
            qk_norm: gemma || self.architecture == "qwen3",
            post_norms: gemma,
            tied: None,
            layers,
        })
    }

    /// The embedding's rows: the tokenizer's size is checked against it where both are known.
    fn vocabulary(&self, checkpoint: &Checkpoint) -> Result<usize, ModelError> {
        let name = "token_embd.weight";
        let tensor = checkpoint.tensor(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?;
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if let Some(tokens) = self.metadata.strings("tokenizer.ggml.tokens")
            && tokens.len() > rows
        {
            let problem = format!("is more than the {rows} rows of the embedding");
            return Err(ModelError::Value {
                key: "tokenizer.ggml.tokens".to_owned(),
                value: format!("{} tokens long", tokens.len()),
                problem,
            });
        }
        Ok(rows)
    }

    /// Settings that change what a model computes, and that no kernel here does.
    fn refuse_what_is_not_computed(&self) -> Result<(), ModelError> {
        let unsupported = |what: &str| Err(ModelError::Unsupported(what.to_owned()));
        if self.optional_size("expert_count")?.is_some_and(|experts| experts > 0) {
            return unsupported("a mixture of experts");
        }
        if self.number("final_logit_softcapping")?.is_some_and(|cap| cap != 0.0) {
            return unsupported("a soft cap of the logits (final_logit_softcapping)");
        }
        if self.number("rope.scaling.attn_factor")?.is_some_and(|factor| factor != 1.0) {
            return unsupported("a factor of the attention (rope.scaling.attn_factor)");
        }
        Ok(())
    }

    /// Which layers have a window, as llama.cpp reads it (`get_key_or_arr`, `set_swa_pattern`): a flag for each, or all but
    /// every n-th, or where nothing is said every sixth.
    fn slides(&self, count: usize) -> Result<Vec<bool>, ModelError> {
        const KEY: &str = "attention.sliding_window_pattern";
        let flags: Vec<bool> = match self.metadata.get(&self.key(KEY)) {
            Some(Value::Array(Array::Bool(flags))) => flags.clone(),
            Some(Value::Array(_)) => {
                let numbers = self.metadata.i64s(&self.key(KEY));
                let numbers = numbers.ok_or_else(|| self.bad(KEY, "an array", "is no flags and no numbers"))?;
                numbers.into_iter().map(|number| number != 0).collect()
            }
            _ => {
                let period = self.optional_size(KEY)?.unwrap_or(6);
                return Ok((0..count).map(|layer| period == 0 || layer % period < period - 1).collect());
            }
        };
        if flags.len() < count {
            return Err(self.bad(KEY, format!("{} long", flags.len()), "has fewer entries than the model has layers"));
        }
        Ok(flags.into_iter().take(count).collect())
    }

    /// What positions are divided by, as llama.cpp reads it: without a type, a factor is linear.
    fn linear_factor(&self) -> Result<f32, ModelError> {
        match self.metadata.str(&self.key("rope.scaling.type")) {
            Some("none") => Ok(1.0),
            None | Some("linear") => match self.number("rope.scaling.factor")? {
                Some(factor) => Ok(factor),
                None => Ok(self.number("rope.scale_linear")?.unwrap_or(1.0)),
            },
            Some(other) => Err(ModelError::Unsupported(format!("the RoPE scaling '{}'", shortened(other)))),
        }
    }

    fn rope(&self, checkpoint: &Checkpoint, head_dim: usize) -> Result<Rope, ModelError> {
        let base = self.number("rope.freq_base")?.unwrap_or(1e4);
        let factor = self.linear_factor()?;
        let scaling = if let Some(tensor) = checkpoint.tensor("rope_freqs.weight") {
            let expected = vec![head_dim / 2];
            let wrong = || ModelError::Shape {
                name: tensor.name.clone(),
                found: tensor.shape.clone(),
                expected: expected.clone(),
            };
            // Before anything is allocated or read for it.
            if tensor.shape != expected {
                return Err(wrong());
            }
            let mut factors = vec![0.0; head_dim / 2];
            blocks::dequantize(tensor.dtype, &checkpoint.bytes(tensor)?, &mut factors).map_err(|_| wrong())?;
            factors.iter_mut().for_each(|own| *own *= factor);
            RopeScaling::Factors(factors)
        } else if factor == 1.0 {
            RopeScaling::None
        } else {
            RopeScaling::Linear { factor }
        };
        Ok(Rope { base, scaling })
    }

    fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.architecture)
    }

    fn size(&self, suffix: &str) -> Result<usize, ModelError> {
        self.optional_size(suffix)?.ok_or_else(|| ModelError::Missing(self.key(suffix)))
    }

    fn optional_size(&self, suffix: &str) -> Result<Option<usize>, ModelError> {
        let key = self.key(suffix);
        match (self.metadata.get(&key), self.metadata.u64(&key)) {
            (None, _) => Ok(None),
            (Some(_), Some(value)) if value <= u64::from(u32::MAX) => Ok(Some(value as usize)),
            (Some(value), _) => Err(self.bad(suffix, described(value), "is not a whole number below 2^32")),
        }
    }

    fn number(&self, suffix: &str) -> Result<Option<f32>, ModelError> {
        let key = self.key(suffix);
        match (self.metadata.get(&key), self.metadata.f32(&key)) {
            (None, _) => Ok(None),
            (Some(_), Some(value)) => Ok(Some(value)),
            (Some(value), None) => Err(self.bad(suffix, described(value), "is not a floating-point number")),
        }
    }

    fn bad(&self, suffix: &str, value: impl ToString, problem: &str) -> ModelError {
        ModelError::Value { key: self.key(suffix), value: value.to_string(), problem: problem.to_owned() }
    }
}

/// A value as a message names it: what a file says may be megabytes long.
fn described(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        other => shortened(&format!("{other:?}")),
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
