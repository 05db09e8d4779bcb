// Q6_K: w = (d * sc) * (q - 32); the signed byte sc belongs to 16 weights, the f16 d to a superblock of 256. The codes'
// upper two bits lie in a plane of their own, two words a group.
import package::shared::weights8::{Weights8, group_index, low_codes, high_codes};

@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<vec2<u32>>;

struct Group {
    base: u32,
    d: vec2<f32>,
    high: vec2<u32>,
}

fn load_group(row: u32, group: u32, groups: u32) -> Group {
    let index = group_index(row, group, groups);
    let block = (index / 8u) * 5u;
    let d = unpack2x16float(scales[block]).x;
    let bytes = vec4<f32>(unpack4xI8(scales[block + 1u + (group & 7u) / 2u]));
    let sc = select(bytes.xy, bytes.zw, (group & 1u) == 1u);
    return Group(index * 4u, d * sc, high_bits[index]);
}

fn dequantize(g: Group, part: u32) -> Weights8 {
    let q = codes[g.base + part];
    let bits = select(g.high.x, g.high.y, part >= 2u) >> (4u * (part & 1u));
    let d = select(g.d.x, g.d.y, part >= 2u);
    let lo = low_codes(q, (bits & 0x03030303u) << 4u);
    let hi = high_codes(q, ((bits >> 2u) & 0x03030303u) << 4u);
    return Weights8(d * (lo - 32.0), d * (hi - 32.0));
}
