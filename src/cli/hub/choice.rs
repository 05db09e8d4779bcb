//! Which files of a repository a run needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wgpt::formats::gguf;

use super::download::is_safe_path;
use super::error::HubError;
use crate::cli::model_path::{HubModel, Selection};

/// What a Hugging Face folder is read for besides its weights; only the first two are in all of them.
const FOLDER_FILES: [&str; 7] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];
const INDEX: &str = "model.safetensors.index.json";
const SINGLE_SAFETENSORS: &str = "model.safetensors";
/// What is taken when a repository has several GGUF files and none is named, the first that it has.
const PREFERRED_QUANTISATIONS: [&str; 2] = ["Q4_K_M", "Q8_0"];

/// The files to fetch, as the repository names them.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// A Hugging Face folder.
    Folder { files: Vec<String> },
    /// A GGUF file, or all parts of one in order.
    Gguf { parts: Vec<String> },
}

impl Choice {
    /// All that can be named without reading the index.
    pub fn files(&self) -> &[String] {
        match self {
            Self::Folder { files } | Self::Gguf { parts: files } => files,
        }
    }

    /// The file that names further ones.
    pub fn index(&self) -> Option<&str> {
        match self {
            Self::Folder { files } => files.iter().map(String::as_str).find(|&file| file == INDEX),
            Self::Gguf { .. } => None,
        }
    }

    /// What the engine loads, given the folder that the files are in.
    pub fn path_to_load(&self, folder: &Path) -> PathBuf {
        match self {
            Self::Folder { .. } => folder.to_owned(),
            Self::Gguf { parts } => parts.first().map_or_else(|| folder.to_owned(), |first| folder.join(first)),
        }
    }
}

/// Chooses among the names of a repository's files: its safetensors if nothing is named, or one GGUF model.
///
/// # Errors
/// Nothing fits, several do, or a part is missing.
pub fn choose(names: &[String], model: &HubModel) -> Result<Choice, HubError> {
    let ggufs = gguf_models(names);
    match &model.selection {
        Selection::Any => match folder(names) {
            Some(choice) => Ok(choice),
            None => any_gguf(&ggufs, model),
        },
        Selection::Quantisation(name) => {
            let named: Vec<_> = ggufs.iter().filter(|gguf| gguf.has_quantisation(name)).collect();
            match named[..] {
                [one] => one.parts(model),
                [] => Err(no_such_file(name, &ggufs, model)),
                _ => Err(name_one(named.into_iter(), model)),
            }
        }
        Selection::File(name) => {
            let named = ggufs.iter().find(|gguf| gguf.names.contains(name));
            named.ok_or_else(|| no_such_file(name, &ggufs, model))?.parts(model)
        }
    }
}

fn folder(names: &[String]) -> Option<Choice> {
    let has = |name: &str| names.iter().any(|known| known == name);
    let weights = [INDEX, SINGLE_SAFETENSORS].into_iter().find(|&name| has(name))?;
    if !has("config.json") {
        return None;
    }
    let files = FOLDER_FILES.into_iter().filter(|&name| has(name)).chain([weights]);
    Some(Choice::Folder { files: files.map(str::to_owned).collect() })
}

fn any_gguf(ggufs: &[Gguf], model: &HubModel) -> Result<Choice, HubError> {
    if let [only] = ggufs {
        return only.parts(model);
    }
    for quantisation in PREFERRED_QUANTISATIONS {
        let mut named = ggufs.iter().filter(|gguf| gguf.has_quantisation(quantisation));
        if let (Some(one), None) = (named.next(), named.next()) {
            return one.parts(model);
        }
    }
    if ggufs.is_empty() {
        return Err(HubError::NothingToRun { model: model.repository.clone() });
    }
    Err(name_one(ggufs.iter(), model))
}

fn name_one<'a>(ggufs: impl Iterator<Item = &'a Gguf>, model: &HubModel) -> HubError {
    HubError::NameOne { model: model.repository.clone(), files: list(ggufs) }
}

fn no_such_file(wanted: &str, ggufs: &[Gguf], model: &HubModel) -> HubError {
    let files = if ggufs.is_empty() { "no GGUF file at all".to_owned() } else { list(ggufs.iter()) };
    HubError::NoSuchFile { model: model.repository.clone(), wanted: wanted.to_owned(), files }
}

fn list<'a>(ggufs: impl Iterator<Item = &'a Gguf>) -> String {
    ggufs.filter_map(|gguf| gguf.names.first()).map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A model of one file or of several parts.
#[derive(Debug)]
struct Gguf {
    /// The path without the part number and the extension.
    stem: String,
    /// In order.
    names: Vec<String>,
    /// How many parts the names speak of.
    total: usize,
}

/// The GGUF models among the names, sorted; parts of one are put together.
fn gguf_models(names: &[String]) -> Vec<Gguf> {
    let mut models: BTreeMap<(&str, usize), Vec<String>> = BTreeMap::new();
    for name in names {
        let Some(stem) = gguf::model_stem(name) else { continue };
        models.entry(part_of(stem).unwrap_or((stem, 1))).or_default().push(name.clone());
    }
    let model = |((stem, total), mut names): ((&str, usize), Vec<String>)| {
        names.sort();
        Gguf { stem: stem.to_owned(), names, total }
    };
    models.into_iter().map(model).collect()
}

/// Reads llama.cpp's name of a part, `STEM-00001-of-00003`: the stem and how many parts there are.
fn part_of(stem: &str) -> Option<(&str, usize)> {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    (is_number(number) && is_number(total)).then_some(())?;
    Some((stem, total.parse().ok()?))
}

impl Gguf {
    /// Whether the file's name ends in the quantisation, in any case: `tiny-q4_k_m` and `tiny_q4_k_m` do in `Q4_K_M`, but not
    /// in `M`.
    fn has_quantisation(&self, name: &str) -> bool {
        let (stem, name) = (self.stem.to_ascii_lowercase(), name.to_ascii_lowercase());
        // Letters and a digit, such as q4 or iq2, begin a quantisation: an underscore before them is no part of one.
        let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let is_whole = digits.len() < name.len() && digits.starts_with(|c: char| c.is_ascii_digit());
        let separators: &[char] = if is_whole { &['-', '.', '/', '_'] } else { &['-', '.', '/'] };
        stem.strip_suffix(&name).is_some_and(|rest| rest.is_empty() || rest.ends_with(separators))
    }

    fn parts(&self, model: &HubModel) -> Result<Choice, HubError> {
        for part in 1..=self.total {
            let number = format!("-{part:05}-of-{:05}", self.total);
            let is_part = |name: &String| gguf::model_stem(name).is_some_and(|stem| stem.ends_with(&number));
            if self.total > 1 && !self.names.iter().any(is_part) {
                let missing = format!("{}{number}.gguf", self.stem);
                return Err(HubError::MissingPart { model: model.repository.clone(), missing });
            }
        }
        Ok(Choice::Gguf { parts: self.names.clone() })
    }
}

/// The weight files that a safetensors index names, sorted, each once.
///
/// # Errors
/// The index cannot be read or makes no sense.
pub fn shards_of_index(path: &Path, model: &HubModel) -> Result<Vec<String>, HubError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bad = |reason: String| HubError::BadIndex { file: format!("{}/{INDEX}", model.repository), reason };
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    match shards.iter().find(|shard| !is_safe_path(shard)) {
        Some(shard) => Err(bad(format!("it names {shard:?}"))),
        None if shards.is_empty() => Err(bad("it names no file".to_owned())),
        None => Ok(shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(selection: Selection) -> HubModel {
        HubModel { repository: "a/b".into(), selection, revision: None }
    }

    fn chosen(names: &[&str], selection: Selection) -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let choice = choose(&names, &model(selection));
        choice.map(|choice| choice.files().to_vec()).map_err(|error| error.to_string())
    }

    fn quantisation(name: &str) -> Selection {
        Selection::Quantisation(name.into())
    }

    #[test]
    fn safetensors_come_first_and_bring_only_what_is_needed() {
        let names = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "pytorch_model.bin", "m.gguf"];
        assert_eq!(
            chosen(&names, Selection::Any),
            Ok(["config.json", "tokenizer.json", "model.safetensors"].map(Into::into).into())
        );
        assert_eq!(chosen(&names, Selection::File("m.gguf".into())), Ok(vec!["m.gguf".into()]));
    }

    #[test]
    fn every_file_that_a_tokenizer_is_read_from_comes_along() {
        for name in ["tokenizer_config.json", "chat_template.jinja", "chat_template.json", "generation_config.json"] {
            let names = ["config.json", "model.safetensors", name];
            let files = chosen(&names, Selection::Any).expect("a folder");
            assert!(files.iter().any(|file| file == name), "{name}");
        }
    }

    #[test]
    fn the_extension_may_be_in_capitals() {
        assert_eq!(chosen(&["A-Q8_0.GGUF", "MMPROJ-A.GGUF"], Selection::Any), Ok(vec!["A-Q8_0.GGUF".into()]));
        let parts = ["a-00001-of-00002.GGUF", "a-00002-of-00002.GGUF"];
        assert_eq!(chosen(&parts, Selection::Any), Ok(parts.map(Into::into).into()));
    }

    #[test]
    fn the_index_replaces_the_single_file() {
        let names = ["config.json", "model-00001-of-00002.safetensors", INDEX].map(str::to_owned);
        let choice = choose(&names, &model(Selection::Any)).expect("a folder");
        assert_eq!(choice.index(), Some(INDEX));
        assert_eq!(choice.files(), ["config.json", INDEX]);
        assert_eq!(choice.path_to_load("x".as_ref()), Path::new("x"));
    }

    #[test]
    fn one_gguf_is_preferred_or_must_be_named() {
        let names = ["a-Q2_K.gguf", "a-q4_k_m.gguf", "a-Q8_0.gguf", "mmproj-a-Q8_0.gguf", "x.txt"];
        assert_eq!(chosen(&names, Selection::Any), Ok(vec!["a-q4_k_m.gguf".into()]));
        assert_eq!(chosen(&["a-Q2_K.gguf", "a.Q8_0.gguf"], Selection::Any), Ok(vec!["a.Q8_0.gguf".into()]));
        assert_eq!(chosen(&["a-Q2_K.gguf"], Selection::Any), Ok(vec!["a-Q2_K.gguf".into()]));
        let error = chosen(&["a-Q2_K.gguf", "a-Q3_K.gguf"], Selection::Any).expect_err("ambiguous");
        assert_eq!(error, "a/b has several GGUF files; name one as a/b:FILE, of a-Q2_K.gguf, a-Q3_K.gguf");
        assert!(chosen(&["README.md"], Selection::Any).is_err());
    }

    #[test]
    fn a_quantisation_is_the_whole_end_of_the_name() {
        let names = ["a-Q4_K_S.gguf", "a-Q4_K_M.gguf", "a-IQ4_K_M.gguf", "a-UD-Q4_K_M.gguf"];
        assert_eq!(chosen(&names, quantisation("q4_k_s")), Ok(vec!["a-Q4_K_S.gguf".into()]));
        assert_eq!(chosen(&names, quantisation("UD-Q4_K_M")), Ok(vec!["a-UD-Q4_K_M.gguf".into()]));
        assert!(chosen(&names, quantisation("Q4_K_M")).expect_err("two").contains("a-UD-Q4_K_M.gguf"));
        assert!(chosen(&names, quantisation("M")).is_err());
        assert!(chosen(&names, quantisation("K_M")).is_err());
        assert!(chosen(&names, quantisation("Q4_K")).expect_err("none").contains("it has a-IQ4_K_M.gguf"));
    }

    #[test]
    fn parts_come_together_and_all_of_them_must_be_there() {
        let names = ["Q8_0/a-Q8_0-00002-of-00002.gguf", "Q8_0/a-Q8_0-00001-of-00002.gguf", "a-Q2_K.gguf"];
        let parts = vec![names[1].to_owned(), names[0].to_owned()];
        assert_eq!(chosen(&names, quantisation("Q8_0")), Ok(parts.clone()));
        assert_eq!(chosen(&names, Selection::File(names[0].into())), Ok(parts.clone()));
        assert_eq!(Choice::Gguf { parts }.path_to_load("x".as_ref()), Path::new("x").join(names[1]));
        let error = chosen(&names[..1], Selection::Any).expect_err("half of it");
        assert!(error.contains("lacks Q8_0/a-Q8_0-00001-of-00002.gguf"), "{error}");
    }

    #[test]
    fn an_index_names_each_shard_once_and_none_outside_the_folder() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join(INDEX);
        let shards = |text: &str| {
            std::fs::write(&path, text).expect("written");
            shards_of_index(&path, &model(Selection::Any)).map_err(|error| error.to_string())
        };
        let names = shards(r#"{"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}"#);
        assert_eq!(names, Ok(vec!["a.safetensors".into(), "b.safetensors".into()]));
        assert!(shards(r#"{"weight_map": {"x": "../../b"}}"#).is_err());
        assert!(shards(r#"{"weight_map": {}}"#).is_err());
        assert!(shards("{}").is_err());
    }
}
