// Q4_K: w = (d * sc) * q - (dmin * mn); sc and mn belong to a group of 32, d and dmin to a superblock of 256.
import package::shared::weights8::{Weights8, group_index, low_nibbles, high_nibbles};
import package::shared::k_scales::k_scale;

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

struct Group {
    base: u32,
    dm: vec2<f32>,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    let index = group_index(row, group, groups);
    let block = (index / 8u) * 5u;
    return Group(index * 4u, k_scale(scales[block], scales[block + 1u + (group & 7u) / 2u], group));
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let q = codes[g.base + part];
    return Weights8(g.dm.x * low_nibbles(q) + g.dm.y, g.dm.x * high_nibbles(q) + g.dm.y);
}
