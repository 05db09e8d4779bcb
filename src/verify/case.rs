//! One case: a dispatch, and how to make what it works on.

use std::fmt;

use crate::kernels::Elements;
use crate::recording::{BufferId, Dispatch, MAX_BINDINGS, Program, Slice, Texel};

use super::Random;
use super::tolerances::{self, Tolerance};

/// Fills outputs before a run: a NaN that no kernel makes, so that an element that was left alone can be told from one
/// that was written. Also lies around inputs, so that reading too far shows.
pub const UNTOUCHED: u32 = 0x7fc5_a5a5;

/// Stands around outputs: a number, since a kernel in place that computes with a NaN in front of or behind its tensor may
/// leave the same NaN there.
pub(super) const OUTPUT_GUARD: u32 = 0x4640_e6b7;

/// The contents of one binding before the run.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: &'static str,
    pub words: Vec<u32>,
    /// `None`: an input.
    pub output: Option<Elements>,
    /// `None`: in a buffer.
    pub texel: Option<Texel>,
}

impl Tensor {
    pub fn f32(name: &'static str, values: Vec<f32>) -> Tensor {
        Tensor::u32(name, bytemuck::cast_vec(values))
    }

    pub fn u32(name: &'static str, words: Vec<u32>) -> Tensor {
        Tensor { name, words, output: None, texel: None }
    }

    /// An output that the kernel makes from nothing.
    pub fn output(name: &'static str, words: usize, elements: Elements) -> Tensor {
        Tensor { output: Some(elements), ..Tensor::u32(name, vec![UNTOUCHED; words]) }
    }

    /// What lies in front of it and behind it.
    pub(super) fn guard(&self) -> u32 {
        if self.output.is_some() { OUTPUT_GUARD } else { UNTOUCHED }
    }

    /// An output that the kernel also reads.
    pub fn in_place(name: &'static str, values: Vec<f32>) -> Tensor {
        Tensor { output: Some(Elements::F32), ..Tensor::f32(name, values) }
    }

    /// Activations for a product that takes them from there if `texels`.
    pub(super) fn for_product(self, texels: bool) -> Tensor {
        if texels { self.in_texels(Texel::FourWords) } else { self }
    }

    /// The same as texels.
    pub fn in_texels(self, texel: Texel) -> Tensor {
        Tensor { texel: Some(texel), ..self }
    }
}

/// Slices for a dispatch that is looked at and not run.
pub(super) const NOWHERE: [Slice; MAX_BINDINGS] = [Slice { buffer: BufferId(0), offset: 0, size: 0 }; MAX_BINDINGS];

type MakeTensors = dyn Fn(&mut Random) -> Vec<Tensor> + Send + Sync;
type MakeDispatch = dyn Fn(&[Slice]) -> Dispatch + Send + Sync;

/// A dispatch to check or to time. Its tensors are made on demand, from its seed.
pub struct Case {
    pub program: Program,
    /// The shape in words.
    pub shape: String,
    pub seed: u64,
    /// Of its outputs; [`Case::tolerance_of`] one may be tighter.
    pub tolerance: &'static Tolerance,
    tensors: Box<MakeTensors>,
    dispatch: Box<MakeDispatch>,
}

impl Case {
    /// `dispatch` gets the slices of the tensors, in their order. The seed follows from the case's name, so that adding
    /// cases changes no other.
    pub fn new(
        shape: impl Into<String>,
        tensors: impl Fn(&mut Random) -> Vec<Tensor> + Send + Sync + 'static,
        dispatch: impl Fn(&[Slice]) -> Dispatch + Send + Sync + 'static,
    ) -> Case {
        let program = dispatch(&NOWHERE).program;
        let shape = shape.into();
        let seed = fnv1a(format!("{program} {shape}").as_bytes());
        Case {
            program,
            shape,
            seed,
            tolerance: tolerances::of(&program),
            tensors: Box::new(tensors),
            dispatch: Box::new(dispatch),
        }
    }

    /// The same case with bounds of its own.
    pub fn within(mut self, tolerance: &'static Tolerance) -> Case {
        self.tolerance = tolerance;
        self
    }

    /// The bound of an output that holds such elements.
    pub fn tolerance_of(&self, output: Elements) -> &'static Tolerance {
        tolerances::of_output(&self.program, output).unwrap_or(self.tolerance)
    }

    /// What tells it from every other case: the program and the shape.
    pub fn name(&self) -> String {
        format!("{} [{}]", self.program, self.shape)
    }

    /// At which byte of its buffer each tensor begins: for half of the cases beyond 64 KiB, as far as 16 bits count. A
    /// multiple of wgpu's default offset alignment.
    pub fn offset(&self) -> u64 {
        if self.seed & 1 == 0 { 256 } else { (64 << 10) + 256 }
    }

    /// What the bindings hold before the run.
    pub fn tensors(&self) -> Vec<Tensor> {
        (self.tensors)(&mut Random::new(self.seed))
    }

    /// The dispatch over the tensors' slices.
    pub fn dispatch(&self, slices: &[Slice]) -> Dispatch {
        (self.dispatch)(slices)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seed {:#x}", self.name(), self.seed)
    }
}

/// The FNV-1a hash: stable over versions and machines, which the standard library's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
