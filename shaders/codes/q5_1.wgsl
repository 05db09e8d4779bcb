// Q5_1: w = d * q + m, an f16 pair (d, m) a group of 32; the codes' fifth bits lie in a plane of their own.
import package::shared::sixteen::{Sixteen, nibbles, fifth_bits};
import package::shared::weights8::group_index;

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<u32>;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let index = group_index(row, half / 2u, groups);
    let dm = unpack2x16float(scales[index]);
    let q = nibbles(codes[index * 2u + (half & 1u)]) | fifth_bits(high_bits[index], half);
    return Sixteen(q, dm.x, dm.y);
}
