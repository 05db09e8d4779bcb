//! Reproducible contents of tensors.

use half::f16;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};

use crate::formats::DType;
use crate::kernels::weight_layout::{PLANES, repack};

/// A generator with a fixed algorithm, so that a seed means the same everywhere.
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// `count` values of [-limit, limit).
    pub fn floats(&mut self, count: usize, limit: f32) -> Vec<f32> {
        (0..count).map(|_| self.0.random_range(-limit..limit)).collect()
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0.random_range(0..limit)
    }

    /// The numbers below `count`, shuffled.
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..count).collect();
        numbers.shuffle(&mut self.0);
        numbers
    }

    /// Whole blocks of a storage type as a file holds them: any codes, scales that make weights of about [-1, 1].
    pub fn blocks(&mut self, dtype: DType, elements: usize) -> Vec<u8> {
        let mut bytes = vec![0; elements / dtype.block_len() * dtype.block_bytes()];
        self.0.fill_bytes(&mut bytes);
        for block in bytes.chunks_exact_mut(dtype.block_bytes()) {
            // Where the f16 scales stand in a block, and how large they may be.
            let scales: &[(usize, f32)] = match dtype {
                DType::F32 => {
                    block.copy_from_slice(&self.0.random_range(-1.0f32..1.0).to_le_bytes());
                    continue;
                }
                DType::BF16 => {
                    block.copy_from_slice(&half::bf16::from_f32(self.0.random_range(-1.0..1.0)).to_le_bytes());
                    continue;
                }
                DType::F16 => &[(0, 1.0)],
                DType::Q8_0 => &[(0, 1.0 / 128.0)],
                DType::Q4_0 => &[(0, 1.0 / 8.0)],
                DType::Q5_0 => &[(0, 1.0 / 16.0)],
                DType::Q4_1 => &[(0, 1.0 / 16.0), (2, 0.5)],
                DType::Q5_1 => &[(0, 1.0 / 32.0), (2, 0.5)],
                DType::Q4_K => &[(0, 1.0 / 1000.0), (2, 1.0 / 64.0)],
                DType::Q5_K => &[(0, 1.0 / 2000.0), (2, 1.0 / 64.0)],
                DType::Q6_K => &[(208, 1.0 / 4000.0)],
            };
            for (at, limit) in scales {
                let scale = f16::from_f32(self.0.random_range(-limit..*limit));
                block[*at..at + 2].copy_from_slice(&scale.to_le_bytes());
            }
        }
        bytes
    }

    /// The planes of `rows` rows of `k` weights.
    pub fn weights(&mut self, dtype: DType, rows: usize, k: usize) -> [Vec<u32>; PLANES] {
        let mut planes = Default::default();
        repack(dtype, k, &self.blocks(dtype, rows * k), &mut planes);
        planes
    }
}
