// How lanes load the planes of weights: from textures that are used as memory, where a CPU that emulates a GPU loads sixteen bytes
// for all lanes at once. Rows lie TOGETHER in groups, piece by piece. Mirrors kernels/weight_layout.rs.
import package::constants::TOGETHER;
import package::shared::texels::place;
import package::shared::words8::Words8;

@group(0) @binding(0) var codes: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(1) var scales: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(2) var high_bits: texture_storage_2d<rgba32uint, read>;

// Piece `i` of the `count` pieces that a row has of a plane, where a piece is a texel.
fn piece(row: u32, i: u32, count: u32) -> u32 {
    return (row / TOGETHER * count + i) * TOGETHER + row % TOGETHER;
}

// The same where a piece is a word: the texel of four rows.
fn piece_of_four(row: u32, i: u32, count: u32) -> u32 {
    return (row / TOGETHER * count + i) * (TOGETHER / 4u) + row % TOGETHER / 4u;
}

// Four words of codes, of pieces of four.
fn four_code_words(index: u32) -> vec4<u32> {
    return textureLoad(codes, place(index));
}

// Eight words of codes, of pieces of eight.
fn eight_code_words(index: u32) -> Words8 {
    let first = 2u * index - index % TOGETHER;
    return Words8(textureLoad(codes, place(first)), textureLoad(codes, place(first + TOGETHER)));
}

// A word of scales of each of four rows.
fn scale_words(index: u32) -> vec4<u32> {
    return textureLoad(scales, place(index));
}

// Of each of four rows the scales that all blocks of a superblock have, and those of one block.
fn superblock_words(row: u32, block: u32, blocks: u32) -> Words8 {
    let first = block / 4u * 5u;
    let count = blocks / 4u * 5u;
    let own = first + 1u + (block & 3u);
    return Words8(scale_words(piece_of_four(row, first, count)), scale_words(piece_of_four(row, own, count)));
}

// Two words of scales of each of four rows.
fn scale_pairs(index: u32) -> Words8 {
    return Words8(textureLoad(scales, place(2u * index)), textureLoad(scales, place(2u * index + 1u)));
}

// The words of row `i` of the four.
fn pair_of(pairs: Words8, i: u32) -> vec2<u32> {
    let two = select(pairs.lo, pairs.hi, i >= 2u);
    return select(two.xy, two.zw, (i & 1u) == 1u);
}

// Two words of high bits of each of four rows.
fn high_pairs(index: u32) -> Words8 {
    return Words8(textureLoad(high_bits, place(2u * index)), textureLoad(high_bits, place(2u * index + 1u)));
}

fn four_high_words(index: u32) -> vec4<u32> {
    return textureLoad(high_bits, place(index));
}
