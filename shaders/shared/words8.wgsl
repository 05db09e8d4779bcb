// Planes in wide pieces: on a CPU that emulates a GPU a load is a branch for each component of each lane, so that a component
// of 64 bits costs as much as one of 32.

// Eight words, in their order.
struct Words8 {
    lo: vec4<u32>,
    hi: vec4<u32>,
}

fn words2(pair: u64) -> vec2<u32> {
    return vec2<u32>(u32(pair), u32(pair >> 32u));
}

fn words4(pairs: vec2<u64>) -> vec4<u32> {
    return vec4<u32>(words2(pairs.x), words2(pairs.y));
}

fn words8(pairs: vec4<u64>) -> Words8 {
    return Words8(words4(pairs.xy), words4(pairs.zw));
}

// The other way: a pair's first word is its lower half.
fn pairs2(words: vec4<u32>) -> vec2<u64> {
    return vec2<u64>(words.xz) | (vec2<u64>(words.yw) << vec2<u32>(32u));
}

fn word(words: Words8, index: u32) -> u32 {
    return select(words.lo, words.hi, index >= 4u)[index & 3u];
}

// The bytes of a word as numbers that keep their places: byte j times 256^j, which saves a shift. The uppermost is below 128.
fn bytes_in_place(word: u32) -> vec4<f32> {
    return vec4<f32>(vec4<i32>(vec4<u32>(word) & vec4<u32>(0xffu, 0xff00u, 0xff0000u, 0xff000000u)));
}

// Takes them back.
const PLACES_OF_BYTES: vec4<f32> = vec4<f32>(1.0, 1.0 / 256.0, 1.0 / 65536.0, 1.0 / 16777216.0);
