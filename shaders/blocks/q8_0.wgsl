// Q8_0: w = d * q, q a signed byte, one f16 d a group of 32.
import package::constants::TOGETHER;
import package::shared::planes::{piece, piece_of_four, eight_code_words, scale_words};
import package::shared::rounded::{Group, dot_8_bits};
import package::shared::weights8::Weights8;
import package::shared::words8::{Words8, word};

const PLACES: vec4<f32> = vec4<f32>(1.0);

// What four rows have beside the codes.
struct Scales {
    d: vec4<u32>,
}

struct Block {
    first: Words8,
    second: Words8,
    d: vec2<f32>,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return Scales(scale_words(piece_of_four(row, block, blocks)));
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    let codes = piece(row, 2u * block, 2u * blocks);
    return Block(eight_code_words(codes), eight_code_words(codes + TOGETHER), unpack2x16float(scales.d[i]));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let at = 2u * (part & 3u);
    let lo = select(word(b.first, at), word(b.second, at), part >= 4u);
    let hi = select(word(b.first, at + 1u), word(b.second, at + 1u), part >= 4u);
    return Weights8(vec4<f32>(unpack4xI8(lo)), vec4<f32>(unpack4xI8(hi)));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    return vec2<f32>(select(b.d.x, b.d.y, part >= 4u), 0.0);
}

// Of group 0 or 1 with the rounded activations that it meets.
fn product(b: Block, group: u32, x: Group) -> f32 {
    let lo = select(b.first.lo, b.second.lo, group == 1u);
    let hi = select(b.first.hi, b.second.hi, group == 1u);
    let first = dot_8_bits(lo.x, x.a.xy) + dot_8_bits(lo.y, x.a.zw) + dot_8_bits(lo.z, x.b.xy) + dot_8_bits(lo.w, x.b.zw);
    let second = dot_8_bits(hi.x, x.c.xy) + dot_8_bits(hi.y, x.c.zw) + dot_8_bits(hi.z, x.d.xy) + dot_8_bits(hi.w, x.d.zw);
    return x.scale * select(b.d.x, b.d.y, group == 1u) * f32(first + second);
}
