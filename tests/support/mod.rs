//! What several topics' tests share.

pub mod command;
pub mod gguf_writer;
pub mod hub_stub;
pub mod models;
pub mod notice;
