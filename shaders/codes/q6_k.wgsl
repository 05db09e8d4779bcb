// Q6_K: w = (d * sc) * (q - 32); the signed byte sc belongs to 16 weights, the f16 d to a superblock of 256. The codes'
// upper two bits lie in a plane of their own, a word for each half of a group: bit pair j of a byte belongs to word j.
import package::shared::sixteen::{Sixteen, nibbles};
import package::shared::weights8::group_index;

@group(0) @binding(0) var<storage, read> codes: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read> high_bits: array<u32>;

const CENTRE: u32 = 32u;

fn load_sixteen(row: u32, half: u32, groups: u32) -> Sixteen {
    let index = group_index(row, half / 2u, groups) * 2u + (half & 1u);
    let block = (index / 16u) * 5u;
    let four = scales[block + 1u + (index & 15u) / 4u];
    let sc = bitcast<i32>(four << (24u - 8u * (index & 3u))) >> 24u;
    let d = unpack2x16float(scales[block]).x * f32(sc);
    let high = high_bits[index];
    let pairs = vec4<u32>(high << 4u, high << 2u, high, high >> 2u) & vec4<u32>(0x30303030u);
    return Sixteen(nibbles(codes[index]) | pairs, d, -32.0 * d);
}
