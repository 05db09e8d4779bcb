//! The matrix products of a model's step, counted by shape and type.

use std::collections::BTreeSet;

use super::ModelError;
use super::config::Config;
use super::names::{Global, Names};
use super::weight_upload::Role;
use super::weights::items;
use crate::formats::{Checkpoint, DType};

/// Linear layers of one shape and type; those that are computed together count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearLayers {
    /// Rows of the weights.
    pub n: u32,
    /// Elements of a row.
    pub k: u32,
    pub dtype: DType,
    /// How many there are.
    pub count: u32,
    /// It makes the logits: only for the rows whose logits are wanted.
    pub head: bool,
}

/// Those of all layers, and of the head.
///
/// # Errors
/// The checkpoint lacks a tensor that the model needs, or has one of another shape.
pub fn linear_layers(config: &Config, checkpoint: &Checkpoint) -> Result<Vec<LinearLayers>, ModelError> {
    let names = Names::new(checkpoint, config);
    let items = items(config, &names)?;
    let (embedding, output) = (names.global_name(Global::Embedding), names.global_name(Global::Output));
    let tied = !items.iter().any(|item| item.name() == output);
    let mut all: Vec<LinearLayers> = Vec::new();
    for item in &items {
        let Role::Matrix { dtype, rows, k } = item.role else { continue };
        let is_embedding = item.name() == embedding;
        if is_embedding && !tied {
            continue;
        }
        let head = is_embedding || item.name() == output;
        let layers = LinearLayers { n: rows as u32, k: k as u32, dtype, count: 1, head };
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
    Ok(linear_layers(config, checkpoint)?.into_iter().map(|layers| layers.dtype).collect())
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
        let layers: u32 = all.iter().filter(|layers| !layers.head).map(|layers| layers.count).sum();
        assert_eq!(layers as usize, 4 * config.layers.len(), "Q, K and V are one, and so are gate and up");
        let heads: Vec<_> = all.iter().filter(|layers| layers.head).collect();
        assert_eq!(heads.len(), 1);
        assert_eq!((heads[0].n as usize, heads[0].k as usize), (config.vocabulary, config.dim));
    }
}
