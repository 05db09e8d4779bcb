// Q4_0: w = d * (q - 8), one f16 d a group of 32.
import package::shared::planes::{piece, piece_of_four, eight_code_words, scale_words};
import package::shared::rounded::{Group, dot_4_bits, half_of};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word, bytes_in_place, PLACES_OF_BYTES};

const PLACES: vec4<f32> = PLACES_OF_BYTES;

// What four rows have beside the codes.
struct Scales {
    d: vec4<u32>,
}

struct Block {
    codes: Words8,
    d: vec2<f32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(scale_words(piece_of_four(row, block, blocks)));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    return Block(eight_code_words(piece(row, block, blocks)), unpack2x16float(scales.d[i]));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let q = word(b.codes, part);
    return Weights8(bytes_in_place(q & 0x0f0f0f0fu), bytes_in_place((q >> 4u) & 0x0f0f0f0fu));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    let d = select(b.d.x, b.d.y, part >= 4u);
    return vec2<f32>(d, -8.0 * d);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    return x.scale * select(b.d.x, b.d.y, group == 1u) * f32(dot_4_bits(half_of(b.codes, group), x));
}
