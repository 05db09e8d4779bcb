//! Which tensors a model needs, and where each lies on the device.

use std::collections::{HashMap, HashSet};

use super::ModelError;
use super::config::Config;
use super::names::{Global, Names, PerLayer};
use super::weight_upload::{Item, Placed, Role};
use crate::kernels::WeightSlices;
use crate::recording::Slice;

/// `y = x W^T (+ bias)`, W in shards by rows.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub shards: Vec<WeightSlices>,
    pub bias: Option<Slice>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct LayerWeights {
    pub attention_norm: Slice,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub query_norm: Option<Slice>,
    pub key_norm: Option<Slice>,
    pub attention_output: Linear,
    pub post_attention_norm: Option<Slice>,
    pub ffn_norm: Slice,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
    pub post_ffn_norm: Option<Slice>,
}

/// All weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    pub embedding: Linear,
    pub layers: Vec<LayerWeights>,
    pub output_norm: Slice,
    /// The embedding itself where the two are tied.
    pub output: Linear,
}

/// The tensors that the model needs, with the shapes that its description promises.
pub(super) fn items<'a>(config: &Config, names: &Names<'a>) -> Result<Vec<Item<'a>>, ModelError> {
    let mut items = Vec::new();
    let mut need = |name: String, role: Role, expected: &[usize]| {
        let tensor = names.find(&name).ok_or_else(|| ModelError::MissingTensor(name.clone()))?;
        if tensor.shape != expected {
            return Err(ModelError::Shape { name, found: tensor.shape.clone(), expected: expected.to_vec() });
        }
        items.push(Item { tensor, role });
        Ok(())
    };
    let (dim, ffn, head_dim) = (config.dim, config.ffn_dim, config.head_dim);
    let (q_dim, kv_dim) = (config.heads * head_dim, config.kv_heads * head_dim);
    need(names.global_name(Global::Embedding), Role::Matrix, &[config.vocabulary, dim])?;
    for layer in 0..config.layers.len() {
        use PerLayer::*;
        let name = |what| names.layer_name(layer, what);
        need(name(AttentionNorm), Role::Vector, &[dim])?;
        need(name(Query), Role::Matrix, &[q_dim, dim])?;
        need(name(Key), Role::Matrix, &[kv_dim, dim])?;
        need(name(Value), Role::Matrix, &[kv_dim, dim])?;
        need(name(AttentionOutput), Role::Matrix, &[dim, q_dim])?;
        need(name(FfnNorm), Role::Vector, &[dim])?;
        need(name(Gate), Role::Matrix, &[ffn, dim])?;
        need(name(Up), Role::Matrix, &[ffn, dim])?;
        need(name(Down), Role::Matrix, &[dim, ffn])?;
        let biases = [(QueryBias, q_dim), (KeyBias, kv_dim), (ValueBias, kv_dim), (AttentionOutputBias, dim)];
        for (bias, length) in biases {
            if names.find(&name(bias)).is_some() {
                need(name(bias), Role::Vector, &[length])?;
            }
        }
        if config.qk_norm {
            need(name(QueryNorm), Role::Vector, &[head_dim])?;
            need(name(KeyNorm), Role::Vector, &[head_dim])?;
        }
        if config.post_norms {
            need(name(PostAttentionNorm), Role::Vector, &[dim])?;
            need(name(PostFfnNorm), Role::Vector, &[dim])?;
        }
    }
    need(names.global_name(Global::OutputNorm), Role::Vector, &[dim])?;
    let output = names.global_name(Global::Output);
    if !config.tied.unwrap_or_else(|| names.find(&output).is_none()) {
        need(output, Role::Matrix, &[config.vocabulary, dim])?;
    }
    let used: HashSet<&str> = items.iter().map(|item| item.tensor.name.as_str()).collect();
    match names.of_layers().find(|tensor| !used.contains(tensor.name.as_str())) {
        Some(unknown) => Err(ModelError::Unsupported(format!(
            "the tensor '{}', which a model of the family '{}' does not have,",
            unknown.name, config.architecture
        ))),
        None => Ok(items),
    }
}

impl Weights {
    /// Gives every tensor its place in the decoder.
    pub fn assemble(
        config: &Config,
        names: &Names<'_>,
        placed: &HashMap<String, Placed>,
    ) -> Result<Weights, ModelError> {
        let find = |name: &str| placed.get(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()));
        let vector = |name: &str| find(name).map(|placed| placed.vector);
        let linear = |name: String, bias: Option<String>| -> Result<Linear, ModelError> {
            let bias = bias.and_then(|name| placed.get(&name)).map(|placed| placed.vector);
            Ok(Linear { shards: find(&name)?.shards.clone(), bias })
        };
        let optional = |name: String| placed.get(&name).map(|placed| placed.vector);
        let mut layers = Vec::with_capacity(config.layers.len());
        for layer in 0..config.layers.len() {
            use PerLayer::*;
            let name = |what| names.layer_name(layer, what);
            layers.push(LayerWeights {
                attention_norm: vector(&name(AttentionNorm))?,
                query: linear(name(Query), Some(name(QueryBias)))?,
                key: linear(name(Key), Some(name(KeyBias)))?,
                value: linear(name(Value), Some(name(ValueBias)))?,
                query_norm: optional(name(QueryNorm)),
                key_norm: optional(name(KeyNorm)),
                attention_output: linear(name(AttentionOutput), Some(name(AttentionOutputBias)))?,
                post_attention_norm: optional(name(PostAttentionNorm)).filter(|_| config.post_norms),
                ffn_norm: vector(&name(FfnNorm))?,
                gate: linear(name(Gate), None)?,
                up: linear(name(Up), None)?,
                down: linear(name(Down), None)?,
                post_ffn_norm: optional(name(PostFfnNorm)),
            });
        }
        let embedding = linear(names.global_name(Global::Embedding), None)?;
        let output = names.global_name(Global::Output);
        let output = if placed.contains_key(&output) { linear(output, None)? } else { embedding.clone() };
        Ok(Weights { embedding, layers, output_norm: vector(&names.global_name(Global::OutputNorm))?, output })
    }
}
