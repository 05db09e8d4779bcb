//! A file of the probabilities that a run gave to each token of the vocabulary: llama.cpp's `--kl-divergence-base`.
//!
//! Little-endian, without padding between the parts:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `_logits_` |
//! | 4 | u32: tokens of a window, `n` |
//! | 4 | i32: tokens of the vocabulary, `v` |
//! | 4 | i32: windows, `w` |
//! | 4 w n | i32: the text's tokens, window by window, without BOS in place of the first |
//! | 2 s each | for each window, and each of its last `n - n / 2 - 1` tokens: the row that predicts it |
//!
//! A row is a scale and a least log-probability (f32 each) and `v` codes (u16), of which the log-probability is `least +
//! scale * code`; where `v` is odd a u16 follows that means nothing, so `s = 4 + v + v % 2`. Log-probabilities more than
//! 16 below the largest are cut off there, so the codes are at most `16 / 65535` apart.

mod header;
mod reader;
mod row;
mod writer;

pub use header::{Header, SavedLogitsError};
pub use reader::Reader;
pub use row::{SavedRow, encode};
pub use writer::Writer;
