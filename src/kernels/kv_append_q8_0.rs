//! Writes the chunk's K and V into the paged cache in blocks of q8_0; with the parameters and bindings of `kv_append`, and the
//! scales at binding 5.

use crate::recording::Program;

/// Vectors of four elements that a thread quantises: a block.
pub(super) const VECTORS: u32 = 8;

pub(super) const PROGRAM: Program = Program::new("kv_append_q8_0", "base");
