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
    use crate::kernels::attention::{Append, Heads, Parts, Slices, dispatch_split};
    use crate::kernels::attention_tiles::SplitPath;
    use crate::kernels::kv_cache::{CacheSlices, KvType};
    use crate::kernels::rope_append::Pairing;
    use crate::recording::{BufferId, Slice};

    #[test]
    fn attention_that_appends_writes_the_cache_and_sums() {
        let slice = |id| Slice { buffer: BufferId(id), offset: 0, size: 4 };
        for (kv_type, cached) in [(KvType::F16, Elements::F16), (KvType::F32, Elements::F32)] {
            let heads = Heads { heads: 2, kv_heads: 1, head_dim: 64, kv_type, window: 0, scale: 1.0 };
            let append = Some(Append { pairing: Pairing::Half, turns: slice(7) });
            let parts = Parts { count: 1, alone: None, append };
            let cache = CacheSlices { k: slice(1), v: slice(2), scales: None };
            let [page_table, sequences, tiles, out] = [3, 4, 5, 6].map(slice);
            let slices = Slices { q: slice(0), cache, page_table, sequences, tiles, out };
            let dispatch = dispatch_split(SplitPath::Lanes, heads, parts, 1, slices);
            let outputs = dispatch.outputs().enumerate();
            let written: Vec<_> =
                outputs.map(|(number, slice)| (slice.buffer.0, Elements::of(&dispatch.program, number))).collect();
            assert_eq!(written, [(1, cached), (2, cached), (6, Elements::F32)]);
        }
    }

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
