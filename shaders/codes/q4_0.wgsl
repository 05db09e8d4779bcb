// Q4_0: w = d * (q - 8), one f16 d a group of 32.
import package::shared::sixteen::{Sixteen, nibbles};
import package::shared::weights8::{group_index, select_half};

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

const CENTRE: u32 = 8u;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let group = half / 2u;
    let d = select_half(scales[row * ((groups + 1u) / 2u) + group / 2u], group);
    let words = codes[group_index(row, group, groups) * 2u + (half & 1u)];
    return Sixteen(nibbles(words), d, -8.0 * d);
}
