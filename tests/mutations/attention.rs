//! Faults of the attention kernels and of the KV cache.

use super::{Kind::*, Mutation, plant};

pub const ATTENTION: &[Mutation] = &[
    plant(Mask, "a query does not see its own position", "key > position ||", "key >= position ||"),
    plant(Mask, "a query sees the position behind it", "key > position ||", "key > position + 1u ||"),
    plant(Mask, "nothing is hidden", "select(score, MASKED, hidden)", "score"),
    plant(Mask, "the window is one wider", "key + params.window <= position)", "key + params.window < position)"),
    plant(
        Mask,
        "the window is one narrower",
        "key + params.window <= position)",
        "key + params.window <= position + 1u)",
    ),
    plant(
        Mask,
        "the walk begins one key late",
        "first_key = first_position + 1u - params.window",
        "first_key = first_position + 2u - params.window",
    ),
    plant(
        Mask,
        "the first position of a tile is its last",
        "let first_position = sequence.position0 + tile.y / ratio",
        "let first_position = sequence.position0 + (tile.y + rows - 1u) / ratio",
    ),
    plant(
        Mask,
        "the sequence's first position is taken for 0",
        "let position = sequence.position0 +",
        "let position =",
    ),
    plant(Tail, "the last step of keys is left out", "key0 <= last_position", "key0 + C <= last_position"),
    plant(
        Tail,
        "the walk ends with the tile's first row",
        "(tile.y + rows - 1u) / ratio;\n    var",
        "tile.y / ratio;\n    var",
    ),
    plant(
        Tail,
        "the last key of a step is not scored",
        "c < params.keys; c += THREADS",
        "c < params.keys - 1u; c += THREADS",
    ),
    plant(Tail, "the last vector of a head is not scored", "d < params.dim4", "d < params.dim4 - 1u"),
    plant(Bounds, "a row behind the sequence's last is written", "if row < rows", "if row <= rows"),
    plant(
        Bounds,
        "keys behind the last are read",
        "let key = min(key0 + i / D4, last_position);
            let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(v_cache",
        "let key = key0 + i / D4;
            let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(v_cache",
    ),
    plant(
        Page,
        "every sequence reads the first one's pages",
        "let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(v_cache",
        "let slot = kv_slot(page_table[key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(v_cache",
    ),
    plant(
        Page,
        "a page is taken to be one key shorter",
        "let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(k_cache",
        "let slot = kv_slot(page_table[sequence.page_row * params.page_stride + (key + 1u) / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(k_cache",
    ),
    plant(
        Page,
        "the page table is not used",
        "let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(k_cache",
        "let slot = kv_slot(sequence.page_row * params.page_stride + key / PAGE, key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(k_cache",
    ),
    plant(
        Head,
        "query heads are dealt out, not grouped",
        "kv_head * ratio + row % ratio;\n        q_tile",
        "kv_head + (row % ratio) * params.kv_heads;\n        q_tile",
    ),
    plant(
        Head,
        "V is the first head's",
        "v_cache[kv_index(slot, params.kv_heads, kv_head, D4)",
        "v_cache[kv_index(slot, params.kv_heads, 0u, D4)",
    ),
    plant(Head, "the output goes to the next head", "(tile.y + row) % ratio", "(tile.y + row + 1u) % ratio"),
    plant(Address, "the padding of the keys is ignored", "kv_tile[c * KV_STRIDE + d]", "kv_tile[c * D4 + d]"),
    plant(Address, "all rows use the first row's scores", "let score = scores[row * C + c]", "let score = scores[c]"),
    plant(Scale, "the queries are not scaled", "params.scale * q[", "q["),
    plant(Scale, "the sums are not divided by the weights' total", "acc[a] / total", "acc[a]"),
    plant(Scale, "the total is not rescaled to a new peak", "total *= shrink;", ""),
    plant(Scale, "the sums are not rescaled to a new peak", "acc[a] *= shrink;", ""),
    plant(Start, "the peak begins at 0", "var peak = MASKED", "var peak = 0.0"),
    plant(Special, "no peak is subtracted", "exp(score - peak)", "exp(score)"),
    plant(Barrier, "K is loaded before V is used", "key0 += C) {\n        workgroupBarrier();", "key0 += C) {"),
    plant(Barrier, "scores do not wait for K", "workgroupBarrier();\n        for (var c = lane", "for (var c = lane"),
    plant(
        Barrier,
        "V is loaded before K is used",
        "hidden);\n        }\n        workgroupBarrier();",
        "hidden);\n        }",
    ),
    plant(
        Barrier,
        "sums do not wait for V and the scores",
        "workgroupBarrier();\n        for (var c = 0u; c < params.keys; c++) {\n            let score",
        "for (var c = 0u; c < params.keys; c++) {\n            let score",
    ),
    plant(
        Precision,
        "scores are summed to the ten bits of f16",
        "score += dot(q_tile[row * D4 + d], kv_tile[c * KV_STRIDE + d]);",
        "score = bitcast<f32>(bitcast<u32>(score + dot(q_tile[row * D4 + d], kv_tile[c * KV_STRIDE + d])) & 0xffffe000u);",
    ),
];

pub const ATTENTION_LANES: &[Mutation] = &[
    plant(
        Mask,
        "a query does not see its own position, if of the first four",
        "(lo <= vec4<u32>(position))",
        "(lo < vec4<u32>(position))",
    ),
    plant(
        Mask,
        "a query does not see its own position, if of the last four",
        "(hi <= vec4<u32>(position))",
        "(hi < vec4<u32>(position))",
    ),
    plant(
        Mask,
        "a query sees the position behind it",
        "(lo <= vec4<u32>(position))",
        "(lo <= vec4<u32>(position + 1u))",
    ),
    plant(
        Mask,
        "the window is one wider",
        "(lo + params.window > vec4<u32>(position))",
        "(lo + params.window >= vec4<u32>(position))",
    ),
    plant(
        Mask,
        "the window is one narrower",
        "(hi + params.window > vec4<u32>(position))",
        "(hi + params.window > vec4<u32>(position + 1u))",
    ),
    plant(
        Mask,
        "the walk begins one key late",
        "first_key = first_position + 1u - params.window",
        "first_key = first_position + 2u - params.window",
    ),
    plant(
        Mask,
        "the last eight keys are masked as those before",
        "masked(sd, key0 + 24u, position)",
        "masked(sd, key0 + 16u, position)",
    ),
    plant(Tail, "the last step of keys is left out", "key0 <= last_position", "key0 + KEYS <= last_position"),
    plant(Tail, "the last eight keys are left out of the total", "(total_of(sc) + total_of(sd))", "total_of(sc)"),
    plant(
        Tail,
        "the last vector of a head is not scored",
        "i < params.dim4; i++) {\n            let x",
        "i < params.dim4 - 1u; i++) {\n            let x",
    ),
    plant(
        Tail,
        "the last vector of a head is not divided",
        "i < params.dim4; i++) {\n            out",
        "i < params.dim4 - 1u; i++) {\n            out",
    ),
    plant(Tail, "the largest score leaves out the last eight keys", "max(largest(sc), largest(sd))", "largest(sc)"),
    plant(Bounds, "keys behind the last are read", "let known = min(key, last)", "let known = key"),
    plant(Page, "every sequence reads the first one's pages", "page_row * params.page_stride + known", "known"),
    plant(Page, "the page begins one key early", "known / PAGE", "(known + 1u) / PAGE"),
    plant(
        Page,
        "the page table is not used",
        "page_table[page_row * params.page_stride + known / PAGE]",
        "(page_row * params.page_stride + known / PAGE)",
    ),
    plant(
        Head,
        "query heads are dealt out, not grouped",
        "kv_head * ratio + row % ratio",
        "kv_head + (row % ratio) * params.kv_heads",
    ),
    plant(
        Head,
        "the KV head is the first one",
        "kv_index(slot, params.kv_heads, kv_head, D4)",
        "kv_index(slot, params.kv_heads, 0u, D4)",
    ),
    plant(Address, "one key is another lane's", "dot(a, subgroupBroadcast(k, 3u))", "dot(a, subgroupBroadcast(k, 2u))"),
    plant(
        Address,
        "one value is another lane's",
        "p.hi.w * subgroupBroadcast(v, 7u)",
        "p.hi.w * subgroupBroadcast(v, 6u)",
    ),
    plant(Address, "eight keys are loaded twice", "key0 + 24u + lane", "key0 + 16u + lane"),
    plant(Scale, "the queries are not scaled", "params.scale * q[", "q["),
    plant(Scale, "the sums are not divided by the weights' total", "out[mine + i] /= total", "out[mine + i] /= 1.0"),
    plant(Scale, "nothing is rescaled to a new peak", "exp(peak - new_peak)", "1.0"),
    plant(Start, "what lies in the output is added", "let fresh = key0 == first_key", "let fresh = false"),
    plant(Start, "each step begins anew", "let fresh = key0 == first_key", "let fresh = true"),
    plant(Start, "the peak begins at 0", "var peak = MASKED", "var peak = 0.0"),
    plant(Special, "no peak is subtracted", "exp(scores.lo - peak)", "exp(scores.lo)"),
    plant(
        Precision,
        "the weights' total keeps the ten bits of f16",
        "return dot(p.lo + p.hi, vec4<f32>(1.0));",
        "return bitcast<f32>(bitcast<u32>(dot(p.lo + p.hi, vec4<f32>(1.0))) & 0xffffe000u);",
    ),
];

pub const ATTENTION_IO: &[Mutation] = &[
    plant(Codes, "the second pair of an f16 cache is the first", "unpack2x16float(w.y)", "unpack2x16float(w.x)"),
    plant(Codes, "each pair of an f16 cache is swapped", "unpack2x16float(w.x)", "unpack2x16float(w.x).yx"),
    plant(
        Address,
        "K and V are swapped",
        "@if(!kv_f16) @group(0) @binding(1) var<storage, read> k_cache: array<vec4<f32>>;\n@if(!kv_f16) @group(0) @binding(2) var<storage, read> v_cache",
        "@if(!kv_f16) @group(0) @binding(1) var<storage, read> v_cache: array<vec4<f32>>;\n@if(!kv_f16) @group(0) @binding(2) var<storage, read> k_cache",
    ),
    plant(
        Precision,
        "an f32 cache keeps the ten bits of f16",
        "return v;",
        "return bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4<u32>(0xffffe000u));",
    ),
];

pub const KV_CACHE: &[Mutation] = &[
    plant(Head, "slots and heads change places", "(slot * kv_heads + kv_head)", "(kv_head * kv_heads + slot)"),
    plant(Head, "a slot is as wide as one head", "(slot * kv_heads + kv_head)", "(slot + kv_head)"),
    plant(Page, "a page is one slot shorter", "return page * PAGE +", "return page * (PAGE - 1u) +"),
    plant(Page, "the offset in the page is ignored", "+ position % PAGE", ""),
];
