//! Hugging Face folders: `config.json`, and weights in `model.safetensors` or in the shards of an index.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::FormatError;
use super::file::{WeightFile, read_bounded};
use super::safetensors;
use super::stored::StoredFile;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Configurations have a few kilobytes; a parsed tree of JSON takes some 20 times the file's size.
const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// The index of a model with 100,000 tensors has about 10 MB.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The contents of a folder.
pub(super) struct Folder {
    pub config: Value,
    pub generation_config: Option<Value>,
    pub files: Vec<StoredFile>,
}

/// Whether the folder looks like a Hugging Face model with safetensors.
pub(super) fn is_model(folder: &Path) -> bool {
    folder.join(CONFIG).is_file() && (folder.join(WEIGHTS).is_file() || folder.join(INDEX).is_file())
}

/// Whether a file of this name stands for the folder that it is in.
pub(super) fn is_member(name: &str) -> bool {
    name == CONFIG
        || name == GENERATION_CONFIG
        || name.ends_with(".safetensors")
        || name.ends_with(".safetensors.index.json")
}

pub(super) fn open(folder: &Path) -> Result<Folder, FormatError> {
    let config: Map<String, Value> = read_json(&folder.join(CONFIG), MAX_CONFIG_BYTES)?;
    let generation_config = folder.join(GENERATION_CONFIG);
    let generation_config: Option<Map<String, Value>> =
        if generation_config.is_file() { Some(read_json(&generation_config, MAX_CONFIG_BYTES)?) } else { None };
    let weights = folder.join(WEIGHTS);
    // The order in which transformers looks for them.
    let files = if weights.is_file() { vec![open_weights(&weights)?] } else { open_shards(folder)? };
    Ok(Folder { config: Value::Object(config), generation_config: generation_config.map(Value::Object), files })
}

#[derive(Deserialize)]
struct Index {
    /// From the name of a tensor to the name of the file that holds it.
    weight_map: BTreeMap<String, String>,
}

fn open_shards(folder: &Path) -> Result<Vec<StoredFile>, FormatError> {
    let path = folder.join(INDEX);
    let index: Index = read_json(&path, MAX_INDEX_BYTES)?;
    let mut tensors_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, shard) in &index.weight_map {
        tensors_of.entry(shard).or_default().push(tensor);
    }
    // All names are checked before any file is opened.
    if let Some(shard) = tensors_of.keys().find(|shard| !stays_inside(shard)) {
        return Err(FormatError::ShardPath { path, shard: (*shard).to_owned() });
    }
    let mut files = Vec::with_capacity(tensors_of.len());
    for (shard, wanted) in tensors_of {
        let (file, mut tensors) = open_weights(&folder.join(shard))?;
        // A shard may hold leftovers: the index decides what belongs to the model.
        tensors.retain(|tensor| wanted.binary_search(&tensor.name.as_str()).is_ok());
        if tensors.len() != wanted.len() {
            let found: HashSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            let missing = wanted.iter().find(|name| !found.contains(**name)).copied().unwrap_or_default();
            return Err(FormatError::ShardTensor { path: file.path().to_owned(), tensor: missing.to_owned() });
        }
        files.push((file, tensors));
    }
    Ok(files)
}

/// Whether a name, joined to a folder, stays in that folder or one below it.
fn stays_inside(name: &str) -> bool {
    let components = || Path::new(name).components();
    // A backslash separates folders on some systems only; no shard has one in its name.
    !name.contains('\\')
        && !name.ends_with('/')
        && components().next().is_some()
        && components().all(|component| matches!(component, Component::Normal(_)))
}

fn open_weights(path: &Path) -> Result<StoredFile, FormatError> {
    let file = WeightFile::open(path)?;
    match file.parse(|start| safetensors::parse(start, file.len()))? {
        Ok(tensors) => Ok((file, tensors)),
        Err(cause) => Err(FormatError::Safetensors { path: path.to_owned(), cause }),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, FormatError> {
    let text = read_bounded(path, limit).map_err(FormatError::io(path))?;
    let text = text.ok_or_else(|| FormatError::TooLarge { path: path.to_owned(), limit })?;
    serde_json::from_slice(&text).map_err(|cause| FormatError::Json { path: path.to_owned(), cause })
}
