use tokenizers::{AddedVocabulary, Model, OffsetType, PreTokenizer};

use super::special_tokens::SpecialTokens;
use super::token_table::TokenTable;
use super::{ChatTemplate, Detokenizer, TextError, end_of_turn, folder};
use crate::formats::{Checkpoint, Description};
use crate::panics;

/// Text to token ids and back, with what the checkpoint says about its special tokens.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The added tokens without the special ones, for text that must not be read as markup.
    plain_added: AddedVocabulary,
    table: TokenTable,
    strips_leading_space: bool,
    special: SpecialTokens,
    chat_template: Option<String>,
    warnings: Vec<String>,
}

/// What a checkpoint's reader hands over.
pub(super) struct Parts {
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) table: TokenTable,
    /// Whether encoding puts a space before a text, which decoding takes away again.
    pub(super) strips_leading_space: bool,
    pub(super) special: SpecialTokens,
    pub(super) chat_template: Option<String>,
    pub(super) warnings: Vec<String>,
}

impl Tokenizer {
    /// The tokenizer that a checkpoint brings with it.
    ///
    /// # Errors
    /// It has none, or none that can be used.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, TextError> {
        match checkpoint.description() {
            Description::HuggingFace { config, generation_config } => {
                folder::read(checkpoint.path(), Some(config), generation_config.as_ref())
            }
            Description::Gguf(metadata) => Self::from_gguf(metadata),
        }
    }

    pub(super) fn assemble(parts: Parts) -> Self {
        let Parts { inner, table, strips_leading_space, mut special, chat_template, warnings } = parts;
        let mut plain_added = inner.get_added_vocabulary().clone();
        plain_added.set_encode_special_tokens(true);
        let ends = &mut special.end_of_generation;
        ends.sort_unstable();
        ends.dedup();
        end_of_turn::drop_message_ends(ends, |id| std::str::from_utf8(table.bytes(id)).unwrap_or_default());
        // An empty one is what some conversions leave of a template: it would drop the prompt.
        let chat_template = chat_template.filter(|template| !template.trim().is_empty());
        Self { inner, plain_added, table, strips_leading_space, special, chat_template, warnings }
    }

    /// The token ids of `text`. Special tokens written in it, such as `<|im_end|>`, become those tokens.
    ///
    /// With `add_special`, the beginning- and end-of-sequence tokens that the model wants are put around them, except
    /// where the text already has them: some chat templates write the first one themselves.
    ///
    /// # Errors
    /// [`TextError::Tokenizers`] where the vocabulary cannot express the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let mut ids = self.encode_prompt(text, add_special)?;
        let suffix = &self.special.suffix;
        if add_special && !ids.ends_with(suffix) {
            ids.extend_from_slice(suffix);
        }
        Ok(ids)
    }

    /// The token ids of a text that the model is to continue: as [`Self::encode`], but nothing is put after the text,
    /// since a model that has read its end-of-sequence token has nothing to continue.
    ///
    /// # Errors
    /// [`TextError::Tokenizers`] where the vocabulary cannot express the text.
    pub fn encode_prompt(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TextError> {
        let mut ids = self.ids(self.inner.get_added_vocabulary(), text)?;
        let prefix = &self.special.prefix;
        if add_special && !ids.starts_with(prefix) {
            ids.splice(..0, prefix.iter().copied());
        }
        Ok(ids)
    }

    /// The token ids of `text` read as nothing but text: special tokens written in it are spelled out.
    ///
    /// # Errors
    /// [`TextError::Tokenizers`] where the vocabulary cannot express the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.ids(&self.plain_added, text)
    }

    /// The text of `ids`, with U+FFFD for bytes that are not UTF-8. Special tokens are left out with `skip_special`,
    /// and written as they are called otherwise; ids outside the vocabulary are left out.
    ///
    /// A vocabulary that puts a space before every text loses that one space again.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids.iter().filter(|&&id| !(skip_special && self.table.is_special(id))) {
            bytes.extend_from_slice(self.table.bytes(id));
        }
        let strip = self.strips_leading_space && bytes.first() == Some(&b' ');
        String::from_utf8_lossy(&bytes[usize::from(strip)..]).into_owned()
    }

    /// Decodes ids one by one, as they are generated after a prompt.
    pub fn detokenizer(&self) -> Detokenizer<'_> {
        Detokenizer::new(&self.table, false)
    }

    /// Decodes ids one by one from the start of a text: the pieces together are what [`Self::decode`] gives.
    pub fn detokenizer_from_start(&self) -> Detokenizer<'_> {
        Detokenizer::new(&self.table, self.strips_leading_space)
    }

    /// The number of token ids: the highest one plus one. A model's embedding may have more rows than that.
    pub fn vocab_size(&self) -> usize {
        self.table.len()
    }

    /// The beginning-of-sequence token. Whether `encode` adds it is another matter.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// What `encode` puts before a text when asked to add special tokens: BOS, or nothing.
    pub fn prefix(&self) -> &[u32] {
        &self.special.prefix
    }

    /// The end-of-sequence token.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The tokens that end a generation, in ascending order: end of sequence, end of turn.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.special.end_of_generation
    }

    /// Whether the model has said all that it has to say once it gave this token.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.special.end_of_generation.binary_search(&id).is_ok()
    }

    /// Whether the token is markup rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        self.table.is_special(id)
    }

    /// The token as the vocabulary spells it, such as `Ġthe` or `<0x0A>`.
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The model's chat template, ready to render.
    ///
    /// # Errors
    /// [`TextError::NoChatTemplate`] for a model without one, [`TextError::ChatTemplate`] where it does not parse.
    pub fn chat_template(&self) -> Result<ChatTemplate, TextError> {
        let source = self.chat_template.as_deref().ok_or(TextError::NoChatTemplate)?;
        ChatTemplate::new(source, self.special.texts.iter().map(|(name, text)| (*name, text)))
    }

    /// What was odd about the checkpoint's tokenizer and how it was read nevertheless, a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The crate's own `encode` would also truncate and pad as `tokenizer.json` says, which a prompt must not suffer.
    fn ids(&self, added: &AddedVocabulary, text: &str) -> Result<Vec<u32>, TextError> {
        caught(|| {
            let mut pieces = added.extract_and_normalize(self.inner.get_normalizer(), text);
            if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
                pre_tokenizer.pre_tokenize(&mut pieces)?;
            }
            let model = self.inner.get_model();
            pieces.tokenize(|piece| model.tokenize(piece.get()))?;
            Ok(pieces.into_encoding(None, 0, OffsetType::None)?.get_ids().to_vec())
        })
    }
}

/// Calls the `tokenizers` crate, whose panics over hostile files are errors here: an expression that takes too long
/// makes one, for instance. What it leaves behind are at most caches.
pub(super) fn caught<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TextError> {
    Ok(panics::caught(call).ok_or(TextError::TokenizersPanic)??)
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special", &self.special)
            .field("chat_template", &self.chat_template.is_some())
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}
