//! Text to tokens and back: tokenizers, the streaming detokeniser, stop strings and chat templates.

mod byte_level;
mod chat_template;
mod detokenizer;
mod end_of_turn;
mod error;
mod folder;
mod gguf;
mod pre_tokenizer;
mod sentence_piece;
mod special_tokens;
mod stop;
mod template_bounds;
mod template_json;
mod template_machine;
mod template_meter;
mod template_python;
mod token_table;
mod tokenizer;
mod tokenizer_config;
mod tokenizer_json;

pub use chat_template::{ChatTemplate, Message};
pub use detokenizer::Detokenizer;
pub use error::TextError;
pub use stop::StopStrings;
pub use tokenizer::Tokenizer;
