use std::path::PathBuf;

/// Why text could not be turned into tokens or back.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file of a model folder is missing or unreadable.
    #[error("cannot read {}: {source}; check that the model folder is complete", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of a model folder does not say what it should.
    #[error("{} is not usable: {reason}; download the model again or convert it anew", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A model folder has its tokenizer in another form only.
    #[error(
        "{} has {found} but no tokenizer.json, which wgpt reads; download the model's own, or write one with transformers: \
         AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)", path.display()
    )]
    NoTokenizerJson {
        /// The folder.
        path: PathBuf,
        /// The file that it has instead.
        found: &'static str,
    },
    /// A GGUF key that a tokenizer needs is absent or of another type.
    #[error("the GGUF metadata has no usable {key}; convert the model again with its vocabulary")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A GGUF array has another length than the vocabulary.
    #[error("the GGUF metadata's {key} has {found} entries for {expected} tokens; convert the model again")]
    Length {
        /// The array's key.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The vocabulary's size.
        expected: usize,
    },
    /// The vocabulary contradicts itself.
    #[error("the vocabulary is not usable: {0}; convert the model again")]
    Vocabulary(String),
    /// A kind of tokenizer that wgpt has no code for.
    #[error("{0} is not supported; wgpt reads byte-level BPE (gpt2) and SentencePiece-style BPE (llama) tokenizers")]
    Unsupported(String),
    /// The token that ends a generation is none of the vocabulary, and nothing else ends one.
    #[error(
        "{name} is token {id}, but the vocabulary has {size} tokens, and no other token ends an answer; convert the model \
         again"
    )]
    SpecialToken {
        /// The role or key of the special token.
        name: String,
        /// Its id.
        id: u64,
        /// The vocabulary's size.
        size: usize,
    },
    /// The `tokenizers` crate refused a vocabulary or a text.
    #[error("the tokenizer failed: {0}")]
    Tokenizers(#[from] tokenizers::Error),
    /// The `tokenizers` crate panicked over a vocabulary or a text, as it does over some damaged ones.
    #[error("the model's tokenizer is one that the tokenizers crate fails on; download the model again")]
    TokenizersPanic,
    /// The model has no chat template: a base model, or a conversion that lost it.
    #[error("the model has no chat template; run it with --raw")]
    NoChatTemplate,
    /// The chat template is not valid, or refused the conversation.
    #[error("the chat template failed: {0}; --raw runs without it")]
    ChatTemplate(String),
    /// The chat template ran too long or wrote too much.
    #[error("the chat template exceeds {0}, as one that loops does; --raw runs without it")]
    ChatTemplateLimit(&'static str),
}
