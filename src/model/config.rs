//! Hyperparameters: one description for every family, so that the decoder is written once.

use crate::formats::{Checkpoint, Description};
use crate::kernels::gated_activation::Activation;
use crate::kernels::rope_append::Pairing;

use super::ModelError;

/// A decoder-only transformer in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The family, as the checkpoint names it: `llama`, `qwen2`, ...
    pub architecture: String,
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of the feed-forward network.
    pub ffn_dim: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocabulary: usize,
    /// The longest context that the model was made for.
    pub context: usize,
    pub norm_eps: f32,
    /// Added to every norm's weight: 1 for Gemma in Hugging Face's form.
    pub norm_offset: f32,
    /// Multiplies the embeddings: sqrt(dim) for Gemma, else 1.
    pub embedding_scale: f32,
    /// Multiplies the attention scores: 1 / sqrt(head_dim) in most models.
    pub attention_scale: f32,
    pub activation: Activation,
    pub pairing: Pairing,
    /// RoPE of layers with full attention, and of layers with a sliding window where they differ.
    pub rope: Rope,
    pub rope_sliding: Option<Rope>,
    /// Q and K are normed, each head by itself, before RoPE.
    pub qk_norm: bool,
    /// What attention and feed-forward network give is normed before it is added to the residual stream.
    pub post_norms: bool,
    /// The LM head is the embedding; `None`: it is unless the checkpoint holds one of its own.
    pub tied: Option<bool>,
    /// One entry a layer.
    pub layers: Vec<Layer>,
}

/// What differs from layer to layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// A query sees itself and the `window - 1` positions before it; `None`: all before it.
    pub window: Option<u32>,
    /// The layer uses [`Config::rope_sliding`] where the model has it.
    pub sliding: bool,
}

impl Layer {
    /// A layer with a sliding window, unless the window is as long as any context.
    pub(super) fn sliding(window: Option<usize>, context: usize) -> Layer {
        Layer { window: window.filter(|w| *w > 0 && *w < context).map(|w| w as u32), sliding: true }
    }

    pub(super) fn full() -> Layer {
        Layer { window: None, sliding: false }
    }
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    pub base: f32,
    pub scaling: RopeScaling,
}

/// How the frequencies are changed for contexts longer than the ones trained on first.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions are divided by a factor (Chen et al. 2023).
    Linear {
        factor: f32,
    },
    /// Llama 3: low frequencies are divided, high ones kept, those between interpolated
    /// (transformers' `_compute_llama3_parameters`).
    Llama3 {
        factor: f32,
        low_freq_factor: f32,
        high_freq_factor: f32,
        original_context: f32,
    },
    /// Each frequency is divided by its own factor: GGUF's `rope_freqs.weight`.
    Factors(Vec<f32>),
}

impl Config {
    /// Reads the description of a checkpoint.
    ///
    /// # Errors
    /// For architectures that are not supported and for numbers that make no model.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Config, ModelError> {
        let config = match checkpoint.description() {
            Description::HuggingFace { config, .. } => super::config_huggingface::read(config)?,
            Description::Gguf(metadata) => super::config_gguf::read(metadata, checkpoint)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Multiplications and additions of the linear layers for one token, without the LM head.
    pub fn flops_per_token(&self) -> u64 {
        let dim = self.dim as u64;
        let attention = (2 * self.heads + 2 * self.kv_heads) as u64 * self.head_dim as u64 * dim;
        let ffn = 3 * self.ffn_dim as u64 * dim;
        2 * self.layers.len() as u64 * (attention + ffn)
    }

    /// Query heads that share a KV head.
    pub fn heads_per_kv_head(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Checks what the kernels rely on.
    fn validate(&self) -> Result<(), ModelError> {
        let bad = |key: &str, value: usize, problem: &str| {
            Err(ModelError::Value { key: key.to_owned(), value: value.to_string(), problem: problem.to_owned() })
        };
        let sizes = [
            ("hidden size", self.dim, 1 << 17),
            ("feed-forward size", self.ffn_dim, 1 << 20),
            ("number of heads", self.heads, 1 << 12),
            ("number of KV heads", self.kv_heads, 1 << 12),
            ("head size", self.head_dim, 256),
            ("vocabulary size", self.vocabulary, 1 << 21),
            ("context length", self.context, 1 << 28),
            ("number of layers", self.layers.len(), 1 << 12),
        ];
        for (key, value, most) in sizes {
            if value == 0 || value > most {
                return bad(key, value, &format!("is not between 1 and {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return bad("number of heads", self.heads, "is not a multiple of the number of KV heads");
        }
        if !self.head_dim.is_multiple_of(8) {
            return bad("head size", self.head_dim, "is not a multiple of 8");
        }
        for (key, value) in [
            ("norm epsilon", self.norm_eps),
            ("attention scale", self.attention_scale),
            ("embedding scale", self.embedding_scale),
        ] {
            if !value.is_finite() || value <= 0.0 {
                let problem = "is not a positive number".to_owned();
                return Err(ModelError::Value { key: key.to_owned(), value: value.to_string(), problem });
            }
        }
        self.rope.validate()?;
        self.rope_sliding.as_ref().map_or(Ok(()), Rope::validate)
    }
}

impl Rope {
    /// Checks that every frequency is a number.
    fn validate(&self) -> Result<(), ModelError> {
        let mut numbers = vec![self.base];
        match &self.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => numbers.push(*factor),
            RopeScaling::Factors(factors) => numbers.extend(factors),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let between = high_freq_factor - low_freq_factor;
                numbers.extend([*factor, *low_freq_factor, *high_freq_factor, *original_context, between]);
            }
        }
        match numbers.into_iter().find(|number| !number.is_finite() || *number <= 0.0) {
            Some(number) => Err(ModelError::Value {
                key: "RoPE".to_owned(),
                value: format!("{self:?}"),
                problem: format!("holds {number}, where only positive numbers make sense"),
            }),
            None => Ok(()),
        }
    }
}
