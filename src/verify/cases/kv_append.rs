//! Cases of `kv_append`.

use super::{Case, ELEMENT_THREADS, FOLDED_WORKGROUPS};
use crate::kernels::kv_append::{Params, Slices, dispatch};
use crate::kernels::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use crate::verify::{Elements, Random, Tensor};

pub(super) fn push(cases: &mut Vec<Case>) {
    for kv_type in [KvType::F32, KvType::F16] {
        for (tokens, kv_heads, head_dim) in [(1, 1, 4), (1, 3, 64), (37, 2, 80), (100, 1, 256)] {
            push_case(cases, kv_type, tokens, kv_heads, head_dim);
        }
    }
    for (tokens, kv_heads, head_dim) in [(1, 1, 32), (1, 3, 64), (37, 2, 96), (100, 1, 256)] {
        push_case(cases, KvType::Q8_0, tokens, kv_heads, head_dim);
    }
    // A thread four elements.
    let folded = (ELEMENT_THREADS * FOLDED_WORKGROUPS).div_ceil(4 * 256 / 4) as u32;
    push_case(cases, KvType::F16, folded, 4, 256);
}

pub(crate) fn push_case(cases: &mut Vec<Case>, kv_type: KvType, tokens: u32, kv_heads: u32, head_dim: u32) {
    let slots = (tokens + 5).next_multiple_of(PAGE_SIZE);
    let width = kv_heads * head_dim;
    let tensors = move |random: &mut Random| {
        let cached = u64::from(slots) * u64::from(width);
        let words = kv_type.element_bytes(cached) / 4;
        let elements = match kv_type {
            KvType::F32 => Elements::F32,
            KvType::F16 => Elements::F16,
            KvType::Q8_0 => Elements::I8,
        };
        let mut slot_mapping = random.permutation(slots);
        // One token more than the kernel is told: its slot must stay as it is.
        let given = tokens + 1;
        slot_mapping.truncate(given as usize);
        let mut tensors = vec![
            Tensor::f32("k", random.floats((given * width) as usize, 8.0)),
            Tensor::f32("v", random.floats((given * width) as usize, 0.01)),
            Tensor::u32("slot_mapping", slot_mapping),
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
        format!("{tokens} tokens to any of {slots} slots, {kv_heads} heads of {head_dim}"),
        tensors,
        move |s| {
            let scales = (kv_type == KvType::Q8_0).then(|| s[5]);
            let cache = CacheSlices { k: s[3], v: s[4], scales };
            let slices = Slices { k: s[0], v: s[1], slot_mapping: s[2], cache };
            dispatch(kv_type, slices, Params { tokens, kv_heads, dim4: head_dim / 4 })
        },
    ));
}
