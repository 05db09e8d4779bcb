//! The tokenizer of a Hugging Face folder.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::DecoderWrapper;

use super::token_table::{Spelling, TokenTable};
use super::tokenizer::{Parts, SpecialTokens, caught};
use super::tokenizer_json;
use super::{TextError, Tokenizer, end_of_turn};
use crate::formats::read_bounded;

/// More ids than any vocabulary has; a table of all ids is allocated, so one stray id must not decide its size.
const MAX_IDS: usize = 1 << 22;
/// Nor may the ids go up to more than this or, in a large vocabulary, to more than so many times the number of its tokens.
const MAX_SPARSE_IDS: usize = 1 << 16;
const MAX_IDS_PER_TOKEN: usize = 16;

/// The largest `tokenizer.json` have some 30 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// `tokenizer_config.json` and `special_tokens_map.json`, as far as they matter here.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Named>,
    eos_token: Option<Named>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    chat_template: Option<Templates>,
}

/// A special token: its text, or an object that says how it is matched, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Token { content: String },
}

/// One chat template, or several with a name each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// `generation_config.json`, as far as it matters here.
#[derive(Default, Deserialize)]
struct Generation {
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u64),
    Several(Vec<u64>),
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and what there is of `tokenizer_config.json`, `special_tokens_map.json`,
    /// `chat_template.jinja` or `chat_template.json`, and `generation_config.json`.
    ///
    /// # Errors
    /// [`TextError::Read`] or [`TextError::File`] with the file at fault, [`TextError::Unsupported`] for a tokenizer
    /// whose tokens are spelled in neither of the two ways known here.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, TextError> {
        let folder = folder.as_ref();
        let inner = read_tokenizer(&folder.join("tokenizer.json"))?;
        let config: Config = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let map: Config = read_json(&folder.join("special_tokens_map.json"))?.unwrap_or_default();
        let generation: Option<Generation> = read_json(&folder.join("generation_config.json"))?;

        let (spelling, strips_leading_space) = spelling(inner.get_decoder())?;
        let table = table(&inner, spelling)?;
        let mut warnings = Vec::new();
        let mut named = |role: &str, token: Option<&Named>| {
            let text = match token? {
                Named::Text(text) | Named::Token { content: text } => text,
            };
            let id = inner.token_to_id(text);
            if id.is_none() {
                warnings.push(format!("the {role} token {text:?} is not in the vocabulary"));
            }
            id
        };
        let bos = named("beginning-of-sequence", config.bos_token.as_ref().or(map.bos_token.as_ref()));
        let eos = named("end-of-sequence", config.eos_token.as_ref().or(map.eos_token.as_ref()));
        let (mut prefix, mut suffix) = added_by_post_processor(&inner)?;
        override_edge(&mut prefix, config.add_bos_token, bos);
        override_edge(&mut suffix, config.add_eos_token, eos);

        let mut end_of_generation: Vec<u32> = eos.into_iter().collect();
        end_of_generation.extend(match generation {
            Some(generation) => generation_ends(generation, table.len())?,
            None => ends_of_description(folder, table.len())?,
        });
        let added = inner.get_added_tokens_decoder();
        let ends = added.iter().filter(|(_, token)| token.special && end_of_turn::ends_turn(&token.content));
        end_of_generation.extend(ends.map(|(&id, _)| id));

        let chat_template = chat_template(folder, config.chat_template)?;
        let special = SpecialTokens { bos, eos, prefix, suffix, end_of_generation };
        Ok(Self::assemble(Parts { inner, table, strips_leading_space, special, chat_template, warnings }))
    }
}

fn read_tokenizer(path: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    let bytes = read(path)?.ok_or_else(|| TextError::Read { path: path.into(), source: ErrorKind::NotFound.into() })?;
    tokenizer_json::check(&bytes).map_err(|reason| file_error(path, reason))?;
    // The check finds the one kind of file that is known to make the crate panic; this is for the others.
    let loaded = caught(|| tokenizers::Tokenizer::from_bytes(bytes));
    let mut tokenizer = loaded.map_err(|error| file_error(path, error))?;
    // Made for batches in training: a prompt is neither filled up nor cut, and the file must not size a buffer.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None)?;
    Ok(tokenizer)
}

/// The file's bytes, or `None` where there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, TextError> {
    match read_bounded(path, MAX_FILE_BYTES) {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(file_error(path, format!("it has more than {MAX_FILE_BYTES} bytes"))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TextError::Read { path: path.into(), source }),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TextError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, reason: impl ToString) -> TextError {
    TextError::File { path: path.into(), reason: reason.to_string() }
}

/// How the decoder of `tokenizer.json` reads tokens, and whether it takes a leading space away.
fn spelling(decoder: Option<&DecoderWrapper>) -> Result<(Spelling, bool), TextError> {
    let unsupported = |what: &str| TextError::Unsupported(format!("a tokenizer.json whose decoder is {what}"));
    let decoder = decoder.ok_or_else(|| unsupported("missing"))?;
    let description = serde_json::to_value(decoder).map_err(|_| unsupported("unreadable"))?;
    let steps = match description.get("decoders") {
        Some(Value::Array(steps)) => steps.clone(),
        _ => vec![description],
    };
    let is = |step: &Value, kind: &str| step["type"] == kind;
    if steps.iter().any(|step| is(step, "ByteLevel")) {
        return Ok((Spelling::ByteLevel, false));
    }
    let metaspace = steps.iter().find(|step| is(step, "Metaspace"));
    let unescapes = steps.iter().any(|step| is(step, "Replace") && step["pattern"]["String"] == "▁");
    if metaspace.is_none() && !unescapes {
        return Err(unsupported(steps.first().and_then(|step| step["type"].as_str()).unwrap_or("of no known type")));
    }
    let strips = steps.iter().any(|step| is(step, "Strip") && step["content"] == " " && step["start"] != 0);
    let prepends = metaspace.is_some_and(|step| step["prepend_scheme"] != "never");
    let byte_fallback = steps.iter().any(|step| is(step, "ByteFallback"));
    Ok((Spelling::SentencePiece { byte_fallback }, strips || prepends))
}

fn table(inner: &tokenizers::Tokenizer, spelling: Spelling) -> Result<TokenTable, TextError> {
    let vocabulary = inner.get_vocab(true);
    let size = vocabulary.values().max().map_or(0, |&id| id as usize + 1);
    if size == 0 || size > MAX_IDS || size > MAX_SPARSE_IDS.max(MAX_IDS_PER_TOKEN * vocabulary.len()) {
        return Err(TextError::Vocabulary(format!("it has {} tokens, and ids up to {size}", vocabulary.len())));
    }
    let mut texts = vec![""; size];
    for (text, &id) in &vocabulary {
        texts[id as usize] = text;
    }
    let added = inner.get_added_tokens_decoder();
    let mut table = TokenTable::default();
    for (id, text) in (0..).zip(texts) {
        match added.get(&id) {
            Some(token) if token.special || spelling == Spelling::ByteLevel => {
                table.push_added(&token.content, token.special);
            }
            Some(token) => table.push_spelled(&token.content, spelling),
            None => table.push_spelled(text, spelling),
        }
    }
    Ok(table)
}

/// The ids that `tokenizer.json` puts before and after a text.
fn added_by_post_processor(inner: &tokenizers::Tokenizer) -> Result<(Vec<u32>, Vec<u32>), TextError> {
    let encode = |special| caught(|| inner.encode_fast("a", special));
    let (bare, whole) = (encode(false)?, encode(true)?);
    let (bare, whole) = (bare.get_ids(), whole.get_ids());
    let at = (0..=whole.len().saturating_sub(bare.len())).find(|&at| whole[at..].starts_with(bare)).unwrap_or(0);
    let end = (at + bare.len()).min(whole.len());
    Ok((whole[..at].to_vec(), whole[end..].to_vec()))
}

/// `tokenizer_config.json` has the last word on whether a sequence gets its first or last token.
fn override_edge(edge: &mut Vec<u32>, wanted: Option<bool>, token: Option<u32>) {
    let Some(token) = token else { return };
    match wanted {
        Some(true) if !edge.contains(&token) => edge.insert(0, token),
        Some(false) => edge.retain(|&id| id != token),
        Some(true) | None => {}
    }
}

fn generation_ends(generation: Generation, size: usize) -> Result<Vec<u32>, TextError> {
    let ids = match generation.eos_token_id {
        None => return Ok(Vec::new()),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Several(ids)) => ids,
    };
    let checked = ids.into_iter().map(|id| match u32::try_from(id) {
        Ok(short) if (short as usize) < size => Ok(short),
        _ => Err(TextError::SpecialToken { name: "eos_token_id of generation_config.json".to_owned(), id, size }),
    });
    checked.collect()
}

/// Where there is no `generation_config.json`, transformers takes what the model's description says
/// (`GenerationConfig.from_model_config`). What is no token there never comes.
fn ends_of_description(folder: &Path, size: usize) -> Result<Vec<u32>, TextError> {
    let Some(config) = read_json::<serde_json::Value>(&folder.join("config.json"))? else { return Ok(Vec::new()) };
    let of_text = config.get("text_config").and_then(|text| text.get("eos_token_id"));
    let ids = match of_text.or(config.get("eos_token_id")) {
        Some(serde_json::Value::Array(ids)) => ids.as_slice(),
        Some(id) => std::slice::from_ref(id),
        None => &[],
    };
    let known = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).filter(|id| (*id as usize) < size);
    Ok(known.collect())
}

/// A file of its own goes before the one in `tokenizer_config.json`, and the template named `default` before others.
fn chat_template(folder: &Path, configured: Option<Templates>) -> Result<Option<String>, TextError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = read(&path)? {
        return String::from_utf8(bytes).map(Some).map_err(|error| file_error(&path, error));
    }
    let separate: Option<Config> = read_json(&folder.join("chat_template.json"))?;
    Ok(match configured.or(separate.and_then(|config| config.chat_template)) {
        None => None,
        Some(Templates::One(template)) => Some(template),
        Some(Templates::Several(templates)) => {
            let default = templates.iter().position(|named| named.name == "default").unwrap_or(0);
            templates.into_iter().nth(default).map(|named| named.template)
        }
    })
}
