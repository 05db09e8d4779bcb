// How lanes load the planes of weights: from textures that are used as memory, where a CPU that emulates a GPU loads sixteen bytes
// for all lanes at once. Mirrors kernels/weight_layout.rs.
import package::shared::texels::place;
import package::shared::words8::Words8;

// Of a plane a kernel uses the one declaration that has its texels.
@group(0) @binding(0) var codes: texture_storage_2d<rgba32uint, read>;
@group(0) @binding(1) var scales_of_one: texture_storage_2d<r32uint, read>;
@group(0) @binding(1) var scales_of_two: texture_storage_2d<rg32uint, read>;
@group(0) @binding(2) var high_bits_of_two: texture_storage_2d<rg32uint, read>;
@group(0) @binding(2) var high_bits_of_four: texture_storage_2d<rgba32uint, read>;

// From one piece of a row to its next: the rows that lie together have a piece each in between.
const STEP: u32 = 8u;

// Piece `i` of the `count` pieces that a row has of a plane.
fn piece(row: u32, i: u32, count: u32) -> u32 {
    return (row / STEP * count + i) * STEP + row % STEP;
}

// Four words of codes, of pieces of four.
fn four_code_words(index: u32) -> vec4<u32> {
    return textureLoad(codes, place(index));
}

// Eight words of codes, of pieces of eight.
fn eight_code_words(index: u32) -> Words8 {
    let first = 2u * index - index % STEP;
    return Words8(textureLoad(codes, place(first)), textureLoad(codes, place(first + STEP)));
}

fn scale_word(index: u32) -> u32 {
    return textureLoad(scales_of_one, place(index)).x;
}

fn scale_words(index: u32) -> vec2<u32> {
    return textureLoad(scales_of_two, place(index)).xy;
}

fn two_high_words(index: u32) -> vec2<u32> {
    return textureLoad(high_bits_of_two, place(index)).xy;
}

fn four_high_words(index: u32) -> vec4<u32> {
    return textureLoad(high_bits_of_four, place(index));
}
