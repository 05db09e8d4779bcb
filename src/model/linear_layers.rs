//! The matrix products of a model's step: where each is, what it does beside, and how many there are by shape and type.

use std::collections::BTreeSet;
use std::fmt;

use super::ModelError;
use super::config::Config;
use super::names::Names;
use super::weight_upload::{Item, Role};
use super::weights::items;
use crate::formats::{Checkpoint, DType};
use crate::kernels::linear::Fused;

/// Where in a step a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Of the normed input, to queries, keys and values.
    Qkv,
    /// Of what attention gives, onto the residual stream.
    AttentionOutput,
    /// Of the normed input, to the gate and what goes through it.
    GateUp,
    /// Of what came through the gate, onto the residual stream.
    Down,
    /// Of the normed residual stream, to the logits.
    Head,
}

impl Place {
    /// What the product there does beside in a step of few rows: the gate, with a kernel that
    /// [can](crate::kernels::LinearPath::gates), and a half of a norm, where the kernels of all products
    /// [can](crate::kernels::LinearPath::splits_norms) and the model has no norms behind its blocks.
    pub fn fused(self, gates: bool, splits_norms: bool) -> Option<Fused> {
        match self {
            Place::Qkv | Place::Head => splits_norms.then_some(Fused::NormBefore),
            Place::AttentionOutput | Place::Down => splits_norms.then_some(Fused::NormBehind),
            Place::GateUp => match (gates, splits_norms) {
                (true, true) => Some(Fused::NormBeforeAndGate),
                (true, false) => Some(Fused::Gate),
                (false, true) => Some(Fused::NormBefore),
                (false, false) => None,
            },
        }
    }
}

impl fmt::Display for Place {
    /// As names of benchmarks have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Qkv => "attn_qkv",
            Place::AttentionOutput => "attn_output",
            Place::GateUp => "ffn_gate_up",
            Place::Down => "ffn_down",
            Place::Head => "head",
        })
    }
}

/// Linear layers of one place, shape and type; those that are computed together count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearLayers {
    pub place: Place,
    /// Rows of the weights.
    pub n: u32,
    /// Elements of a row.
    pub k: u32,
    pub dtype: DType,
    /// How many there are.
    pub count: u32,
}

/// Those of all layers, and of the head.
///
/// # Errors
/// The checkpoint lacks a tensor that the model needs, or has one of another shape.
pub fn linear_layers(config: &Config, checkpoint: &Checkpoint) -> Result<Vec<LinearLayers>, ModelError> {
    let names = Names::new(checkpoint, config);
    let mut all: Vec<LinearLayers> = Vec::new();
    for item in items(config, &names)? {
        let Role::Matrix { dtype, rows, k, place: Some(place) } = item.role else { continue };
        let layers = LinearLayers { place, n: rows as u32, k: k as u32, dtype, count: 1 };
        match all.iter_mut().find(|same| LinearLayers { count: 1, ..**same } == layers) {
            Some(same) => same.count += 1,
            None => all.push(layers),
        }
    }
    Ok(all)
}

/// The types of their weights.
///
/// # Errors
/// As of [`linear_layers`].
pub fn linear_types(config: &Config, checkpoint: &Checkpoint) -> Result<BTreeSet<DType>, ModelError> {
    Ok(types_of(&items(config, &Names::new(checkpoint, config))?))
}

/// The types of the weights that products read.
pub(super) fn types_of(items: &[Item<'_>]) -> BTreeSet<DType> {
    let weights = items.iter().filter_map(|item| match item.role {
        Role::Matrix { dtype, place: Some(_), .. } => Some(dtype),
        _ => None,
    });
    weights.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_a_tiny_model_are_counted_once_each() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/tiny/llama3");
        let checkpoint = Checkpoint::open(folder.as_ref()).expect("a model");
        let config = Config::from_checkpoint(&checkpoint).expect("supported");
        let all = linear_layers(&config, &checkpoint).expect("whole");
        let layers: Vec<_> = all.iter().filter(|layers| layers.place != Place::Head).collect();
        assert_eq!(layers.len(), 4, "Q, K and V are one, and so are gate and up");
        assert!(layers.iter().all(|same| same.count as usize == config.layers.len()), "{layers:?}");
        let heads: Vec<_> = all.iter().filter(|layers| layers.place == Place::Head).collect();
        assert_eq!(heads.len(), 1);
        assert_eq!((heads[0].n as usize, heads[0].k as usize), (config.vocabulary, config.dim));
    }
}
