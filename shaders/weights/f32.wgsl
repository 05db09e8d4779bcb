// F32 weights: a row is k / 4 vectors.
import package::shared::weights8::{Weights8, group_index};

@group(0) @binding(0) var<storage, read> codes: array<vec4<f32>>;

struct Group {
    base: u32,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    return Group(group_index(row, group, groups) * 8u);
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    return Weights8(codes[g.base + part * 2u], codes[g.base + part * 2u + 1u]);
}
