//! Cases of `embed`.

use super::Case;
use super::linear::{k_for, weights};
use crate::formats::DType;
use crate::kernels::embed::{TokenIds, dispatch};
use crate::kernels::weight_layout::row_words;
use crate::kernels::{Selection, WeightSlices};
use crate::recording::Slice;
use crate::schedule::SAMPLED;
use crate::verify::tolerances::UNSCALED;
use crate::verify::{Elements, Random, Tensor};

/// Rows of the table, of which a shard holds some.
const VOCABULARY: u32 = 101;

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for in_texels in [false, true] {
        let mut push = |dtype, tokens, dim, shard, scale| {
            let case = case(dtype, tokens, dim, shard, scale, in_texels);
            cases.extend(Some(case).filter(|case| selection.runs(&case.program)));
        };
        for (i, dtype) in DType::ALL.into_iter().enumerate() {
            push(dtype, 17, k_for(dtype, i), 0..VOCABULARY, 1.0);
            push(dtype, 40, k_for(dtype, i + 1), 33..70, 1.0);
        }
        push(DType::F16, 1, 2304, 0..VOCABULARY, 48.0);
        push(DType::Q6_K, 9, 768, 90..VOCABULARY, 27.712_812);
        push(DType::Q8_0, 9, 576, 0..1, 24.0);
    }
}

pub(crate) fn case(
    dtype: DType,
    tokens: u32,
    dim: usize,
    shard: std::ops::Range<u32>,
    scale: f32,
    in_texels: bool,
) -> Case {
    let shape = format!("{tokens} tokens of dim {dim}, rows {shard:?} of {VOCABULARY}, scale {scale}");
    let (row0, rows) = (shard.start, shard.len() as u32);
    let tensors = move |random: &mut Random| {
        let mut ids: Vec<u32> = (0..tokens).map(|_| random.below(VOCABULARY)).collect();
        // The shard's edges, and the rows next to them.
        let edges = [row0, row0 + rows - 1, row0.saturating_sub(1), (row0 + rows).min(VOCABULARY - 1)];
        ids.iter_mut().zip(edges).for_each(|(id, edge)| *id = edge);
        // Every third token is one that the device has chosen.
        let mut sampled = vec![row0; 2];
        for id in ids.iter_mut().step_by(3) {
            sampled.push(std::mem::replace(id, SAMPLED | sampled.len() as u32));
        }
        // One more than the kernel is told: what it would make of it must not be written.
        ids.push(row0);
        let mut tensors = vec![
            Tensor::u32("token_ids", ids),
            Tensor::output("x", tokens as usize * dim, Elements::F32),
            Tensor::u32("sampled", sampled),
        ];
        tensors.extend(weights("table", dtype, dim, random.weights(dtype, rows as usize, dim), in_texels));
        tensors
    };
    let case = Case::new(shape, tensors, move |s| {
        let planes = planes(dtype, dim, &s[3..]);
        let table = WeightSlices { dtype, row0, rows, k: dim as u32, planes, in_texels };
        dispatch(&table, TokenIds { ids: s[0], sampled: s[2] }, s[1], tokens, scale)
    });
    if scale == 1.0 { case.within(&UNSCALED) } else { case }
}

/// The slices of the planes that a storage type has.
pub(super) fn planes(dtype: DType, k: usize, slices: &[Slice]) -> [Option<Slice>; 3] {
    let mut slices = slices.iter().copied();
    row_words(dtype, k).map(|words| if words > 0 { slices.next() } else { None })
}
