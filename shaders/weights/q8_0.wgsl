// Q8_0: w = d * q, q a signed byte, one f16 d a group of 32.
import package::shared::weights8::{Weights8, group_index, select_half};

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

struct Group {
    base: u32,
    d: f32,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    let word = scales[row * ((groups + 1u) / 2u) + group / 2u];
    return Group(group_index(row, group, groups) * 4u, select_half(word, group));
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let q = codes[g.base + part];
    return Weights8(g.d * vec4<f32>(unpack4xI8(q.x)), g.d * vec4<f32>(unpack4xI8(q.y)));
}
