//! Which kernel and variant serves an adapter: by the table of its class, by what was measured on it, or as the user says.

mod choices;
mod defaults;
mod forced;
mod linear_path;
mod role;
mod tuning;

pub use choices::{Choices, Reason};
pub use defaults::AdapterClass;
pub use forced::{Forced, ForcedError};
pub use linear_path::LinearPath;
pub use role::{MAX_SHORT, Role, Variant};
pub use tuning::{Exception, Measurement, Tuned, Tuning};

use std::collections::BTreeSet;

use super::attention_tiles::{AttentionPath, SplitPath};
use super::rms_norm::RowThreads;
use super::weight_layout::shader_name;
use crate::formats::DType;
use crate::recording::{Program, Requirement};

/// What emulates or is the GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A CPU.
    Software,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A GPU with memory of its own.
    Discrete,
}

/// What the choice of variants depends on. The GPU room fills it in; nothing here names wgpu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterFacts {
    pub kind: AdapterKind,
    /// Subgroup operations may be used.
    pub subgroups: bool,
    /// The smallest and largest subgroup of the adapter.
    pub subgroup_sizes: (u32, u32),
    /// Shaders may use 64-bit integers.
    pub int64: bool,
    /// Textures serve as memory.
    pub texels: bool,
    /// Shaders may compute in f16.
    pub f16: bool,
    /// Dot products of packed bytes compile.
    pub packed_dot: bool,
    /// Matrix units may be used with matrices of 8 x 8 and of 16 x 16.
    pub matrices: [bool; 2],
}

impl AdapterFacts {
    /// What every adapter has at least.
    pub const LEAST: AdapterFacts = AdapterFacts {
        kind: AdapterKind::Discrete,
        subgroups: false,
        subgroup_sizes: (0, 0),
        int64: false,
        texels: false,
        f16: false,
        packed_dot: false,
        matrices: [false; 2],
    };

    /// Whether the adapter runs programs with the requirement.
    pub fn meet(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Nothing => true,
            Requirement::Subgroups => self.subgroups && self.subgroup_sizes.0 >= 4,
            Requirement::EightLanes => {
                let eight = self.subgroups && self.subgroup_sizes == (8, 8);
                self.kind == AdapterKind::Software && eight && self.int64 && self.texels
            }
            Requirement::Half => self.f16,
            Requirement::PackedDot { subgroups } => {
                self.packed_dot && (!subgroups || self.meet(Requirement::Subgroups))
            }
            Requirement::CooperativeMatrix { size, lanes } => {
                let largest = self.subgroup_sizes.1.max(32);
                self.f16 && self.subgroups && self.matrices[size as usize] && largest == lanes
            }
        }
    }
}

/// The kernels of a role's linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ByType {
    path: LinearPath,
    /// In the place of `path`, by type of weights.
    exceptions: [Option<LinearPath>; DType::ALL.len()],
}

impl ByType {
    const fn all(path: LinearPath) -> ByType {
        ByType { path, exceptions: [None; DType::ALL.len()] }
    }

    fn of(&self, dtype: DType) -> LinearPath {
        self.exceptions[dtype as usize].unwrap_or(self.path)
    }

    /// The types that have a kernel of their own.
    fn exceptions(&self) -> impl Iterator<Item = (DType, LinearPath)> {
        DType::ALL.into_iter().zip(self.exceptions).filter_map(|(dtype, path)| Some((dtype, path?)))
    }
}

/// The variants that an adapter uses. All kernels of linear layers load texels, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    facts: AdapterFacts,
    /// By [`Role`]: decode, batch, short, prefill.
    linear: [ByType; 4],
    attention: AttentionPath,
    deterministic: bool,
}

impl Selection {
    /// Only what runs everywhere.
    pub const BASELINE: Selection = Selection {
        facts: AdapterFacts::LEAST,
        linear: [
            ByType::all(LinearPath::Matvec { subgroups: false, blocks: false }),
            ByType::all(LinearPath::Matvec { subgroups: false, blocks: false }),
            ByType::all(LinearPath::Matmul { tm: 2, tn: 2 }),
            ByType::all(LinearPath::Matmul { tm: 4, tn: 4 }),
        ],
        attention: AttentionPath::Tile,
        deterministic: false,
    };

    /// The default of the adapter's class.
    pub fn for_adapter(facts: &AdapterFacts) -> Selection {
        let baseline = Selection { facts: *facts, ..Selection::BASELINE };
        Role::ALL
            .into_iter()
            .fold(baseline, |selection, role| selection.with(role, defaults::default_of(facts, role).0))
    }

    /// The same with another kernel for a role, whatever the weights.
    fn with(mut self, role: Role, variant: Variant) -> Selection {
        match variant {
            Variant::Linear(path) => self.linear[role as usize] = ByType::all(path),
            Variant::Attention(path) => self.attention = path,
        }
        self
    }

    /// The same with another kernel for a role's weights of one type.
    fn with_exception(mut self, role: Role, dtype: DType, path: LinearPath) -> Selection {
        self.linear[role as usize].exceptions[dtype as usize] = Some(path);
        self
    }

    /// The kernel of a role, but for types of weights that have one of their own.
    pub fn variant(&self, role: Role) -> Variant {
        match role {
            Role::Attention => Variant::Attention(self.attention()),
            _ if self.deterministic => Variant::Linear(self.linear_in_one_order()),
            linear => Variant::Linear(self.linear[linear as usize].path),
        }
    }

    /// The same with one program for each linear layer, however many rows it gets. A token's logits are then the same to
    /// the bit, on one adapter, whatever chunk, batch or pages it is computed in. Attention takes all keys of a row in one
    /// workgroup, in decode too.
    ///
    /// What was measured is left aside: it could change the order of sums from one day to another.
    pub fn deterministic(self) -> Selection {
        Selection { deterministic: true, ..Selection::for_adapter(&self.facts) }
    }

    /// The kernel for `m` rows of x and weights of this type: the type's own, the role's, or where that takes no such
    /// weights, its default.
    pub fn linear(&self, m: u32, dtype: DType) -> LinearPath {
        let role = Role::of_rows(m);
        match self.deterministic {
            true => self.linear_in_one_order(),
            false => self.or_default(self.linear[role as usize].of(dtype), role, dtype),
        }
    }

    /// Whether weights, and what is multiplied with them, are to be allocated as texels, since the kernels
    /// [load them so](LinearPath::loads_texels).
    pub fn in_texels(&self) -> bool {
        self.linear(1, DType::F32).loads_texels()
    }

    /// The kernel, or where it takes no such weights, the role's default for weights that lie as it loads them, which takes all.
    pub fn or_default(&self, path: LinearPath, role: Role, dtype: DType) -> LinearPath {
        let facts = if path.loads_texels() { self.facts } else { defaults::in_buffers(&self.facts) };
        let default = || defaults::default_of(&facts, role).0.linear();
        if path.takes(dtype) { path } else { default().unwrap_or(path) }
    }

    /// Whether a kernel for weights of one of these types [rounds activations](LinearPath::rounds_activations).
    pub fn rounds_activations(&self, types: &BTreeSet<DType>) -> bool {
        self.uses(types, LinearPath::rounds_activations)
    }

    /// Whether a kernel for weights of one of these types [takes blocks of q8_0](LinearPath::takes_q8).
    pub fn takes_q8(&self, types: &BTreeSet<DType>) -> bool {
        self.uses(types, LinearPath::takes_q8)
    }

    /// Whether products with weights of one of these types have factors that are rounded to f16.
    pub fn multiplies_halves(&self, types: &BTreeSet<DType>) -> bool {
        self.uses(types, LinearPath::multiplies_halves)
    }

    fn uses(&self, types: &BTreeSet<DType>, is: fn(LinearPath) -> bool) -> bool {
        let roles = Role::ALL.into_iter().zip(&self.linear);
        let mut paths = roles
            .flat_map(|(role, paths)| types.iter().map(move |dtype| self.or_default(paths.of(*dtype), role, *dtype)));
        !self.deterministic && paths.any(is)
    }

    /// Whether the kernel for `m` rows and weights of this type [takes half of a norm](LinearPath::splits_norms) of `dim`
    /// elements. None does where a token's sums must not depend on how many come with it.
    pub fn splits_norms(&self, m: u32, dtype: DType, dim: u32) -> bool {
        !self.deterministic && self.linear(m, dtype).splits_norms(dim)
    }

    /// The fastest kernel for few rows, in blocks. Measured on software adapters, matrix kernels lose more in decode than this
    /// one does in prefill; on a GPU it reads the weights no more often in decode, which they bound. The sum is the
    /// workgroup's, whose order the shader states, and not a subgroup's, whose order is the driver's.
    fn linear_in_one_order(&self) -> LinearPath {
        match self.facts.meet(Requirement::EightLanes) {
            true => LinearPath::MatvecLanes { rounded: false },
            false => LinearPath::Matvec { subgroups: false, blocks: true },
        }
    }

    /// The kernel for whole rows of queries.
    pub fn attention(&self) -> AttentionPath {
        self.attention
    }

    /// The kernel for single tokens that see many keys, beside the one for whole rows. None where a token's sums must not
    /// depend on how many come with it.
    pub fn split_attention(&self) -> Option<SplitPath> {
        if self.deterministic { None } else { Some(self.attention.split()) }
    }

    /// Whether kernels that go through elements one by one load and store 64 bits at a time: a CPU that emulates a GPU does so
    /// for one lane after the other.
    pub fn loads_wide(&self) -> bool {
        self.facts.meet(Requirement::EightLanes)
    }

    /// The threads that rows have in norms. They add up in one order, however many rows there are.
    pub fn row_threads(&self) -> RowThreads {
        match self.facts.meet(RowThreads::Lanes.requirement()) {
            true => RowThreads::Lanes,
            false => RowThreads::Workgroup,
        }
    }

    /// Those that the adapter can run, for the case list.
    pub fn all_row_threads(&self) -> impl Iterator<Item = RowThreads> {
        let facts = self.facts;
        RowThreads::ALL.into_iter().filter(move |threads| facts.meet(threads.requirement()))
    }

    /// Whether a CPU emulates the GPU: f16 arithmetic and matrix units too, where it has them.
    pub fn is_software(&self) -> bool {
        self.facts.kind == AdapterKind::Software
    }

    /// The kernel of each role, in words.
    pub fn describe(&self) -> Vec<String> {
        if self.deterministic {
            let linear = self.linear_in_one_order().name();
            return vec![
                format!("deterministic, any number of tokens: {linear}"),
                self.variant(Role::Attention).to_string(),
            ];
        }
        let line = |role: Role| {
            let exceptions = self.linear.get(role as usize).into_iter().flat_map(ByType::exceptions);
            let others = exceptions.map(move |(dtype, path)| format!("{role} {}: {}", shader_name(dtype), path.name()));
            std::iter::once(format!("{role}: {}", self.variant(role))).chain(others)
        };
        Role::ALL.into_iter().flat_map(line).collect()
    }

    /// The kernels that the adapter can run for a role.
    pub fn variants(&self, role: Role) -> impl Iterator<Item = Variant> {
        let facts = self.facts;
        role.variants().into_iter().filter(move |variant| facts.meet(variant.requirement()))
    }

    /// The attention kernels that the adapter can run, for the case list.
    pub fn attention_paths(&self) -> Vec<AttentionPath> {
        AttentionPath::ALL.into_iter().filter(|path| self.facts.meet(path.requirement())).collect()
    }

    /// The attention kernels that the adapter can run over parts of the keys, for the case list.
    pub fn split_paths(&self) -> Vec<SplitPath> {
        SplitPath::ALL.into_iter().filter(|path| self.facts.meet(path.requirement())).collect()
    }

    /// Whether the adapter can run a program.
    pub fn runs(&self, program: &Program) -> bool {
        self.facts.meet(program.requirement)
    }

    /// The paths that an adapter can run, for the case list.
    pub fn linear_paths(&self, m: u32) -> Vec<LinearPath> {
        let runs = |path: &LinearPath| m <= path.max_m() && self.facts.meet(path.requirement());
        LinearPath::ALL.into_iter().filter(runs).collect()
    }
}
