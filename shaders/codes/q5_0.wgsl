// Q5_0: w = d * (q - 16), one f16 d a group of 32; the codes' fifth bits lie in a plane of their own.
import package::shared::sixteen::{Sixteen, nibbles, fifth_bits};
import package::shared::weights8::{group_index, select_half};

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<u32>;

const CENTRE: u32 = 16u;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let group = half / 2u;
    let index = group_index(row, group, groups);
    let d = select_half(scales[row * ((groups + 1u) / 2u) + group / 2u], group);
    let q = nibbles(codes[index * 2u + (half & 1u)]) | fifth_bits(high_bits[index], half);
    return Sixteen(q, d, -16.0 * d);
}
