//! What several topics' tests share.

pub mod gguf_writer;
