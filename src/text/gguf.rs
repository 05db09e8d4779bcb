//! The tokenizer that a GGUF file carries in its metadata.

use std::collections::HashSet;

use super::pre_tokenizer::{self, PreTokenization};
use super::sentence_piece::SentencePiece;
use super::special_tokens::{IdCheck, SpecialTokens};
use super::token_table::{Spelling, TokenTable, byte_token};
use super::tokenizer::Parts;
use super::{TextError, Tokenizer, byte_level, end_of_turn, sentence_piece};
use crate::formats::gguf::Metadata;

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const KINDS: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";

/// The special tokens in the keys `tokenizer.ggml.*_token_id`, and what chat templates call them.
const ROLES: [(&str, Option<&str>); 9] = [
    ("bos", Some("bos_token")),
    ("eos", Some("eos_token")),
    ("eot", None),
    ("eom", None),
    ("unknown", Some("unk_token")),
    // As the format spells it.
    ("seperator", Some("sep_token")),
    ("padding", Some("pad_token")),
    ("cls", Some("cls_token")),
    ("mask", Some("mask_token")),
];

/// What a token is, by `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// A checked vocabulary: as many kinds as tokens, no token twice.
pub(super) struct Vocabulary {
    pub(super) tokens: Vec<String>,
    pub(super) kinds: Vec<Kind>,
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file: byte-level BPE (`gpt2`) or SentencePiece-style BPE (`llama`).
    ///
    /// # Errors
    /// [`TextError::Unsupported`] for other kinds; otherwise what is missing or contradicts itself in the metadata.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TextError> {
        let mut warnings = Vec::new();
        let model = metadata.str(MODEL).ok_or(TextError::MissingKey { key: MODEL })?;
        let mut vocabulary = vocabulary(metadata)?;
        let parts = match model {
            "gpt2" => {
                let pre = pre_tokenization(metadata, &mut warnings);
                let merges = metadata.strings(MERGES).ok_or(TextError::MissingKey { key: MERGES })?;
                let special = special_tokens(metadata, &mut vocabulary, Defaults::byte_level(pre), &mut warnings)?;
                let inner = byte_level::build(&vocabulary, merges, pre, &mut warnings)?;
                Parts {
                    inner,
                    table: table(&vocabulary, Spelling::ByteLevel),
                    strips_leading_space: false,
                    special,
                    chat_template: chat_template(metadata),
                    warnings,
                }
            }
            "llama" => {
                let scores = metadata.f32s(SCORES).ok_or(TextError::MissingKey { key: SCORES })?;
                check_length(SCORES, scores.len(), &vocabulary)?;
                let special = special_tokens(metadata, &mut vocabulary, Defaults::SENTENCE_PIECE, &mut warnings)?;
                let adds_space = metadata.bool("tokenizer.ggml.add_space_prefix").unwrap_or(true);
                let known = |id: &u64| usize::try_from(*id).is_ok_and(|id| id < vocabulary.tokens.len());
                let unknown = match special_id(metadata, "unknown").filter(known) {
                    Some(id) => Some(id as usize),
                    None => vocabulary.kinds.iter().position(|&kind| kind == Kind::Unknown),
                };
                let inner =
                    sentence_piece::build(SentencePiece { vocabulary: &vocabulary, scores, unknown, adds_space })?;
                Parts {
                    inner,
                    table: table(&vocabulary, Spelling::SentencePiece { byte_fallback: true }),
                    strips_leading_space: adds_space,
                    special,
                    chat_template: chat_template(metadata),
                    warnings,
                }
            }
            other => return Err(TextError::Unsupported(format!("a GGUF tokenizer of the kind {other:?}"))),
        };
        Ok(Self::assemble(parts))
    }
}

/// What holds where the metadata does not say.
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
}

impl Defaults {
    const SENTENCE_PIECE: Self = Self { bos: Some(1), eos: Some(2), add_bos: true };

    fn byte_level(pre: PreTokenization) -> Self {
        Self { bos: None, eos: None, add_bos: pre.add_bos }
    }
}

fn vocabulary(metadata: &Metadata) -> Result<Vocabulary, TextError> {
    let tokens = metadata.strings(TOKENS).ok_or(TextError::MissingKey { key: TOKENS })?;
    if tokens.is_empty() || u32::try_from(tokens.len()).is_err() {
        return Err(TextError::Vocabulary(format!("it has {} tokens", tokens.len())));
    }
    // Some converters leave a token empty; it needs a name of its own, as in llama.cpp.
    let tokens: Vec<String> = (tokens.iter().enumerate())
        .map(|(id, text)| if text.is_empty() { format!("[EMPTY_{id}]") } else { text.clone() })
        .collect();
    let mut seen = HashSet::with_capacity(tokens.len());
    if let Some((id, text)) = tokens.iter().enumerate().find(|(_, text)| !seen.insert(text.as_str())) {
        return Err(TextError::Vocabulary(format!("token {id}, {text:?}, is there twice")));
    }
    let mut vocabulary = Vocabulary { kinds: vec![Kind::Normal; tokens.len()], tokens };
    if metadata.get(KINDS).is_some() {
        let kinds = metadata.i64s(KINDS).ok_or(TextError::MissingKey { key: KINDS })?;
        check_length(KINDS, kinds.len(), &vocabulary)?;
        vocabulary.kinds = kinds.into_iter().map(kind).collect();
    }
    Ok(vocabulary)
}

fn kind(value: i64) -> Kind {
    match value {
        2 => Kind::Unknown,
        3 => Kind::Control,
        4 => Kind::UserDefined,
        5 => Kind::Unused,
        6 => Kind::Byte,
        _ => Kind::Normal,
    }
}

fn check_length(key: &'static str, found: usize, vocabulary: &Vocabulary) -> Result<(), TextError> {
    let expected = vocabulary.tokens.len();
    if found == expected { Ok(()) } else { Err(TextError::Length { key, found, expected }) }
}

fn pre_tokenization(metadata: &Metadata, warnings: &mut Vec<String>) -> PreTokenization {
    let name = metadata.str("tokenizer.ggml.pre");
    name.and_then(pre_tokenizer::by_name).unwrap_or_else(|| {
        warnings.push(match name {
            Some(name) => format!("the pre-tokenizer {name:?} is not known; the default one may cut words wrongly"),
            None => "the file does not name its pre-tokenizer; the default one may cut words wrongly".to_owned(),
        });
        pre_tokenizer::DEFAULT
    })
}

/// Finds the special tokens, and marks them as such in the vocabulary where their type does not say so.
fn special_tokens(
    metadata: &Metadata,
    vocabulary: &mut Vocabulary,
    defaults: Defaults,
    warnings: &mut Vec<String>,
) -> Result<SpecialTokens, TextError> {
    let size = vocabulary.tokens.len();
    let mut check = IdCheck::new(size);
    let mut ids = [None; ROLES.len()];
    for ((name, _), id) in ROLES.iter().zip(&mut ids) {
        let key = format!("tokenizer.ggml.{name}_token_id");
        *id = special_id(metadata, name).and_then(|id| check.known(&key, id, matches!(*name, "eos" | "eot" | "eom")));
    }
    let [bos, eos, eot, eom, ..] = &mut ids;
    let default = |id: Option<u32>| id.filter(|&id| (id as usize) < size);
    *bos = bos.or(default(defaults.bos));
    *eos = eos.or(default(defaults.eos));
    let (bos, eos) = (*bos, *eos);

    let mut end_of_generation: Vec<u32> = [eos, *eot, *eom].into_iter().flatten().collect();
    for (id, (text, kind)) in (0..).zip(vocabulary.tokens.iter().zip(&vocabulary.kinds)) {
        // `</s>` and `<eos>` are text in vocabularies that know HTML, so their type must say that they are more.
        if end_of_turn::ends_turn(text) && (*kind == Kind::Control || !matches!(text.as_str(), "</s>" | "<eos>")) {
            end_of_generation.push(id);
        }
    }
    check.finish(&end_of_generation, warnings)?;
    for &id in end_of_generation.iter().chain(&bos) {
        vocabulary.kinds[id as usize] = Kind::Control;
    }

    let add = |name: &str, default: bool, token: Option<u32>, warnings: &mut Vec<String>| {
        let add = metadata.bool(&format!("tokenizer.ggml.add_{name}_token")).unwrap_or(default);
        if add && token.is_none() {
            warnings.push(format!("the file asks for a {name} token and does not say which; none is added"));
        }
        token.filter(|_| add).into_iter().collect()
    };
    let prefix = add("bos", defaults.add_bos, bos, warnings);
    let suffix = add("eos", false, eos, warnings);
    let text = |(&(_, name), id): (&(_, Option<&'static str>), Option<u32>)| {
        Some((name?, vocabulary.tokens[id? as usize].clone()))
    };
    let texts = ROLES.iter().zip(ids).filter_map(text).collect();
    Ok(SpecialTokens { bos, eos, prefix, suffix, end_of_generation, texts })
}

/// An id in the metadata; `u32::MAX` and negative numbers are how writers say that there is none.
fn special_id(metadata: &Metadata, name: &str) -> Option<u64> {
    metadata.u64(&format!("tokenizer.ggml.{name}_token_id")).filter(|&id| id != u64::from(u32::MAX))
}

fn table(vocabulary: &Vocabulary, spelling: Spelling) -> TokenTable {
    let mut table = TokenTable::default();
    for (text, kind) in vocabulary.tokens.iter().zip(&vocabulary.kinds) {
        match kind {
            Kind::Control | Kind::Unknown => table.push_added(text, true),
            Kind::UserDefined if spelling == Spelling::ByteLevel => table.push_added(text, false),
            Kind::Normal | Kind::Byte | Kind::Unused | Kind::UserDefined => table.push_spelled(text, spelling),
        }
    }
    table
}

fn chat_template(metadata: &Metadata) -> Option<String> {
    metadata.str("tokenizer.chat_template").map(str::to_owned)
}

impl Vocabulary {
    /// The tokens that are found in a text before it is cut into words.
    pub(super) fn added_tokens(&self) -> Vec<tokenizers::AddedToken> {
        let added = self.tokens.iter().zip(&self.kinds).filter_map(|(text, kind)| match kind {
            Kind::Control | Kind::Unknown => Some((text, true)),
            Kind::UserDefined => Some((text, false)),
            Kind::Normal | Kind::Unused | Kind::Byte => None,
        });
        added.map(|(text, special)| tokenizers::AddedToken::from(text.as_str(), special).normalized(false)).collect()
    }

    /// Ids by token.
    pub(super) fn ids(&self) -> tokenizers::models::bpe::Vocab {
        (0..).zip(&self.tokens).map(|(id, text)| (text.clone(), id)).collect()
    }

    /// Whether the token takes part in merges: the others are found whole or stand for a byte.
    pub(super) fn merges(&self, id: usize) -> bool {
        matches!(self.kinds[id], Kind::Normal | Kind::Unused) && byte_token(&self.tokens[id]).is_none()
    }
}
