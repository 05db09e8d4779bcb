// How lanes load the planes of weights: from buffers in wide pieces, or, with `texels`, from textures that are used as memory,
// where a CPU that emulates a GPU loads sixteen bytes for all lanes at once. Mirrors kernels/weight_layout.rs.
@if(texels) import package::shared::texels::place;
import package::shared::words8::Words8;
@if(!texels) import package::shared::words8::{words2, words4, words8};

// Each is the same memory, in the pieces that a storage type has it in.
@if(!texels) @group(0) @binding(0) var<storage, read> codes_by_four: array<vec2<u64>>;
@if(!texels) @group(0) @binding(0) var<storage, read> codes_by_eight: array<vec4<u64>>;
@if(texels) @group(0) @binding(0) var codes: texture_storage_2d<rgba32uint, read>;
@if(!texels) @group(0) @binding(1) var<storage, read> scales_by_one: array<u32>;
@if(!texels) @group(0) @binding(1) var<storage, read> scales_by_two: array<u64>;
@if(texels) @group(0) @binding(1) var scales_of_one: texture_storage_2d<r32uint, read>;
@if(texels) @group(0) @binding(1) var scales_of_two: texture_storage_2d<rg32uint, read>;
@if(!texels) @group(0) @binding(2) var<storage, read> high_bits_by_two: array<u64>;
@if(!texels) @group(0) @binding(2) var<storage, read> high_bits_by_four: array<vec2<u64>>;
@if(texels) @group(0) @binding(2) var high_bits_of_two: texture_storage_2d<rg32uint, read>;
@if(texels) @group(0) @binding(2) var high_bits_of_four: texture_storage_2d<rgba32uint, read>;

// Piece `i` of the `count` pieces that a row has of a plane, and from one piece of a row to its next.
fn piece(row: u32, i: u32, count: u32) -> u32 {
    @if(!texels) return row * count + i;
    @if(texels) return (row / STEP * count + i) * STEP + row % STEP;
}

@if(!texels) const STEP: u32 = 1u;
@if(texels) const STEP: u32 = 8u;

// Four words of codes, of pieces of four.
fn four_code_words(index: u32) -> vec4<u32> {
    @if(!texels) return words4(codes_by_four[index]);
    @if(texels) return textureLoad(codes, place(index));
}

// Eight words of codes, of pieces of eight.
fn eight_code_words(index: u32) -> Words8 {
    @if(!texels) return words8(codes_by_eight[index]);
    @if(texels) {
        let first = 2u * index - index % STEP;
        return Words8(textureLoad(codes, place(first)), textureLoad(codes, place(first + STEP)));
    }
}

fn scale_word(index: u32) -> u32 {
    @if(!texels) return scales_by_one[index];
    @if(texels) return textureLoad(scales_of_one, place(index)).x;
}

fn scale_words(index: u32) -> vec2<u32> {
    @if(!texels) return words2(scales_by_two[index]);
    @if(texels) return textureLoad(scales_of_two, place(index)).xy;
}

fn two_high_words(index: u32) -> vec2<u32> {
    @if(!texels) return words2(high_bits_by_two[index]);
    @if(texels) return textureLoad(high_bits_of_two, place(index)).xy;
}

fn four_high_words(index: u32) -> vec4<u32> {
    @if(!texels) return words4(high_bits_by_four[index]);
    @if(texels) return textureLoad(high_bits_of_four, place(index));
}
