//! What kernels write: the type of the numbers in the words of their outputs.

use half::f16;

use crate::recording::Program;

/// What the words of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    F32,
    /// Two f16 a word.
    F16,
    /// Four signed bytes a word.
    I8,
    U32,
}

impl Elements {
    /// What a program writes to the output of this number, in the order of its bindings.
    pub fn of(program: &Program, output: usize) -> Elements {
        match program.kernel {
            "argmax" | "run_peaks" | "sample" => Elements::U32,
            "attention_key_lanes" if program.has_flag("appends") && program.has_flag("kv_f16") && output < 2 => {
                Elements::F16
            }
            "quantize_q8" if output == 0 => Elements::I8,
            "rope_append" if output > 0 && program.has_flag("kv_f16") => Elements::F16,
            "rope_append_q8_0" if output == 3 => Elements::F16,
            "rope_append_q8_0" if output > 0 => Elements::I8,
            _ => Elements::F32,
        }
    }

    /// The first number in the words that is NaN or infinite.
    pub fn first_non_finite(self, words: &[u32]) -> Option<f32> {
        let halves = |word: u32| [word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32());
        match self {
            Elements::F32 => words.iter().map(|word| f32::from_bits(*word)).find(|value| !value.is_finite()),
            Elements::F16 => words.iter().flat_map(|word| halves(*word)).find(|value| !value.is_finite()),
            Elements::U32 | Elements::I8 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_looked_at_in_their_own_type() {
        let inf = f32::INFINITY.to_bits();
        assert_eq!(Elements::F32.first_non_finite(&[0, inf, f32::NAN.to_bits()]), Some(f32::INFINITY));
        assert_eq!(Elements::U32.first_non_finite(&[inf, u32::MAX]), None);
        // The upper half of a word; as an f32 it would be a number.
        let half = u32::from(f16::NEG_INFINITY.to_bits()) << 16;
        assert!(f32::from_bits(half).is_finite());
        assert_eq!(Elements::F16.first_non_finite(&[0x3c00_3c00, half]), Some(f32::NEG_INFINITY));
        assert_eq!(Elements::F16.first_non_finite(&[0x7bff_7bff]), None);
    }
}
