// Q4_K: w = (d * sc) * q - (dmin * mn); sc and mn belong to a group of 32, d and dmin to a superblock of 256.
import package::shared::k_scales::k_scale;
import package::shared::sixteen::{Sixteen, nibbles};
import package::shared::weights8::group_index;

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let group = half / 2u;
    let index = group_index(row, group, groups);
    let block = (index / 8u) * 5u;
    let dm = k_scale(scales[block], scales[block + 1u + (group & 7u) / 2u], group);
    return Sixteen(nibbles(codes[index * 2u + (half & 1u)]), dm.x, dm.y);
}
