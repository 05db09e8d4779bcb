// Q8_0: w = d * q, q a signed byte, one f16 d a group of 32.
import package::shared::sixteen::Sixteen;
import package::shared::weights8::{group_index, select_half};

@group(0) @binding(0) var<storage, read> codes: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;

const CENTRE: u32 = 0u;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let group = half / 2u;
    let d = select_half(scales[row * ((groups + 1u) / 2u) + group / 2u], group);
    return Sixteen(codes[group_index(row, group, groups) * 2u + (half & 1u)], d, 0.0);
}
