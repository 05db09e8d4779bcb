// Q4_1: w = d * q + m, an f16 pair (d, m) a group of 32.
import package::shared::planes::{piece, piece_of_four, pair_of, eight_code_words, scale_pairs};
import package::shared::rounded::{Group, dot_4_bits, half_of, sum_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    dm: Words8,
}

struct Block {
    codes: Words8,
    dm: vec2<u32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(scale_pairs(piece_of_four(row, block, blocks)));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    return Block(eight_code_words(piece(row, block, blocks)), pair_of(scales.dm, i));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    return Weights8(bytes_in_place(q & 0x0f0f0f0fu), bytes_in_place((q >> 4u) & 0x0f0f0f0fu));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    return unpack2x16float(select(b.dm.x, b.dm.y, part >= 4u));
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let scale = scale_and_min(b, 4u * group);
    let sum = scale.x * f32(dot_4_bits(half_of(b.codes, group), x)) + (scale.y + 8.0 * scale.x) * f32(sum_of(x));
    return x.scale * sum;
}
