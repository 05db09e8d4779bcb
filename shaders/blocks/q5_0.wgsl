// Q5_0: w = d * (q - 16), one f16 d a group of 32; the codes' fifth bits lie in a plane of their own.
import package::shared::planes::{piece, piece_of_four, pair_of, eight_code_words, scale_words, high_pairs};
import package::shared::rounded::{Group, dot_5_bits, half_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    d: vec4<u32>,
    high: Words8,
}

struct Block {
    codes: Words8,
    d: vec2<f32>,
    high: vec2<u32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    let index = piece_of_four(row, block, blocks);
    return Scales(scale_words(index), high_pairs(index));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    let codes = eight_code_words(piece(row, block, blocks));
    return Block(codes, unpack2x16float(scales.d[i]), pair_of(scales.high, i));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    let high = select(b.high.x, b.high.y, part >= 4u) >> (2u * (part & 3u));
    let lo = (q & 0x0f0f0f0fu) | ((high & 0x01010101u) << 4u);
    let hi = ((q >> 4u) & 0x0f0f0f0fu) | (((high >> 1u) & 0x01010101u) << 4u);
    return Weights8(bytes_in_place(lo), bytes_in_place(hi));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    let d = select(b.d.x, b.d.y, part >= 4u);
    return vec2<f32>(d, -16.0 * d);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let d = select(b.d.x, b.d.y, group == 1u);
    return x.scale * d * f32(dot_5_bits(half_of(b.codes, group), select(b.high.x, b.high.y, group == 1u), x));
}
