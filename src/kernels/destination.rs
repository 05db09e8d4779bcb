//! Where a kernel leaves the activations that a product takes next.

use super::linear::Input;
use crate::recording::{Dispatch, Program, Slice, Texel};

#[derive(Clone, Copy, Debug)]
pub enum Destination {
    Buffer(Slice),
    /// For the kernels that [load them from there](super::LinearPath::loads_activations_from_texels).
    Texels(Slice),
}

impl Destination {
    /// As the product takes it.
    pub fn input(self) -> Input {
        match self {
            Destination::Buffer(slice) => Input::F32(slice),
            Destination::Texels(slice) => Input::Texels(slice),
        }
    }

    /// Turns the flag `texels` on where the program has to store those.
    pub(super) fn flag(self, program: Program) -> Program {
        program.flag("texels", matches!(self, Destination::Texels(_)))
    }

    pub(super) fn bind(self, dispatch: Dispatch, index: u32) -> Dispatch {
        match self {
            Destination::Buffer(slice) => dispatch.read_write(index, slice),
            Destination::Texels(slice) => dispatch.store_texels(index, slice, Texel::FourWords),
        }
    }
}
