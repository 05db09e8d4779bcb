// Q5_K: Q4_K with a fifth bit a code, in a plane of its own.
import package::shared::planes::{piece, piece_of_four, pair_of, eight_code_words, superblock_words, high_pairs};
import package::shared::rounded::{Group, dot_5_bits, half_of, sum_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};
import package::shared::k_scales::k_scale;

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    superblock: Words8,
    high: Words8,
}

struct Block {
    codes: Words8,
    header: u32,
    pairs: u32,
    high: vec2<u32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(superblock_words(row, block, blocks), high_pairs(piece_of_four(row, block, blocks)));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    let codes = eight_code_words(piece(row, block, blocks));
    return Block(codes, scales.superblock.lo[i], scales.superblock.hi[i], pair_of(scales.high, i));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    let high = select(b.high.x, b.high.y, part >= 4u) >> (2u * (part & 3u));
    let lo = (q & 0x0f0f0f0fu) | ((high & 0x01010101u) << 4u);
    let hi = ((q >> 4u) & 0x0f0f0f0fu) | (((high >> 1u) & 0x01010101u) << 4u);
    return Weights8(bytes_in_place(lo), bytes_in_place(hi));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    return k_scale(b.header, b.pairs, part / 4u);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let high = select(b.high.x, b.high.y, group == 1u);
    let scale = scale_and_min(b, 4u * group);
    let sum = scale.x * f32(dot_5_bits(half_of(b.codes, group), high, x)) + (scale.y + 16.0 * scale.x) * f32(sum_of(x));
    return x.scale * sum;
}
