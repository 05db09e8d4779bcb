//! Attention for adapters that emulate a GPU on the CPU with subgroups of eight: keys and values shared by broadcast.

use crate::recording::Program;

/// Query rows of a workgroup: four a lane.
pub(super) const ROWS: u32 = 32;
/// Keys of a step.
pub(super) const KEYS: u32 = 32;

pub(super) fn program(head_dim: u32) -> Program {
    Program::new("attention_lanes", "broadcast").flag("wide", true).constant("D", head_dim).constant("R", ROWS)
}
