//! Which tensors a model needs, and where each lies on the device.

use std::collections::{HashMap, HashSet};

use super::ModelError;
use super::config::Config;
use super::linear_layers::Place;
use super::names::{Global, Names, PerLayer};
use super::stacks::{self, Stack};
use super::weight_upload::{Item, Member, Placed, Role};
use crate::formats::TensorInfo;
use crate::kernels::weight_layout::ROWS_AT_ONCE;
use crate::kernels::{WeightSlices, head_norm};
use crate::recording::Slice;

/// `y = x W^T (+ bias)` for one linear layer, or for several of one input: their outputs are one behind the other in a row
/// of y.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub shards: Vec<Shard>,
    pub bias: Option<Slice>,
    /// Elements of a row of y.
    pub width: u32,
}

/// Some rows of W.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shard {
    /// What messages call it.
    pub what: &'static str,
    pub weights: WeightSlices,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct LayerWeights {
    pub attention_norm: Slice,
    pub qkv: Linear,
    pub head_norm: Option<head_norm::Weights>,
    pub attention_output: Linear,
    pub post_attention_norm: Option<Slice>,
    pub ffn_norm: Slice,
    pub gate_up: Linear,
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
    let mut needed = Needed { config, names, items: Vec::new() };
    let (dim, head_dim) = (config.dim, config.head_dim);
    let output = names.global_name(Global::Output);
    let tied = config.tied.unwrap_or_else(|| names.find(&output).is_none());
    let head_of_embedding = tied.then_some(Place::Head);
    needed.matrix(&names.global_name(Global::Embedding), [config.vocabulary, dim], head_of_embedding)?;
    for layer in 0..config.layers.len() {
        use PerLayer::*;
        let name = |what| names.layer_name(layer, what);
        needed.vector(&name(AttentionNorm), dim)?;
        needed.stack(layer, Place::Qkv, stacks::QKV)?;
        needed.stack(layer, Place::AttentionOutput, stacks::ATTENTION_OUTPUT)?;
        needed.vector(&name(FfnNorm), dim)?;
        needed.stack(layer, Place::GateUp, stacks::GATE_UP)?;
        needed.stack(layer, Place::Down, stacks::DOWN)?;
        if config.qk_norm {
            needed.vector(&name(QueryNorm), head_dim)?;
            needed.vector(&name(KeyNorm), head_dim)?;
        }
        if config.post_norms {
            needed.vector(&name(PostAttentionNorm), dim)?;
            needed.vector(&name(PostFfnNorm), dim)?;
        }
    }
    needed.vector(&names.global_name(Global::OutputNorm), dim)?;
    if !tied {
        needed.matrix(&output, [config.vocabulary, dim], Some(Place::Head))?;
    }
    let items = needed.items;
    let used: HashSet<&str> =
        items.iter().flat_map(|item| &item.members).map(|member| member.tensor.name.as_str()).collect();
    match names.of_use().find(|tensor| !used.contains(tensor.name.as_str())) {
        Some(unknown) => Err(ModelError::Unsupported(format!(
            "the tensor '{}', which a model of the family '{}' does not have,",
            unknown.name, config.architecture
        ))),
        None => Ok(items),
    }
}

/// The items so far.
struct Needed<'n, 'a> {
    config: &'n Config,
    names: &'n Names<'a>,
    items: Vec<Item<'a>>,
}

impl<'a> Needed<'_, 'a> {
    fn tensor(&self, name: &str, expected: &[usize]) -> Result<&'a TensorInfo, ModelError> {
        let tensor = self.names.find(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?;
        if tensor.shape != expected {
            let found = tensor.shape.clone();
            return Err(ModelError::Shape { name: name.to_owned(), found, expected: expected.to_vec() });
        }
        Ok(tensor)
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<(), ModelError> {
        let tensor = self.tensor(name, &[len])?;
        self.items.push(Item { members: vec![Member { tensor, first: 0 }], role: Role::Vector { len } });
        Ok(())
    }

    fn matrix(&mut self, name: &str, [rows, k]: [usize; 2], place: Option<Place>) -> Result<(), ModelError> {
        let tensor = self.tensor(name, &[rows, k])?;
        let role = Role::Matrix { dtype: tensor.dtype, rows, k, place };
        self.items.push(Item { members: vec![Member { tensor, first: 0 }], role });
        Ok(())
    }

    /// A matrix of each run of a stack's weights that are of one type, and a vector of its biases if it has any.
    fn stack(&mut self, layer: usize, place: Place, stack: &Stack) -> Result<(), ModelError> {
        let name = |what| self.names.layer_name(layer, what);
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        let mut width = 0;
        for &(what, bias) in stack {
            let (rows, k) = (stacks::outputs(self.config, what), stacks::inputs(self.config, what));
            weights.push((self.tensor(&name(what), &[rows, k])?, rows, k));
            if let Some(bias) = bias.map(name).filter(|bias| self.names.find(bias).is_some()) {
                biases.push(Member { tensor: self.tensor(&bias, &[rows])?, first: width });
            }
            width += rows;
        }
        // Rows that lie together belong to one tensor.
        let goes_on = |a: &(&TensorInfo, usize, usize), b: &(&TensorInfo, usize, usize)| {
            a.0.dtype == b.0.dtype && a.1.is_multiple_of(ROWS_AT_ONCE)
        };
        for run in weights.chunk_by(goes_on) {
            let (tensor, _, k) = run[0];
            let mut rows = 0;
            let mut members = Vec::new();
            for &(tensor, own, _) in run {
                members.push(Member { tensor, first: rows });
                rows += own;
            }
            self.items.push(Item { members, role: Role::Matrix { dtype: tensor.dtype, rows, k, place: Some(place) } });
        }
        if !biases.is_empty() {
            self.items.push(Item { members: biases, role: Role::Vector { len: width } });
        }
        Ok(())
    }
}

impl Weights {
    /// Gives every tensor its place in the decoder.
    pub fn assemble(
        config: &Config,
        names: &Names<'_>,
        placed: &HashMap<String, Placed>,
    ) -> Result<Weights, ModelError> {
        let places = Places { config, names, placed };
        let mut layers = Vec::with_capacity(config.layers.len());
        for layer in 0..config.layers.len() {
            use PerLayer::*;
            let name = |what| names.layer_name(layer, what);
            let optional = |what| places.vector(&name(what)).ok();
            let head_norm = optional(QueryNorm).zip(optional(KeyNorm));
            layers.push(LayerWeights {
                attention_norm: places.vector(&name(AttentionNorm))?,
                qkv: places.stack(layer, stacks::QKV)?,
                head_norm: head_norm.map(|(query, key)| head_norm::Weights { query, key }),
                attention_output: places.stack(layer, stacks::ATTENTION_OUTPUT)?,
                post_attention_norm: optional(PostAttentionNorm).filter(|_| config.post_norms),
                ffn_norm: places.vector(&name(FfnNorm))?,
                gate_up: places.stack(layer, stacks::GATE_UP)?,
                down: places.stack(layer, stacks::DOWN)?,
                post_ffn_norm: optional(PostFfnNorm),
            });
        }
        let embedding = places.rows_of_tokens("embed", &names.global_name(Global::Embedding))?;
        let output = match places.rows_of_tokens("output", &names.global_name(Global::Output)) {
            Ok(output) => output,
            Err(_) => places.rows_of_tokens("output", &names.global_name(Global::Embedding))?,
        };
        let output_norm = places.vector(&names.global_name(Global::OutputNorm))?;
        Ok(Weights { embedding, layers, output_norm, output })
    }
}

/// Where all items lie, by the name of their first tensor.
struct Places<'p> {
    config: &'p Config,
    names: &'p Names<'p>,
    placed: &'p HashMap<String, Placed>,
}

impl Places<'_> {
    fn find(&self, name: &str) -> Result<&Placed, ModelError> {
        self.placed.get(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()))
    }

    fn vector(&self, name: &str) -> Result<Slice, ModelError> {
        self.find(name).map(|placed| placed.vector)
    }

    /// The embedding or the head: a row for each token.
    fn rows_of_tokens(&self, what: &'static str, name: &str) -> Result<Linear, ModelError> {
        let shards = self.find(name)?.shards.iter().map(|weights| Shard { what, weights: *weights });
        Ok(Linear { shards: shards.collect(), bias: None, width: self.config.vocabulary as u32 })
    }

    fn stack(&self, layer: usize, stack: &Stack) -> Result<Linear, ModelError> {
        let find = |what| self.placed.get(&self.names.layer_name(layer, what));
        let mut shards = Vec::new();
        let mut width = 0;
        let mut rest = stack;
        // A tensor that is placed by its own name begins a run.
        while let Some((&(first, _), behind)) = rest.split_first() {
            let begins = |member: &(PerLayer, _)| find(member.0).is_some();
            let len = 1 + behind.iter().position(begins).unwrap_or(behind.len());
            let (run, next) = rest.split_at(len);
            let what = stacks::name(first, run[len - 1].0);
            let placed = self.find(&self.names.layer_name(layer, first))?;
            shards.extend(placed.shards.iter().map(|shard| {
                let weights = WeightSlices { row0: width + shard.row0, ..*shard };
                Shard { what, weights }
            }));
            width += run.iter().map(|(what, _)| stacks::outputs(self.config, *what) as u32).sum::<u32>();
            rest = next;
        }
        let bias = stack.iter().find_map(|(_, bias)| bias.and_then(find)).map(|placed| placed.vector);
        Ok(Linear { shards, bias, width })
    }
}
