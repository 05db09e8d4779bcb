// Q6_K: w = (d * sc) * (q - 32); the signed byte sc belongs to 16 weights, the f16 d to a superblock of 256. The codes'
// upper two bits lie in a plane of their own, four words a block.
import package::shared::planes::{piece, eight_code_words, superblock_words, four_high_words};
import package::shared::rounded::{Group, dot_6_bits, half_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    superblock: Words8,
}

struct Block {
    codes: Words8,
    d: vec4<f32>,
    high: vec4<u32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(superblock_words(row, block, blocks));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    let index = piece(row, block, blocks);
    let d = unpack2x16float(scales.superblock.lo[i]).x * vec4<f32>(unpack4xI8(scales.superblock.hi[i]));
    return Block(eight_code_words(index), d, four_high_words(index));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    let high = b.high[part / 2u] >> (4u * (part & 1u));
    let lo = (q & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4u);
    let hi = ((q >> 4u) & 0x0f0f0f0fu) | (((high >> 2u) & 0x03030303u) << 4u);
    return Weights8(bytes_in_place(lo), bytes_in_place(hi));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    let d = b.d[part / 2u];
    return vec2<f32>(d, -32.0 * d);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let words = half_of(b.codes, group);
    let high = select(b.high.xy, b.high.zw, group == 1u);
    let d = select(b.d.xy, b.d.zw, group == 1u);
    let first = dot_6_bits(words.x, high.x, x.a, x.sums.x) + dot_6_bits(words.y, high.x >> 4u, x.b, x.sums.y);
    let second = dot_6_bits(words.z, high.y, x.c, x.sums.z) + dot_6_bits(words.w, high.y >> 4u, x.d, x.sums.w);
    return x.scale * (d.x * f32(first) + d.y * f32(second));
}
