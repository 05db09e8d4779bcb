//! A backend-free list of dispatches: what one step of the model does, before anyone knows where it will run.
//!
//! The model writes a [`Recording`] once; the GPU executor runs it as one compute pass, the reference executor runs
//! it with the kernels' CPU twins. Both sides address memory through [`BufferId`]s, so any prefix of a recording can be
//! run on one side and the rest on the other.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// A buffer that an [`Executor`] has allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A range of bytes of a buffer. Offsets are multiples of 256, wgpu's default storage alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    pub buffer: BufferId,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, a multiple of 4.
    pub size: u64,
}

/// What a shader loads or stores at once of memory that was [allocated as texels](Executor::allocate_texels).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Texel {
    OneWord,
    TwoWords,
    FourWords,
}

impl Texel {
    pub const fn bytes(self) -> u64 {
        match self {
            Texel::OneWord => 4,
            Texel::TwoWords => 8,
            Texel::FourWords => 16,
        }
    }

    /// What an allocation of so many bytes takes: whole rows of a texture.
    pub const fn taken(self, bytes: u64) -> u64 {
        bytes.next_multiple_of(TEXELS_PER_ROW as u64 * self.bytes())
    }
}

/// Texels of a row of a texture: texel `i` is in row `i / TEXELS_PER_ROW`. Mirrors `shaders/shared/texels.wgsl`.
pub const TEXELS_PER_ROW: u32 = 2048;

/// How a dispatch uses a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    ReadWrite,
    LoadTexels(Texel),
    StoreTexels(Texel),
}

impl Access {
    /// Whether the dispatch may change what is bound.
    pub fn writes(self) -> bool {
        matches!(self, Access::ReadWrite | Access::StoreTexels(_))
    }

    /// What is bound if it is no buffer.
    pub fn texel(self) -> Option<Texel> {
        match self {
            Access::Read | Access::ReadWrite => None,
            Access::LoadTexels(texel) | Access::StoreTexels(texel) => Some(texel),
        }
    }
}

/// A slice at a binding number of group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    pub index: u32,
    pub slice: Slice,
    pub access: Access,
}

/// The most bindings that a kernel may have: wgpu's default limit of storage buffers a stage.
pub const MAX_BINDINGS: usize = 9;
/// The most flags that a program may have.
pub const MAX_FLAGS: usize = 7;
/// The most constants that a program may fix.
pub const MAX_CONSTANTS: usize = 8;
/// The most 32-bit words of parameters: half of the 128 bytes that every backend offers.
pub const MAX_PARAM_WORDS: usize = 16;

/// What a program needs of an adapter beyond what every adapter of ours offers: wgpu's default limits, and immediates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Requirement {
    Nothing,
    /// Subgroup operations, in subgroups of at least four lanes.
    Subgroups,
    /// Subgroups of just eight lanes, 64-bit integers and [memory in texels](Executor::allocate_texels), on a CPU that
    /// emulates a GPU.
    EightLanes,
    /// Arithmetic in f16.
    Half,
    /// Dot products of four packed bytes, which every backend's language has, but not every compiler takes; and subgroup
    /// operations if `subgroups`.
    PackedDot {
        subgroups: bool,
    },
    /// Matrix units that a subgroup works together, for square matrices of f16 with sums in f32, where the largest subgroup has
    /// so many lanes, 64, or at most as many, 32; and 32 KiB of workgroup memory.
    CooperativeMatrix {
        size: MatrixSize,
        lanes: u32,
    },
}

/// Rows and columns of the matrices that matrix units take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixSize {
    Eight,
    Sixteen,
}

impl MatrixSize {
    pub const ALL: [MatrixSize; 2] = [MatrixSize::Eight, MatrixSize::Sixteen];

    /// Its number of rows.
    pub fn rows(self) -> u32 {
        match self {
            MatrixSize::Eight => 8,
            MatrixSize::Sixteen => 16,
        }
    }
}

/// What a pipeline is made from: a kernel and everything that is fixed when its shader is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Program {
    /// The stem of `shaders/NAME.wgsl`, `kernels/NAME.rs` and `reference/NAME.rs`.
    pub kernel: &'static str,
    /// Which of the kernel's variants, as `verify` and `devices -v` print it.
    pub variant: &'static str,
    /// The storage type whose `shaders/weights/NAME.wgsl` the kernel imports, or `""`.
    pub weights: &'static str,
    pub requirement: Requirement,
    /// Conditional-compilation flags that are on.
    flags: [&'static str; MAX_FLAGS],
    /// `const NAME: u32 = VALUE;` lines of the shader's `constants` module.
    constants: [(&'static str, u32); MAX_CONSTANTS],
}

impl Program {
    pub const fn new(kernel: &'static str, variant: &'static str) -> Self {
        Self {
            kernel,
            variant,
            weights: "",
            requirement: Requirement::Nothing,
            flags: [""; MAX_FLAGS],
            constants: [("", 0); MAX_CONSTANTS],
        }
    }

    /// The same program for adapters that meet the requirement only.
    pub const fn requires(mut self, requirement: Requirement) -> Self {
        self.requirement = requirement;
        self
    }

    /// The same program reading weights of the named storage type.
    pub const fn weights(mut self, name: &'static str) -> Self {
        self.weights = name;
        self
    }

    /// Turns a conditional-compilation flag on when `on` holds.
    pub fn flag(mut self, name: &'static str, on: bool) -> Self {
        if on {
            let free = self.flags.iter().position(|f| f.is_empty()).expect("a program has at most 7 flags");
            self.flags[free] = name;
        }
        self
    }

    /// Fixes a constant.
    pub fn constant(mut self, name: &'static str, value: u32) -> Self {
        let free = self.constants.iter().position(|c| c.0.is_empty()).expect("a program has at most 8 constants");
        self.constants[free] = (name, value);
        self
    }

    pub fn flags(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.flags.iter().copied().filter(|f| !f.is_empty())
    }

    pub fn has_flag(&self, name: &str) -> bool {
        self.flags().any(|f| f == name)
    }

    pub fn constants(&self) -> impl Iterator<Item = (&'static str, u32)> + '_ {
        self.constants.iter().copied().filter(|c| !c.0.is_empty())
    }

    /// The value of a constant.
    ///
    /// # Panics
    /// When the program does not fix it: a mistake in the kernel's own code.
    pub fn constant_value(&self, name: &str) -> u32 {
        self.constants().find(|c| c.0 == name).unwrap_or_else(|| panic!("{self} fixes no constant {name}")).1
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kernel, self.variant)?;
        if !self.weights.is_empty() {
            write!(f, " {}", self.weights)?;
        }
        for flag in self.flags() {
            write!(f, " {flag}")?;
        }
        for (name, value) in self.constants() {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in the model a dispatch stands, for messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The layer, or `None` outside the layers.
    pub layer: Option<u32>,
    /// What the dispatch computes, such as `attn_qkv`.
    pub what: &'static str,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "layer {layer} {}", self.what),
            None => f.write_str(self.what),
        }
    }
}

/// One kernel launch.
#[derive(Clone, Debug)]
pub struct Dispatch {
    pub program: Program,
    bindings: [Binding; MAX_BINDINGS],
    binding_count: usize,
    params: [u32; MAX_PARAM_WORDS],
    param_words: usize,
    /// Workgroups along x, y, z.
    pub grid: [u32; 3],
    /// About how much work it is, in multiplications with an addition: what submits are measured out by.
    pub cost: u64,
    pub label: Label,
}

/// Threads of a workgroup, about: what a dispatch is taken to cost unless it says.
const TYPICAL_WORKGROUP: u64 = 64;

impl Dispatch {
    pub fn new<P: bytemuck::Pod>(program: Program, params: &P, grid: [u32; 3]) -> Self {
        let words: &[u32] = bytemuck::cast_slice(std::slice::from_ref(params));
        let mut stored = [0; MAX_PARAM_WORDS];
        stored[..words.len()].copy_from_slice(words);
        let nothing = Slice { buffer: BufferId(u32::MAX), offset: 0, size: 0 };
        let unbound = Binding { index: u32::MAX, slice: nothing, access: Access::Read };
        Self {
            program,
            bindings: [unbound; MAX_BINDINGS],
            binding_count: 0,
            params: stored,
            param_words: words.len(),
            grid,
            cost: grid.into_iter().map(u64::from).product::<u64>() * TYPICAL_WORKGROUP,
            label: Label::default(),
        }
    }

    /// Says what it costs, where that is not about one operation a thread.
    pub fn costing(self, cost: u64) -> Self {
        Dispatch { cost, ..self }
    }

    pub fn read(self, index: u32, slice: Slice) -> Self {
        self.bind(Binding { index, slice, access: Access::Read })
    }

    pub fn read_write(self, index: u32, slice: Slice) -> Self {
        self.bind(Binding { index, slice, access: Access::ReadWrite })
    }

    /// Whether what is bound there is loaded texel by texel.
    pub fn loads_texels(&self, index: u32) -> bool {
        let loads = |binding: &Binding| binding.index == index && matches!(binding.access, Access::LoadTexels(_));
        self.bindings().iter().any(loads)
    }

    /// Binds all of what was [allocated as texels](Executor::allocate_texels), to be loaded.
    pub fn load_texels(self, index: u32, slice: Slice, texel: Texel) -> Self {
        self.bind(Binding { index, slice, access: Access::LoadTexels(texel) })
    }

    /// The same, to be stored.
    pub fn store_texels(self, index: u32, slice: Slice, texel: Texel) -> Self {
        self.bind(Binding { index, slice, access: Access::StoreTexels(texel) })
    }

    pub fn bind(mut self, binding: Binding) -> Self {
        self.bindings[self.binding_count] = binding;
        self.binding_count += 1;
        self
    }

    pub fn bindings(&self) -> &[Binding] {
        &self.bindings[..self.binding_count]
    }

    /// The slices that the dispatch may write.
    pub fn outputs(&self) -> impl Iterator<Item = Slice> + '_ {
        self.bindings().iter().filter(|binding| binding.access.writes()).map(|binding| binding.slice)
    }

    /// The parameters as the shader's `var<immediate>` sees them.
    pub fn param_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.params[..self.param_words])
    }

    /// The parameters as the kernel's own struct.
    pub fn params<P: bytemuck::Pod>(&self) -> P {
        bytemuck::pod_read_unaligned(self.param_bytes())
    }
}

/// The dispatches of one step, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub dispatches: Vec<Dispatch>,
}

impl Recording {
    pub fn push(&mut self, label: Label, mut dispatch: Dispatch) {
        // A dispatch with an empty axis does nothing, and some drivers dislike it.
        if dispatch.grid.contains(&0) {
            return;
        }
        dispatch.label = label;
        self.dispatches.push(dispatch);
    }

    /// A range of the dispatches as a recording of its own.
    ///
    /// # Panics
    /// When the range does not lie within the dispatches.
    pub fn part(&self, range: Range<usize>) -> Recording {
        Recording { dispatches: self.dispatches[range].to_vec() }
    }
}

/// What an executor can fail at. After [`DeviceLost`](Self::DeviceLost) and [`Stalled`](Self::Stalled) it fails at everything
/// and a new one has to be opened; so it does where there was no memory for a write, which costs a GPU its device.
#[derive(Debug, thiserror::Error)]
pub enum ExecutionError {
    #[error(
        "the device ran out of memory while allocating {size} bytes for {what}; use a smaller context (-c), a smaller chunk (--chunk-size), --kv-type f16, or a smaller model"
    )]
    OutOfMemory { what: String, size: u64 },
    #[error(
        "{what} needs a buffer of {size} bytes, and this device allows {limit}; use a smaller context (-c) or another device (--device)"
    )]
    BufferTooLarge { what: String, size: u64, limit: u64 },
    #[error(
        "the device was lost ({0}); try a smaller --chunk-size, update the driver, or choose another device (--device)"
    )]
    DeviceLost(String),
    #[error(
        "the device did not finish its work within {seconds} s and seems to hang; try a smaller --chunk-size, update the driver, or choose another device (--device)"
    )]
    Stalled { seconds: f64 },
    #[error("the device rejected {what}: {message}")]
    Rejected { what: String, message: String },
    #[error("the device has no buffer {0}, or the slice lies outside of it")]
    BadSlice(u32),
}

/// What an executor's buffers may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of one buffer.
    pub max_buffer: u64,
    /// Bytes of one slice that a dispatch binds.
    pub max_binding: u64,
    /// Texels of one allocation.
    pub max_texels: u64,
}

impl MemoryLimits {
    /// Bytes that a dispatch binds at once: of a buffer, or of texels.
    pub fn most(&self, texel: Option<Texel>) -> u64 {
        texel.map_or(self.max_binding, |texel| self.max_texels.saturating_mul(texel.bytes()))
    }
}

/// A prepared recording that an executor can run again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prepared(pub u64);

/// How long the largest dispatch of a run took: its share of the run's cost, of the time that the run took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub prepared: Prepared,
    /// In times what a submit may take.
    pub of_budget: f64,
}

/// Something that holds buffers and runs recordings: the GPU, or the CPU reference.
pub trait Executor {
    fn memory_limits(&self) -> MemoryLimits;

    /// Allocates a zeroed buffer of `size` bytes (rounded up to a multiple of 4).
    fn allocate(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError>;

    /// Allocates `size` bytes of zeros, a whole number of texels, that shaders load and store texel by texel, as they do with
    /// textures: a driver may compile that to fewer instructions than the loads of a buffer. A GPU binds all of it, with such
    /// texels and no others.
    fn allocate_texels(&mut self, what: &str, size: u64, texel: Texel) -> Result<BufferId, ExecutionError>;

    /// Writes bytes (a multiple of 4, or of whole texels) at the start of a slice. Later steps see them.
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError>;

    /// Lets the writes so far reach the device, so that their staging memory can be freed.
    fn flush(&mut self) -> Result<(), ExecutionError>;

    /// Begins to compile what recordings will need, while the caller does something else; what fails shows when they are
    /// prepared. An executor that compiles nothing has nothing to do.
    fn compile_ahead(&mut self, _recordings: &[Recording]) {}

    /// Resolves everything that a recording needs, so that running it creates nothing.
    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutionError>;

    /// Starts a prepared recording; it may still be running when this returns.
    fn run(&mut self, prepared: Prepared) -> Result<(), ExecutionError>;

    /// Starts a prepared recording, and keeps what a slice holds at its end until it is collected. Unlike after a
    /// [`run`](Self::run), several such recordings may be waiting for the device: it is the caller who bounds them.
    fn run_keeping(&mut self, prepared: Prepared, slice: Slice) -> Result<(), ExecutionError>;

    /// Waits for the oldest recording whose slice is kept, and takes the start of that slice, which fills `out`.
    fn collect(&mut self, out: &mut [u8]) -> Result<(), ExecutionError>;

    /// Forgets all that is kept and was not collected.
    fn forget_kept(&mut self);

    /// Forgets a prepared recording.
    fn discard(&mut self, prepared: Prepared);

    /// Starts a recording that will not be run again.
    fn run_once(&mut self, recording: &Recording) -> Result<(), ExecutionError> {
        let prepared = self.prepare(recording)?;
        let result = self.run(prepared);
        self.discard(prepared);
        result
    }

    /// Waits for all that was started, and reads a slice into `out`.
    fn read(&mut self, slice: Slice, out: &mut [u8]) -> Result<(), ExecutionError>;

    /// Of the oldest run that has ended and was not asked about: see [`crate::gpu::GpuExecutor::set_submit_budget`]. None of
    /// a device whose work may take as long as it likes.
    fn take_load(&mut self) -> Option<Load> {
        None
    }

    /// How long this executor has waited for its device so far: what is left of a step's time is the host's own.
    fn time_waited(&self) -> Duration {
        Duration::ZERO
    }
}
