//! Turns Q and K, and writes K and V into the paged cache in blocks of q8_0; with the parameters and bindings of
//! `rope_append`, and the scales at binding 6.

use crate::recording::Program;

pub(super) const PROGRAM: Program = Program::new("rope_append_q8_0", "base");
