// Q5_K: Q4_K with a fifth bit a code, in a plane of its own.
import package::shared::k_scales::k_scale;
import package::shared::sixteen::{Sixteen, nibbles, fifth_bits};
import package::shared::weights8::group_index;

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<u32>;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let group = half / 2u;
    let index = group_index(row, group, groups);
    let block = (index / 8u) * 5u;
    let dm = k_scale(scales[block], scales[block + 1u + (group & 7u) / 2u], group);
    let q = nibbles(codes[index * 2u + (half & 1u)]) | fifth_bits(high_bits[index], half);
    return Sixteen(q, dm.x, dm.y);
}
