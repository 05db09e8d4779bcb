//! The angles of RoPE, on the host: a GPU's own sin and cos are not specified precisely enough.

use super::config::{Rope, RopeScaling};

/// The frequency of each pair of a head, in radians a position.
pub(super) struct RopeTable {
    frequencies: Vec<f32>,
}

impl RopeTable {
    pub fn new(rope: &Rope, head_dim: usize) -> RopeTable {
        let frequency = |pair: usize| {
            // In f32 from here on, as transformers computes it.
            let plain = (1.0 / f64::from(rope.base).powf(2.0 * pair as f64 / head_dim as f64)) as f32;
            match &rope.scaling {
                RopeScaling::None => plain,
                RopeScaling::Linear { factor } => plain / factor,
                RopeScaling::Factors(factors) => plain / factors.get(pair).copied().unwrap_or(1.0),
                RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                    let wavelength = 2.0 * std::f32::consts::PI / plain;
                    if wavelength < original_context / high_freq_factor {
                        plain
                    } else if wavelength > original_context / low_freq_factor {
                        plain / factor
                    } else {
                        let smooth =
                            (original_context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        (1.0 - smooth) * plain / factor + smooth * plain
                    }
                }
            }
        };
        RopeTable { frequencies: (0..head_dim / 2).map(frequency).collect() }
    }

    /// Appends (cos, sin) of every pair for each position.
    pub fn push_turns(&self, positions: &[u32], turns: &mut Vec<[f32; 2]>) {
        for position in positions {
            turns.extend(self.frequencies.iter().map(|frequency| {
                let (sin, cos) = f64::from(*position as f32 * frequency).sin_cos();
                [cos as f32, sin as f32]
            }));
        }
    }
}
