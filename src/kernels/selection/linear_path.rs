//! The kernels that compute `y = x W^T`.

use crate::formats::DType;
use crate::kernels::{matvec, matvec_lanes};
use crate::recording::{MatrixSize, Requirement};

/// The most sums of squares of a row that each workgroup of the product behind a norm may add up: 2 KiB, beside four times
/// as much of x. With more it reads as much as a dispatch less is worth, some microseconds: at 4096 elements and four a sum,
/// a layer of 7B parameters would read 35 MB of them.
const MOST_PARTS: u32 = 512;

/// A kernel and variant for linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearPath {
    Matmul {
        tm: u32,
        tn: u32,
    },
    /// In f16, in tiles of `rows` rows, 64 or 128, by 64 columns.
    MatmulF16 {
        rows: u32,
    },
    /// On matrix units for such matrices and subgroups of up to `lanes` lanes, 32 or 64, in tiles of `block` x `block`, 64 or
    /// 128.
    MatmulCoop {
        size: MatrixSize,
        lanes: u32,
        block: u32,
    },
    /// In tiles of `rows` rows, 8 or 16, from [texels](Self::loads_texels).
    MatmulLanes {
        rows: u32,
    },
    /// For up to [`matvec::MAX_M`] rows; with `blocks` for any number, with the program that so many rows have.
    Matvec {
        subgroups: bool,
        blocks: bool,
    },
    /// For any number of rows, each on its own, from [texels](Self::loads_texels); `rounded` multiplies codes and activations of
    /// 8 bits in whole numbers.
    MatvecLanes {
        rounded: bool,
    },
    /// Of packed bytes, for up to [`matvec::MAX_M`] rows.
    MatvecDot4 {
        subgroups: bool,
    },
    /// Of packed bytes, in `side` x `side` outputs a thread.
    MatmulDot4 {
        side: u32,
    },
}

impl LinearPath {
    pub(in crate::kernels) const ALL: [LinearPath; 21] = [
        LinearPath::Matmul { tm: 4, tn: 4 },
        LinearPath::Matmul { tm: 2, tn: 2 },
        LinearPath::MatmulF16 { rows: 64 },
        LinearPath::MatmulF16 { rows: 128 },
        LinearPath::MatmulCoop { size: MatrixSize::Eight, lanes: 32, block: 64 },
        LinearPath::MatmulCoop { size: MatrixSize::Eight, lanes: 32, block: 128 },
        LinearPath::MatmulCoop { size: MatrixSize::Sixteen, lanes: 32, block: 64 },
        LinearPath::MatmulCoop { size: MatrixSize::Sixteen, lanes: 32, block: 128 },
        LinearPath::MatmulCoop { size: MatrixSize::Sixteen, lanes: 64, block: 64 },
        LinearPath::MatmulCoop { size: MatrixSize::Sixteen, lanes: 64, block: 128 },
        LinearPath::Matvec { subgroups: false, blocks: false },
        LinearPath::Matvec { subgroups: false, blocks: true },
        LinearPath::Matvec { subgroups: true, blocks: false },
        LinearPath::MatmulLanes { rows: 8 },
        LinearPath::MatmulLanes { rows: 16 },
        LinearPath::MatvecLanes { rounded: false },
        LinearPath::MatvecLanes { rounded: true },
        LinearPath::MatmulDot4 { side: 2 },
        LinearPath::MatmulDot4 { side: 4 },
        LinearPath::MatvecDot4 { subgroups: false },
        LinearPath::MatvecDot4 { subgroups: true },
    ];

    /// As `--variant` takes it and `devices -v` prints it.
    pub fn name(self) -> &'static str {
        match self {
            LinearPath::Matmul { tm: 2, .. } => "matmul32",
            LinearPath::Matmul { .. } => "matmul64",
            LinearPath::MatmulF16 { rows: 64 } => "matmul_f16_64",
            LinearPath::MatmulF16 { .. } => "matmul_f16_128",
            LinearPath::MatmulCoop { size: MatrixSize::Eight, block: 64, .. } => "matmul_coop8_64",
            LinearPath::MatmulCoop { size: MatrixSize::Eight, .. } => "matmul_coop8_128",
            LinearPath::MatmulCoop { lanes: 64, block: 64, .. } => "matmul_coop16_64_wide",
            LinearPath::MatmulCoop { lanes: 64, .. } => "matmul_coop16_128_wide",
            LinearPath::MatmulCoop { block: 64, .. } => "matmul_coop16_64",
            LinearPath::MatmulCoop { .. } => "matmul_coop16_128",
            LinearPath::MatmulLanes { rows: 8 } => "matmul_lanes8",
            LinearPath::MatmulLanes { .. } => "matmul_lanes16",
            LinearPath::Matvec { subgroups: true, .. } => "matvec_subgroup",
            LinearPath::Matvec { blocks: true, .. } => "matvec_blocks",
            LinearPath::Matvec { .. } => "matvec",
            LinearPath::MatvecLanes { rounded: true } => "matvec_lanes_q8",
            LinearPath::MatvecLanes { .. } => "matvec_lanes",
            LinearPath::MatmulDot4 { side: 2 } => "matmul_dot4_32",
            LinearPath::MatmulDot4 { .. } => "matmul_dot4_64",
            LinearPath::MatvecDot4 { subgroups: true } => "matvec_dot4_subgroup",
            LinearPath::MatvecDot4 { .. } => "matvec_dot4",
        }
    }

    pub fn requirement(self) -> Requirement {
        match self {
            LinearPath::Matmul { .. } | LinearPath::Matvec { subgroups: false, .. } => Requirement::Nothing,
            LinearPath::Matvec { subgroups: true, .. } => Requirement::Subgroups,
            LinearPath::MatmulDot4 { .. } => Requirement::PackedDot { subgroups: false },
            LinearPath::MatvecDot4 { subgroups } => Requirement::PackedDot { subgroups },
            LinearPath::MatmulF16 { .. } => Requirement::Half,
            LinearPath::MatmulCoop { size, lanes, .. } => Requirement::CooperativeMatrix { size, lanes },
            LinearPath::MatmulLanes { .. } | LinearPath::MatvecLanes { .. } => Requirement::EightLanes,
        }
    }

    /// Whether it rounds x and the weights to f16.
    pub fn multiplies_halves(self) -> bool {
        matches!(self, LinearPath::MatmulF16 { .. } | LinearPath::MatmulCoop { .. })
    }

    /// Whether it rounds activations to 8 bits with a scale for 32, as llama.cpp does. A product moves by some 0.4 % for that,
    /// logits by a hundredth of their size, and what is prefilled by other kernels is not rounded: no adapter's default, it takes
    /// a measurement or the user's word.
    pub fn rounds_activations(self) -> bool {
        self.takes_q8() || matches!(self, LinearPath::MatvecLanes { rounded: true })
    }

    /// Whether it multiplies packed bytes, of activations that are in [blocks of q8_0](crate::kernels::quantize_q8) already.
    /// Where there is no instruction for it, it is slow.
    pub fn takes_q8(self) -> bool {
        matches!(self, LinearPath::MatvecDot4 { .. } | LinearPath::MatmulDot4 { .. })
    }

    /// Whether it reads weights of this type: products in whole numbers need codes, which float types have none of.
    pub fn takes(self, dtype: DType) -> bool {
        !self.rounds_activations() || dtype.block_len() > 1
    }

    /// Whether it loads weights and activations from [texels](crate::recording::Executor::allocate_texels), as others do from
    /// buffers: a software adapter's code for the loads of a buffer branches for each component of each lane, that for loads
    /// from a texture takes what all lanes want at once. Of a [selection](crate::kernels::Selection) all kernels do so, or none.
    pub fn loads_texels(self) -> bool {
        matches!(self, LinearPath::MatmulLanes { .. } | LinearPath::MatvecLanes { .. })
    }

    /// Whether it can compute a [gate and what goes through it](crate::kernels::linear::gated) at once. Those for few rows,
    /// where a dispatch less counts, and those of lanes, for which stores do.
    pub fn gates(self) -> bool {
        self.loads_texels() || matches!(self, LinearPath::Matvec { .. } | LinearPath::MatvecDot4 { .. })
    }

    /// Of a kernel that can take [half of a norm](crate::kernels::linear::residual), on either side of it, the elements of a row
    /// whose squares it leaves as one sum: those that a workgroup makes. These kernels are for few rows, where a dispatch less
    /// counts, of activations that are not rounded by a dispatch before; the one in blocks serves only where all steps have one order of
    /// sums, those of many rows too.
    pub fn part_of_norm(self) -> Option<u32> {
        match self {
            LinearPath::Matvec { blocks: false, .. } => Some(matvec::ROWS),
            LinearPath::MatvecLanes { .. } => Some(matvec_lanes::PART),
            _ => None,
        }
    }

    /// Whether it takes half of a norm of `dim` elements, and gains by it.
    pub fn splits_norms(self, dim: u32) -> bool {
        self.part_of_norm().is_some_and(|part| dim.div_ceil(part) <= MOST_PARTS)
    }

    /// Whether it takes halves of norms if the other does. A step's norms are halved only where all of its products take
    /// halves, so that another kernel for one type of weights costs more than its own time where it takes none.
    pub fn splits_norms_as(self, other: LinearPath) -> bool {
        other.part_of_norm().is_none_or(|part| self.part_of_norm() == Some(part))
    }

    /// The most rows that the kernel takes at once.
    pub(super) fn max_m(self) -> u32 {
        match self {
            LinearPath::Matvec { blocks: false, .. } | LinearPath::MatvecDot4 { .. } => matvec::MAX_M,
            _ => u32::MAX,
        }
    }
}
