//! The kernels that compute `y = x W^T`.

use crate::kernels::matvec;
use crate::recording::Requirement;

/// A kernel and variant for linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearPath {
    Matmul {
        tm: u32,
        tn: u32,
    },
    /// In tiles of `rows` rows, 8 or 16.
    MatmulLanes {
        rows: u32,
    },
    /// For up to [`matvec::MAX_M`] rows; with `blocks` for any number, with the program that so many rows have.
    Matvec {
        subgroups: bool,
        blocks: bool,
    },
    /// For any number of rows, each on its own.
    MatvecLanes,
}

impl LinearPath {
    pub(super) const ALL: [LinearPath; 8] = [
        LinearPath::Matmul { tm: 4, tn: 4 },
        LinearPath::Matmul { tm: 2, tn: 2 },
        LinearPath::Matvec { subgroups: false, blocks: false },
        LinearPath::Matvec { subgroups: false, blocks: true },
        LinearPath::Matvec { subgroups: true, blocks: false },
        LinearPath::MatmulLanes { rows: 8 },
        LinearPath::MatmulLanes { rows: 16 },
        LinearPath::MatvecLanes,
    ];

    /// As `--variant` takes it and `devices -v` prints it.
    pub fn name(self) -> &'static str {
        match self {
            LinearPath::Matmul { tm: 2, .. } => "matmul32",
            LinearPath::Matmul { .. } => "matmul64",
            LinearPath::MatmulLanes { rows: 8 } => "matmul_lanes8",
            LinearPath::MatmulLanes { .. } => "matmul_lanes16",
            LinearPath::Matvec { subgroups: true, .. } => "matvec_subgroup",
            LinearPath::Matvec { blocks: true, .. } => "matvec_blocks",
            LinearPath::Matvec { .. } => "matvec",
            LinearPath::MatvecLanes => "matvec_lanes",
        }
    }

    pub fn requirement(self) -> Requirement {
        match self {
            LinearPath::Matmul { .. } | LinearPath::Matvec { subgroups: false, .. } => Requirement::Nothing,
            LinearPath::Matvec { subgroups: true, .. } => Requirement::Subgroups,
            LinearPath::MatmulLanes { .. } | LinearPath::MatvecLanes => Requirement::EightLanes,
        }
    }

    /// The most rows that the kernel takes at once.
    pub(super) fn max_m(self) -> u32 {
        match self {
            LinearPath::Matvec { blocks: false, .. } => matvec::MAX_M,
            _ => u32::MAX,
        }
    }
}
