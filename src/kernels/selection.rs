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
    Matmul { tm: u32, tn: u32 },
    MatmulLanes,
    Matvec { subgroups: bool },
    MatvecLanes,
}

impl LinearPath {
    const ALL: [LinearPath; 6] = [
        LinearPath::Matmul { tm: 4, tn: 4 },
        LinearPath::Matmul { tm: 2, tn: 2 },
        LinearPath::Matvec { subgroups: false },
        LinearPath::Matvec { subgroups: true },
        LinearPath::MatmulLanes,
        LinearPath::MatvecLanes,
    ];

    pub fn requirement(self) -> Requirement {
        match self {
            LinearPath::Matmul { .. } | LinearPath::Matvec { subgroups: false } => Requirement::Nothing,
            LinearPath::Matvec { subgroups: true } => Requirement::Subgroups,
            LinearPath::MatmulLanes | LinearPath::MatvecLanes => Requirement::EightLanes,
        }
    }

    /// The most rows that the kernel takes at once.
    fn max_m(self) -> u32 {
        match self {
            LinearPath::Matmul { .. } | LinearPath::MatmulLanes => u32::MAX,
            LinearPath::Matvec { .. } | LinearPath::MatvecLanes => matvec::MAX_M,
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
}

impl Selection {
    /// Only what runs everywhere.
    pub const BASELINE: Selection = Selection { lanes: false, subgroups: false };

    pub fn for_adapter(facts: &AdapterFacts) -> Selection {
        Selection { lanes: facts.meet(Requirement::EightLanes), subgroups: facts.meet(Requirement::Subgroups) }
    }

    fn offers(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Nothing => true,
            Requirement::Subgroups => self.subgroups,
            Requirement::EightLanes => self.lanes,
        }
    }

    /// The kernel for `m` rows.
    pub fn linear(&self, m: u32) -> LinearPath {
        match (m <= matvec::MAX_M, self.lanes) {
            (true, true) => LinearPath::MatvecLanes,
            (true, false) => LinearPath::Matvec { subgroups: self.subgroups },
            (false, true) => LinearPath::MatmulLanes,
            (false, false) if m <= 32 => LinearPath::Matmul { tm: 2, tn: 2 },
            (false, false) => LinearPath::Matmul { tm: 4, tn: 4 },
        }
    }

    pub fn attention(&self) -> AttentionPath {
        if self.lanes { AttentionPath::Lanes } else { AttentionPath::Tile }
    }

    /// What is chosen for which work, in words.
    pub fn describe(&self) -> Vec<String> {
        let linear = |m| match self.linear(m) {
            LinearPath::Matmul { tm, tn } => format!("matmul in tiles of {} x {}", 16 * tm, 16 * tn),
            LinearPath::MatmulLanes => "matmul_lanes".to_owned(),
            LinearPath::Matvec { subgroups: true } => "matvec with subgroups".to_owned(),
            LinearPath::Matvec { subgroups: false } => "matvec".to_owned(),
            LinearPath::MatvecLanes => "matvec_lanes".to_owned(),
        };
        let attention = match self.attention() {
            AttentionPath::Tile => "attention",
            AttentionPath::Lanes => "attention_lanes",
        };
        let few = matvec::MAX_M;
        vec![
            format!("1 to {few} tokens: {}", linear(few)),
            format!("{} to 32: {}", few + 1, linear(32)),
            format!("more: {}", linear(33)),
            format!("attention: {attention}"),
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
