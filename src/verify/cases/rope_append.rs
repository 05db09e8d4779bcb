//! Cases of `rope_append` and of `rope_append_q8_0`.

use super::{Case, FOLDED_WORKGROUPS};
use crate::kernels::Selection;
use crate::kernels::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use crate::kernels::rope_append::{Pairing, Params, Slices, dispatch};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    let mut all = Vec::new();
    [false, true].into_iter().for_each(|wide| push_all(&mut all, wide));
    cases.extend(all.into_iter().filter(|case| selection.runs(&case.program)));
}

fn push_all(cases: &mut Vec<Case>, wide: bool) {
    let mut push_case = |kv_type, pairing, params| push_case(cases, wide, kv_type, pairing, params);
    for pairing in [Pairing::Half, Pairing::Adjacent] {
        for kv_type in [KvType::F32, KvType::F16] {
            for (tokens, heads, kv_heads, dim4) in [(1, 1, 1, 2), (1, 3, 3, 16), (37, 4, 2, 20), (100, 2, 1, 64)] {
                push_case(kv_type, pairing, Params { tokens, heads, kv_heads, dim4 });
            }
        }
        for (tokens, heads, kv_heads, dim4) in [(1, 1, 1, 8), (1, 3, 3, 16), (37, 4, 2, 24), (100, 2, 1, 64)] {
            push_case(KvType::Q8_0, pairing, Params { tokens, heads, kv_heads, dim4 });
        }
    }
    // Of few vectors each.
    let params = Params { tokens: FOLDED_WORKGROUPS as u32, heads: 1, kv_heads: 1, dim4: 2 };
    push_case(KvType::F16, Pairing::Half, params);
    push_case(KvType::Q8_0, Pairing::Half, Params { dim4: 8, ..params });
}

pub(crate) fn push_case(cases: &mut Vec<Case>, wide: bool, kv_type: KvType, pairing: Pairing, params: Params) {
    let Params { tokens, heads, kv_heads, dim4 } = params;
    let head_dim = 4 * dim4;
    let slots = (tokens + 5).next_multiple_of(PAGE_SIZE);
    let tensors = move |random: &mut Random| {
        let cached = u64::from(slots * kv_heads * head_dim);
        let words = kv_type.element_bytes(cached) / 4;
        let elements = match kv_type {
            KvType::F32 => Elements::F32,
            KvType::F16 => Elements::F16,
            KvType::Q8_0 => Elements::I8,
        };
        // One token more than the kernel is told: its slot must stay as it is.
        let given = tokens + 1;
        let mut slot_mapping = random.permutation(slots);
        slot_mapping.truncate(given as usize);
        let angles = random.floats((given * head_dim / 2) as usize, std::f32::consts::PI);
        let turns = angles.into_iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        let mut qkv = Vec::new();
        for _ in 0..given {
            for (heads, limit) in [(heads, 4.0), (kv_heads, 8.0), (kv_heads, 0.01)] {
                qkv.extend(random.floats((heads * head_dim) as usize, limit));
            }
        }
        let mut tensors = vec![
            Tensor::f32("qkv", qkv),
            Tensor::f32("turns", turns),
            Tensor::u32("slot_mapping", slot_mapping),
            Tensor::output("q", (given * heads * head_dim) as usize, Elements::F32),
            Tensor::output("k_cache", words as usize, elements),
            Tensor::output("v_cache", words as usize, elements),
        ];
        if kv_type == KvType::Q8_0 {
            let words = kv_type.scale_bytes(cached) / 4;
            tensors.push(Tensor::output("kv_scales", words as usize, Elements::F16));
        }
        tensors
    };
    cases.push(Case::new(
        format!("{tokens} tokens to any of {slots} slots, {heads} + 2 x {kv_heads} heads of {head_dim}"),
        tensors,
        move |s| {
            let scales = (kv_type == KvType::Q8_0).then(|| s[6]);
            let cache = CacheSlices { k: s[4], v: s[5], scales };
            let slices = Slices { qkv: s[0], turns: s[1], slot_mapping: s[2], q: s[3], cache };
            dispatch(wide, kv_type, pairing, slices, params)
        },
    ));
}
