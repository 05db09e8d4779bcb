// BF16 weights, two a word: a bf16 is the upper half of an f32: loaded where they are used, since a block is more than a lane can hold.
import package::constants::TOGETHER;
import package::shared::planes::{piece, four_code_words};
import package::shared::weights8::Weights8;

const PLACES: vec4<f32> = vec4<f32>(1.0);

// Four rows have nothing beside the values.
alias Scales = u32;

struct Block {
    base: u32,
}

fn load_scales(row: u32, block: u32, blocks: u32) -> Scales {
    return 0u;
}

// Of row `i` of the four that the scales are of.
fn load_block(row: u32, block: u32, blocks: u32, scales: Scales, i: u32) -> Block {
    return Block(piece(row, block * 8u, blocks * 8u));
}

fn unpack(word: u32) -> vec2<f32> {
    return vec2<f32>(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u));
}

fn eight_codes(b: Block, part: u32) -> Weights8 {
    let w = four_code_words(b.base + part * TOGETHER);
    return Weights8(vec4<f32>(unpack(w.x), unpack(w.y)), vec4<f32>(unpack(w.z), unpack(w.w)));
}

fn scale_and_min(b: Block, part: u32) -> vec2<f32> {
    return vec2<f32>(1.0, 0.0);
}
