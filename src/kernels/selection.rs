//! Which kernel and variant serves an adapter.

use super::attention::AttentionPath;
use super::matvec;

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

/// The kernels that compute `y = x W^T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearPath {
    Matmul { tm: u32, tn: u32 },
    MatmulLanes,
    Matvec { subgroups: bool },
    MatvecLanes,
}

/// The variants that an adapter uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The emulated adapter's subgroups have just the eight lanes that the `_lanes` kernels need.
    lanes: bool,
    subgroups: bool,
}

impl Selection {
    /// Only what runs everywhere.
    pub const BASELINE: Selection = Selection { lanes: false, subgroups: false };

    pub fn for_adapter(facts: &AdapterFacts) -> Selection {
        // The smallest subgroup that any adapter of ours has is 4: the partial sums' array is sized for it.
        let subgroups = facts.subgroups && facts.subgroup_sizes.0 >= 4;
        Selection { lanes: facts.software && subgroups && facts.subgroup_sizes == (8, 8), subgroups }
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
        let mut paths = vec![AttentionPath::Tile];
        if self.lanes {
            paths.push(AttentionPath::Lanes);
        }
        paths
    }

    /// The paths that an adapter can run, for the case list.
    pub fn linear_paths(&self, m: u32) -> Vec<LinearPath> {
        let mut paths = vec![LinearPath::Matmul { tm: 4, tn: 4 }, LinearPath::Matmul { tm: 2, tn: 2 }];
        if m <= matvec::MAX_M {
            paths.push(LinearPath::Matvec { subgroups: false });
            if self.subgroups {
                paths.push(LinearPath::Matvec { subgroups: true });
            }
        }
        if self.lanes {
            paths.push(LinearPath::MatmulLanes);
            if m <= matvec::MAX_M {
                paths.push(LinearPath::MatvecLanes);
            }
        }
        paths
    }
}
