//! Which kernel and variant serves an adapter.

use super::attention::AttentionPath;
use super::matvec;
use crate::recording::Requirement;

/// What the choice of variants depends on. The GPU room fills it in; nothing here names wgpu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdapterFacts {
    /// The adapter is a CPU that emulates a GPU.
    pub software: bool,
    /// Subgroup operations may be used.
    pub subgroups: bool,
    /// The smallest and largest subgroup of the adapter.
    pub subgroup_sizes: (u32, u32),
}

impl AdapterFacts {
    /// Whether the adapter runs programs with the requirement.
    pub fn meet(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Nothing => true,
            Requirement::Subgroups => self.subgroups && self.subgroup_sizes.0 >= 4,
            Requirement::EightLanes => self.software && self.subgroups && self.subgroup_sizes == (8, 8),
        }
    }
}

/// The kernels that compute `y = x W^T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearPath {
    Matmul {
        tm: u32,
        tn: u32,
    },
    MatmulLanes,
    /// For up to [`matvec::MAX_M`] rows; with `blocks` for any number, with the program that so many rows have.
    Matvec {
        subgroups: bool,
        blocks: bool,
    },
    /// As `Matvec`.
    MatvecLanes {
        blocks: bool,
    },
}

impl LinearPath {
    const ALL: [LinearPath; 8] = [
        LinearPath::Matmul { tm: 4, tn: 4 },
        LinearPath::Matmul { tm: 2, tn: 2 },
        LinearPath::Matvec { subgroups: false, blocks: false },
        LinearPath::Matvec { subgroups: false, blocks: true },
        LinearPath::Matvec { subgroups: true, blocks: false },
        LinearPath::MatmulLanes,
        LinearPath::MatvecLanes { blocks: false },
        LinearPath::MatvecLanes { blocks: true },
    ];

    pub fn requirement(self) -> Requirement {
        match self {
            LinearPath::Matmul { .. } | LinearPath::Matvec { subgroups: false, .. } => Requirement::Nothing,
            LinearPath::Matvec { subgroups: true, .. } => Requirement::Subgroups,
            LinearPath::MatmulLanes | LinearPath::MatvecLanes { .. } => Requirement::EightLanes,
        }
    }

    /// The most rows that the kernel takes at once.
    fn max_m(self) -> u32 {
        match self {
            LinearPath::Matvec { blocks: false, .. } | LinearPath::MatvecLanes { blocks: false } => matvec::MAX_M,
            _ => u32::MAX,
        }
    }
}

/// The variants that an adapter uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The adapter meets [`Requirement::EightLanes`].
    lanes: bool,
    /// The adapter meets [`Requirement::Subgroups`].
    subgroups: bool,
    deterministic: bool,
}

impl Selection {
    /// Only what runs everywhere.
    pub const BASELINE: Selection = Selection { lanes: false, subgroups: false, deterministic: false };

    pub fn for_adapter(facts: &AdapterFacts) -> Selection {
        Selection {
            lanes: facts.meet(Requirement::EightLanes),
            subgroups: facts.meet(Requirement::Subgroups),
            deterministic: false,
        }
    }

    fn offers(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Nothing => true,
            Requirement::Subgroups => self.subgroups,
            Requirement::EightLanes => self.lanes,
        }
    }

    /// The same with one program for each linear layer, however many rows it gets. A token's logits are then the same to
    /// the bit, on one adapter, whatever chunk, batch or pages it is computed in.
    pub fn deterministic(self) -> Selection {
        Selection { deterministic: true, ..self }
    }

    /// The kernel for `m` rows.
    pub fn linear(&self, m: u32) -> LinearPath {
        if self.deterministic {
            return self.linear_in_one_order();
        }
        match (m <= matvec::MAX_M, self.lanes) {
            (true, true) => LinearPath::MatvecLanes { blocks: false },
            (true, false) => LinearPath::Matvec { subgroups: self.subgroups, blocks: false },
            (false, true) => LinearPath::MatmulLanes,
            (false, false) if m <= 32 => LinearPath::Matmul { tm: 2, tn: 2 },
            (false, false) => LinearPath::Matmul { tm: 4, tn: 4 },
        }
    }

    /// The fastest kernel for few rows, in blocks. Measured on software adapters, matrix kernels lose more in decode than this
    /// one does in prefill; on a GPU it reads the weights no more often in decode, which they bound. The sum is the
    /// workgroup's, whose order the shader states, and not a subgroup's, whose order is the driver's.
    fn linear_in_one_order(&self) -> LinearPath {
        match self.lanes {
            true => LinearPath::MatvecLanes { blocks: true },
            false => LinearPath::Matvec { subgroups: false, blocks: true },
        }
    }

    pub fn attention(&self) -> AttentionPath {
        if self.lanes { AttentionPath::Lanes } else { AttentionPath::Tile }
    }

    /// What is chosen for which work, in words.
    pub fn describe(&self) -> Vec<String> {
        let linear = |path| match path {
            LinearPath::Matmul { tm, tn } => format!("matmul in tiles of {} x {}", 16 * tm, 16 * tn),
            LinearPath::MatmulLanes => "matmul_lanes".to_owned(),
            LinearPath::Matvec { blocks: true, .. } => format!("matvec in blocks of {}", matvec::MAX_M),
            LinearPath::Matvec { subgroups: true, .. } => "matvec with subgroups".to_owned(),
            LinearPath::Matvec { subgroups: false, .. } => "matvec".to_owned(),
            LinearPath::MatvecLanes { blocks: true } => format!("matvec_lanes in blocks of {}", matvec::MAX_M),
            LinearPath::MatvecLanes { blocks: false } => "matvec_lanes".to_owned(),
        };
        let attention = match self.attention() {
            AttentionPath::Tile => "attention: attention".to_owned(),
            AttentionPath::Lanes => "attention: attention_lanes".to_owned(),
        };
        let in_one_order = linear(self.linear_in_one_order());
        if self.deterministic {
            return vec![format!("deterministic, any number of tokens: {in_one_order}"), attention];
        }
        let few = matvec::MAX_M;
        vec![
            format!("1 to {few} tokens: {}", linear(self.linear(few))),
            format!("{} to 32: {}", few + 1, linear(self.linear(32))),
            format!("more: {}", linear(self.linear(33))),
            format!("with --deterministic: {in_one_order}"),
            attention,
        ]
    }

    /// The attention kernels that the adapter can run, for the case list.
    pub fn attention_paths(&self) -> Vec<AttentionPath> {
        AttentionPath::ALL.into_iter().filter(|path| self.offers(path.requirement())).collect()
    }

    /// The paths that an adapter can run, for the case list.
    pub fn linear_paths(&self, m: u32) -> Vec<LinearPath> {
        let runs = |path: &LinearPath| m <= path.max_m() && self.offers(path.requirement());
        LinearPath::ALL.into_iter().filter(runs).collect()
    }
}
