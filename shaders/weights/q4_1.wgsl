// Q4_1: w = d * q + m, an f16 pair (d, m) a group of 32.
import package::shared::weights8::{Weights8, group_index, low_nibbles, high_nibbles};

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

struct Group {
    base: u32,
    dm: vec2<f32>,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    let index = group_index(row, group, groups);
    return Group(index * 4u, unpack2x16float(scales[index]));
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let q = codes[g.base + part];
    return Weights8(g.dm.x * low_nibbles(q) + g.dm.y, g.dm.x * high_nibbles(q) + g.dm.y);
}
