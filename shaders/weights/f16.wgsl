// F16 weights, two a word; unpacking needs no f16 feature.
import package::shared::weights8::{Weights8, group_index};

@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>;

struct Group {
    base: u32,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    return Group(group_index(row, group, groups) * 4u);
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let w = codes[g.base + part];
    return Weights8(
        vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)),
        vec4<f32>(unpack2x16float(w.z), unpack2x16float(w.w)),
    );
}
