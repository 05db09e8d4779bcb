// Q4_K: w = (d * sc) * q - (dmin * mn); sc and mn belong to a group of 32, d and dmin to a superblock of 256.
import package::shared::planes::{piece, eight_code_words, superblock_words};
import package::shared::rounded::{Group, dot_4_bits, half_of, sum_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};
import package::shared::k_scales::k_scale;

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    superblock: Words8,
}

struct Block {
    codes: Words8,
    header: u32,
    pairs: u32,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(superblock_words(row, block, blocks));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    return Block(eight_code_words(piece(row, block, blocks)), scales.superblock.lo[i], scales.superblock.hi[i]);
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    return Weights8(bytes_in_place(q & 0x0f0f0f0fu), bytes_in_place((q >> 4u) & 0x0f0f0f0fu));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    return k_scale(b.header, b.pairs, part / 4u);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let scale = scale_and_min(b, 4u * group);
    let sum = scale.x * f32(dot_4_bits(half_of(b.codes, group), x)) + (scale.y + 8.0 * scale.x) * f32(sum_of(x));
    return x.scale * sum;
}
