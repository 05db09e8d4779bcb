// Q5_1: w = d * q + m, an f16 pair (d, m) a group of 32; the codes' fifth bits lie in a plane of their own.
import package::shared::weights8::{Weights8, group_index, low_codes, high_codes};

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<u32>;

struct Group {
    base: u32,
    dm: vec2<f32>,
    high: u32,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    let index = group_index(row, group, groups);
    return Group(index * 4u, unpack2x16float(scales[index]), high_bits[index]);
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let q = codes[g.base + part];
    let lo = low_codes(q, ((g.high >> (2u * part)) & 0x01010101u) << 4u);
    let hi = high_codes(q, ((g.high >> (2u * part + 1u)) & 0x01010101u) << 4u);
    return Weights8(g.dm.x * lo + g.dm.y, g.dm.x * hi + g.dm.y);
}
