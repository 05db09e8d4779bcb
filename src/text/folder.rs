//! The tokenizer of a Hugging Face folder.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::DecoderWrapper;

use super::special_tokens::{IdCheck, SpecialTokens};
use super::token_table::{Spelling, TokenTable};
use super::tokenizer::{Parts, caught};
use super::tokenizer_config::{Templates, TokenizerConfig};
use super::tokenizer_json;
use super::{TextError, Tokenizer, end_of_turn};
use crate::formats::read_bounded;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// More ids than any vocabulary has; a table of all ids is allocated, so one stray id must not decide its size.
const MAX_IDS: usize = 1 << 22;
/// Nor may the ids go up to more than this or, in a large vocabulary, to more than so many times the number of its tokens.
const MAX_SPARSE_IDS: usize = 1 << 16;
const MAX_IDS_PER_TOKEN: usize = 16;

/// The largest `tokenizer.json` have some 30 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The tokenizers that wgpt does not read, and that folders without a `tokenizer.json` have.
const OTHER_TOKENIZERS: [&str; 3] = ["tokenizer.model", "tekken.json", "vocab.json"];

/// `eos_token_id`: one id or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(i64),
    Several(Vec<i64>),
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and what there is of `tokenizer_config.json`, `special_tokens_map.json`,
    /// `chat_template.jinja` or `chat_template.json`, and `generation_config.json`.
    ///
    /// # Errors
    /// [`TextError::Read`] or [`TextError::File`] with the file at fault, [`TextError::NoTokenizerJson`] where the
    /// tokenizer is in another form, [`TextError::SpecialToken`] where a token that is not there is all that ends an
    /// answer, [`TextError::Unsupported`] for a tokenizer whose tokens are spelled in neither of the two ways known here.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self, TextError> {
        let folder = folder.as_ref();
        let config: Option<Value> = read_json(&folder.join(CONFIG))?;
        let generation: Option<Value> = read_json(&folder.join(GENERATION_CONFIG))?;
        read(folder, config.as_ref(), generation.as_ref())
    }
}

/// As [`Tokenizer::from_folder`], with `config.json` and `generation_config.json` read already.
pub(super) fn read(folder: &Path, model: Option<&Value>, generation: Option<&Value>) -> Result<Tokenizer, TextError> {
    let mut inner = read_tokenizer(folder)?;
    let config: TokenizerConfig = read_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
    let map: TokenizerConfig = read_json(&folder.join("special_tokens_map.json"))?.unwrap_or_default();
    let config = config.with_map(map);
    let added = config.added_tokens(inner.get_added_tokens_decoder().values());
    caught(|| inner.add_tokens(added))?;

    let (spelling, strips_leading_space) = spelling(inner.get_decoder())?;
    let table = table(&inner, spelling)?;
    let id = |role| config.text(role).and_then(|text| inner.token_to_id(text));
    let (bos, eos) = (id("bos_token"), id("eos_token"));
    let (mut prefix, mut suffix) = added_by_post_processor(&inner)?;
    override_edge(&mut prefix, config.add_bos_token, bos);
    override_edge(&mut suffix, config.add_eos_token, eos);

    let mut check = IdCheck::new(table.len());
    let mut end_of_generation: Vec<u32> = eos.into_iter().collect();
    end_of_generation.extend(match generation {
        Some(generation) => generation_ends(folder, generation, &mut check)?,
        None => ends_of_description(model, table.len()),
    });
    let added = inner.get_added_tokens_decoder();
    let ends = added.iter().filter(|(_, token)| token.special && end_of_turn::ends_turn(&token.content));
    end_of_generation.extend(ends.map(|(&id, _)| id));
    let mut warnings = Vec::new();
    check.finish(&end_of_generation, &mut warnings)?;

    let texts = config.texts();
    let chat_template = chat_template(folder, config.chat_template)?;
    let special = SpecialTokens { bos, eos, prefix, suffix, end_of_generation, texts };
    Ok(Tokenizer::assemble(Parts { inner, table, strips_leading_space, special, chat_template, warnings }))
}

fn read_tokenizer(folder: &Path) -> Result<tokenizers::Tokenizer, TextError> {
    let path = &folder.join("tokenizer.json");
    let Some(bytes) = read_file(path)? else {
        return Err(match OTHER_TOKENIZERS.into_iter().find(|name| folder.join(name).is_file()) {
            Some(found) => TextError::NoTokenizerJson { path: folder.into(), found },
            None => TextError::Read { path: path.into(), source: ErrorKind::NotFound.into() },
        });
    };
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
fn read_file(path: &Path) -> Result<Option<Vec<u8>>, TextError> {
    match read_bounded(path, MAX_FILE_BYTES) {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(file_error(path, format!("it has more than {MAX_FILE_BYTES} bytes"))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TextError::Read { path: path.into(), source }),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, TextError> {
    let Some(bytes) = read_file(path)? else { return Ok(None) };
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

/// `tokenizer_config.json` has the last word on whether a sequence gets its first or last token. So it had in
/// transformers 4 for the families that this engine runs, and has for llama.cpp's converter. transformers 5 leaves it to
/// `tokenizer.json` alone, and with it a folder whose `tokenizer.json` adds nothing loses the token that it asks for.
fn override_edge(edge: &mut Vec<u32>, wanted: Option<bool>, token: Option<u32>) {
    let Some(token) = token else { return };
    match wanted {
        Some(true) if !edge.contains(&token) => edge.insert(0, token),
        Some(false) => edge.retain(|&id| id != token),
        Some(true) | None => {}
    }
}

fn generation_ends(folder: &Path, generation: &Value, check: &mut IdCheck) -> Result<Vec<u32>, TextError> {
    let Some(ids) = generation.get("eos_token_id") else { return Ok(Vec::new()) };
    let ids = Option::<Ids>::deserialize(ids).map_err(|error| file_error(&folder.join(GENERATION_CONFIG), error))?;
    let ids = match ids {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Several(ids)) => ids,
    };
    let name = "eos_token_id of generation_config.json";
    // A negative number says that there is none.
    Ok(ids.into_iter().filter_map(|id| check.known(name, u64::try_from(id).ok()?, true)).collect())
}

/// Where there is no `generation_config.json`, transformers takes what the model's description says
/// (`GenerationConfig.from_model_config`). What is no token there never comes.
fn ends_of_description(config: Option<&Value>, size: usize) -> Vec<u32> {
    let Some(config) = config else { return Vec::new() };
    let of_text = config.get("text_config").and_then(|text| text.get("eos_token_id"));
    let ids = match of_text.or(config.get("eos_token_id")) {
        Some(Value::Array(ids)) => ids.as_slice(),
        Some(id) => std::slice::from_ref(id),
        None => &[],
    };
    ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()).filter(|id| (*id as usize) < size).collect()
}

/// A file of its own goes before the one in `tokenizer_config.json`, and the template named `default` before others.
fn chat_template(folder: &Path, configured: Option<Templates>) -> Result<Option<String>, TextError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = read_file(&path)? {
        return String::from_utf8(bytes).map(Some).map_err(|error| file_error(&path, error));
    }
    let separate: Option<TokenizerConfig> = read_json(&folder.join("chat_template.json"))?;
    Ok(match configured.or(separate.and_then(|config| config.chat_template)) {
        None => None,
        Some(Templates::One(template)) => Some(template),
        Some(Templates::Several(templates)) => {
            let default = templates.iter().position(|named| named.name == "default").unwrap_or(0);
            templates.into_iter().nth(default).map(|named| named.template)
        }
    })
}
