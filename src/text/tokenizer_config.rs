//! `tokenizer_config.json` and `special_tokens_map.json`, as far as they matter here.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use tokenizers::AddedToken;

#[derive(Default, Deserialize)]
pub(super) struct TokenizerConfig {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    unk_token: Option<Token>,
    sep_token: Option<Token>,
    pad_token: Option<Token>,
    cls_token: Option<Token>,
    mask_token: Option<Token>,
    added_tokens_decoder: Option<BTreeMap<u32, Token>>,
    /// The older name of the next.
    additional_special_tokens: Option<Tokens>,
    extra_special_tokens: Option<Tokens>,
    pub(super) add_bos_token: Option<bool>,
    pub(super) add_eos_token: Option<bool>,
    pub(super) chat_template: Option<Templates>,
}

/// A token: its text, or an object that says how it is matched, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object {
        content: String,
        #[serde(default)]
        single_word: bool,
        #[serde(default)]
        lstrip: bool,
        #[serde(default)]
        rstrip: bool,
        normalized: Option<bool>,
        special: Option<bool>,
    },
}

/// Tokens, perhaps with a name each.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tokens {
    Unnamed(Vec<Token>),
    Named(BTreeMap<String, Token>),
}

/// One chat template, or several with a name each.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
pub(super) struct NamedTemplate {
    pub(super) name: String,
    pub(super) template: String,
}

impl TokenizerConfig {
    /// With what the older `special_tokens_map.json` says, which transformers reads where the tokens are not listed here.
    pub(super) fn with_map(self, map: Self) -> Self {
        if self.added_tokens_decoder.is_some() {
            return self;
        }
        Self {
            bos_token: map.bos_token.or(self.bos_token),
            eos_token: map.eos_token.or(self.eos_token),
            unk_token: map.unk_token.or(self.unk_token),
            sep_token: map.sep_token.or(self.sep_token),
            pad_token: map.pad_token.or(self.pad_token),
            cls_token: map.cls_token.or(self.cls_token),
            mask_token: map.mask_token.or(self.mask_token),
            additional_special_tokens: map.additional_special_tokens.or(self.additional_special_tokens),
            extra_special_tokens: map.extra_special_tokens.or(self.extra_special_tokens),
            ..self
        }
    }

    /// The texts of the special tokens that have a role, by the names that chat templates have for them.
    pub(super) fn texts(&self) -> Vec<(&'static str, String)> {
        self.roles().map(|(name, token)| (name, token.text().to_owned())).collect()
    }

    /// The text of the token in a role, such as `eos_token`.
    pub(super) fn text(&self, role: &str) -> Option<&str> {
        self.roles().find(|(name, _)| *name == role).map(|(_, token)| token.text())
    }

    /// The tokens that transformers adds to those that are `known` from `tokenizer.json`, or reads otherwise there, in its
    /// order: all that are listed, those that have a role, and the others.
    pub(super) fn added_tokens<'a>(&self, known: impl IntoIterator<Item = &'a AddedToken>) -> Vec<AddedToken> {
        let known: HashMap<&str, &AddedToken> = known.into_iter().map(|token| (&*token.content, token)).collect();
        let mut added = Added::default();
        for token in self.added_tokens_decoder.iter().flat_map(BTreeMap::values) {
            added.entry(token.text(), || token.added(false));
        }
        for (_, token) in self.roles() {
            let otherwise = || known.get(token.text()).map_or_else(|| token.added(true), |&known| known.clone());
            added.entry(token.text(), otherwise).special = true;
        }
        let others = [&self.additional_special_tokens, &self.extra_special_tokens];
        for token in others.into_iter().flatten().flat_map(Tokens::all) {
            if !known.contains_key(token.text()) {
                added.entry(token.text(), || token.added(true));
            }
        }
        added.tokens
    }

    fn roles(&self) -> impl Iterator<Item = (&'static str, &Token)> {
        let roles = [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("unk_token", &self.unk_token),
            ("sep_token", &self.sep_token),
            ("pad_token", &self.pad_token),
            ("cls_token", &self.cls_token),
            ("mask_token", &self.mask_token),
        ];
        roles.into_iter().filter_map(|(name, token)| Some((name, token.as_ref()?)))
    }
}

/// Tokens in the order in which they came, each text once.
#[derive(Default)]
struct Added<'a> {
    tokens: Vec<AddedToken>,
    places: HashMap<&'a str, usize>,
}

impl<'a> Added<'a> {
    fn entry(&mut self, text: &'a str, otherwise: impl FnOnce() -> AddedToken) -> &mut AddedToken {
        let place = *self.places.entry(text).or_insert_with(|| {
            self.tokens.push(otherwise());
            self.tokens.len() - 1
        });
        &mut self.tokens[place]
    }
}

impl Tokens {
    fn all(&self) -> Box<dyn Iterator<Item = &Token> + '_> {
        match self {
            Self::Unnamed(tokens) => Box::new(tokens.iter()),
            Self::Named(tokens) => Box::new(tokens.values()),
        }
    }
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Object { content: text, .. } => text,
        }
    }

    /// As the `tokenizers` crate has it, special or not where the file does not say.
    fn added(&self, special_by_default: bool) -> AddedToken {
        match self {
            Self::Text(text) => AddedToken::from(text, special_by_default),
            Self::Object { content, single_word, lstrip, rstrip, normalized, special } => {
                let special = special.unwrap_or(special_by_default);
                AddedToken::from(content, special)
                    .single_word(*single_word)
                    .lstrip(*lstrip)
                    .rstrip(*rstrip)
                    .normalized(normalized.unwrap_or(!special))
            }
        }
    }
}
