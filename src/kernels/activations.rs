//! Where activations lie between what makes them and the product that takes them.

use crate::recording::{Dispatch, Program, Requirement, Slice, Texel};

#[derive(Clone, Copy, Debug)]
pub enum Activations {
    Buffer(Slice),
    /// For the kernels that [load them from there](super::LinearPath::loads_texels), four elements a texel.
    Texels(Slice),
}

impl Activations {
    /// Turns the flag `texels` on where the program has to store those, which only kernels for lanes take.
    pub(super) fn flag(self, program: Program) -> Program {
        match self {
            Activations::Buffer(_) => program,
            Activations::Texels(_) => program.requires(Requirement::EightLanes).flag("texels", true),
        }
    }

    /// To what makes them.
    pub(super) fn bind_output(self, dispatch: Dispatch, index: u32) -> Dispatch {
        match self {
            Activations::Buffer(slice) => dispatch.read_write(index, slice),
            Activations::Texels(slice) => dispatch.store_texels(index, slice, Texel::FourWords),
        }
    }

    /// To what takes them.
    pub(super) fn bind_input(self, dispatch: Dispatch, index: u32) -> Dispatch {
        match self {
            Activations::Buffer(slice) => dispatch.read(index, slice),
            Activations::Texels(slice) => dispatch.load_texels(index, slice, Texel::FourWords),
        }
    }
}
