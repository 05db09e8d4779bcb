//! What several topics' tests share.

pub mod command;
pub mod damage;
pub mod gguf_writer;
pub mod hub_stub;
pub mod instrumented;
pub mod models;
pub mod notice;
pub mod own_process;
