// BF16 weights, two a word: a bf16 is the upper half of an f32.
import package::shared::weights8::{Weights8, group_index};

@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>;

struct Group {
    base: u32,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    return Group(group_index(row, group, groups) * 4u);
}

fn unpack(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let w = codes[g.base + part];
    return Weights8(vec4<f32>(unpack(w.x), unpack(w.y)), vec4<f32>(unpack(w.z), unpack(w.w)));
}
