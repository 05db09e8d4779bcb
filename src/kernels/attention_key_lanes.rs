//! Attention over parts of the keys for adapters that emulate a GPU on the CPU with subgroups of eight: a lane owns a key.

use crate::recording::Program;

/// Query rows of a workgroup, shared by broadcast.
pub(super) const ROWS: u32 = 4;

pub(super) fn program(head_dim: u32) -> Program {
    Program::new("attention_key_lanes", "broadcast").flag("wide", true).constant("D", head_dim).constant("R", ROWS)
}
