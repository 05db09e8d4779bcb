//! What each format calls the tensors.

use super::config::Config;
use crate::formats::{Checkpoint, Description, TensorInfo};

/// A tensor outside of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    Embedding,
    OutputNorm,
    Output,
}

/// A tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PerLayer {
    AttentionNorm,
    Query,
    Key,
    Value,
    QueryBias,
    KeyBias,
    ValueBias,
    QueryNorm,
    KeyNorm,
    AttentionOutput,
    AttentionOutputBias,
    PostAttentionNorm,
    FfnNorm,
    Gate,
    Up,
    Down,
    PostFfnNorm,
}

/// Finds tensors by what they are.
pub(super) struct Names<'a> {
    checkpoint: &'a Checkpoint,
    gguf: bool,
    /// Gemma 3's layers have norms after the blocks, too, and Hugging Face calls its FFN norm differently.
    post_norms: bool,
    /// What Hugging Face puts before `layers.`; multimodal checkpoints nest it.
    prefix: &'static str,
}

impl<'a> Names<'a> {
    pub fn new(checkpoint: &'a Checkpoint, config: &Config) -> Names<'a> {
        let gguf = matches!(checkpoint.description(), Description::Gguf(_));
        let prefix = ["model.", "language_model.model.", "model.language_model.", ""]
            .into_iter()
            .find(|prefix| checkpoint.tensor(&format!("{prefix}embed_tokens.weight")).is_some())
            .unwrap_or("model.");
        Names { checkpoint, gguf, post_norms: config.post_norms, prefix }
    }

    pub fn global_name(&self, what: Global) -> String {
        match (self.gguf, what) {
            (true, Global::Embedding) => "token_embd.weight".to_owned(),
            (true, Global::OutputNorm) => "output_norm.weight".to_owned(),
            (true, Global::Output) => "output.weight".to_owned(),
            (false, Global::Embedding) => format!("{}embed_tokens.weight", self.prefix),
            (false, Global::OutputNorm) => format!("{}norm.weight", self.prefix),
            (false, Global::Output) if self.prefix == "language_model.model." => {
                "language_model.lm_head.weight".to_owned()
            }
            (false, Global::Output) => "lm_head.weight".to_owned(),
        }
    }

    pub fn layer_name(&self, layer: usize, what: PerLayer) -> String {
        use PerLayer::*;
        if self.gguf {
            let name = match what {
                AttentionNorm => "attn_norm.weight",
                Query => "attn_q.weight",
                Key => "attn_k.weight",
                Value => "attn_v.weight",
                QueryBias => "attn_q.bias",
                KeyBias => "attn_k.bias",
                ValueBias => "attn_v.bias",
                QueryNorm => "attn_q_norm.weight",
                KeyNorm => "attn_k_norm.weight",
                AttentionOutput => "attn_output.weight",
                AttentionOutputBias => "attn_output.bias",
                PostAttentionNorm => "post_attention_norm.weight",
                FfnNorm => "ffn_norm.weight",
                Gate => "ffn_gate.weight",
                Up => "ffn_up.weight",
                Down => "ffn_down.weight",
                PostFfnNorm => "post_ffw_norm.weight",
            };
            return format!("blk.{layer}.{name}");
        }
        let name = match what {
            AttentionNorm => "input_layernorm.weight",
            Query => "self_attn.q_proj.weight",
            Key => "self_attn.k_proj.weight",
            Value => "self_attn.v_proj.weight",
            QueryBias => "self_attn.q_proj.bias",
            KeyBias => "self_attn.k_proj.bias",
            ValueBias => "self_attn.v_proj.bias",
            QueryNorm => "self_attn.q_norm.weight",
            KeyNorm => "self_attn.k_norm.weight",
            AttentionOutput => "self_attn.o_proj.weight",
            AttentionOutputBias => "self_attn.o_proj.bias",
            PostAttentionNorm => "post_attention_layernorm.weight",
            FfnNorm if self.post_norms => "pre_feedforward_layernorm.weight",
            FfnNorm => "post_attention_layernorm.weight",
            Gate => "mlp.gate_proj.weight",
            Up => "mlp.up_proj.weight",
            Down => "mlp.down_proj.weight",
            PostFfnNorm => "post_feedforward_layernorm.weight",
        };
        format!("{}layers.{layer}.{name}", self.prefix)
    }

    /// The tensors that must be of use, or the model is not what its description says: all of a GGUF file but the RoPE's, and
    /// those of layers in other checkpoints, which may hold more than a text model.
    pub fn of_use(&self) -> impl Iterator<Item = &'a TensorInfo> {
        let start = if self.gguf { String::new() } else { format!("{}layers.", self.prefix) };
        // Old checkpoints store what follows from the description.
        let apart = if self.gguf { "rope_freqs.weight" } else { ".rotary_emb.inv_freq" };
        self.checkpoint.tensors().filter(move |t| t.name.starts_with(&start) && !t.name.ends_with(apart))
    }

    pub fn find(&self, name: &str) -> Option<&'a TensorInfo> {
        self.checkpoint.tensor(name)
    }
}
