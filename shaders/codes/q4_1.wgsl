// Q4_1: w = d * q + m, an f16 pair (d, m) a group of 32.
import package::shared::sixteen::{Sixteen, nibbles};
import package::shared::weights8::group_index;

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let index = group_index(row, half / 2u, groups);
    let dm = unpack2x16float(scales[index]);
    return Sixteen(nibbles(codes[index * 2u + (half & 1u)]), dm.x, dm.y);
}
