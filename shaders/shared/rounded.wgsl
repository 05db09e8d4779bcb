// A row of x as the lanes of a subgroup hold and share it, rounded to signed bytes, 32 of them with one scale; and products with
// codes in whole numbers, two at a time: modulo 2^32, (u + 2^16 v) (y + 2^16 x) is u y + 2^16 (u x + v y). They are added up for
// as long as the upper half, less what centres the codes, and the lower one are of 16 bits: for 32 codes of 4 bits, 16 of 5, 8 of
// 6, and 2 of 8.
import package::shared::words8::Words8;

// What a lane holds of 64 elements.
struct Own {
    // Elements 0 and 2, 1 and 3, 4 and 6, 5 and 7 of eight: the first is the upper half.
    pairs: vec4<i32>,
    sum: i32,
    scale: f32,
}

// The 32 elements that meet a group of weights, for all lanes.
struct Group {
    a: vec4<i32>,
    b: vec4<i32>,
    c: vec4<i32>,
    d: vec4<i32>,
    // Of each eight.
    sums: vec4<i32>,
    scale: f32,
}

// To the nearest, of magnitudes below 2^22. A conversion would be a branch for each lane.
fn to_whole(v: vec4<f32>) -> vec4<i32> {
    return bitcast<vec4<i32>>(v + vec4<f32>(12582912.0)) - vec4<i32>(0x4b400000);
}

// As bits magnitudes have the same order, with infinity and NaN behind all others.
fn magnitude(v: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
}

// The scale and its inverse, as in quantize_q8: the largest magnitude has the code 127.
fn scale_of(largest: u32) -> vec2<f32> {
    let whole = bitcast<f32>(largest) / 127.0;
    let scale = select(whole, 0.0, whole <= 1e-37);
    return vec2<f32>(scale, select(0.0, 1.0 / scale, scale > 0.0 && largest < 0x7f800000u));
}

fn pairs_of(codes: vec4<i32>) -> vec2<i32> {
    return codes.zw + (codes.xy << vec2<u32>(16u));
}

fn own(lo: vec4<f32>, hi: vec4<f32>) -> Own {
    let four = max(magnitude(lo), magnitude(hi));
    var largest = max(max(four.x, four.y), max(four.z, four.w));
    largest = max(largest, subgroupShuffleXor(largest, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    let scale = scale_of(largest);
    let p = to_whole(lo * scale.y);
    let q = to_whole(hi * scale.y);
    let sums = p + q;
    return Own(vec4<i32>(pairs_of(p), pairs_of(q)), sums.x + sums.y + sums.z + sums.w, scale.x);
}

// Group 0 or 1 of the 64 elements that the lanes hold.
fn share(own: Own, group: u32) -> Group {
    let lane = 4u * group;
    return Group(
        subgroupShuffle(own.pairs, lane),
        subgroupShuffle(own.pairs, lane + 1u),
        subgroupShuffle(own.pairs, lane + 2u),
        subgroupShuffle(own.pairs, lane + 3u),
        vec4<i32>(
            subgroupShuffle(own.sum, lane),
            subgroupShuffle(own.sum, lane + 1u),
            subgroupShuffle(own.sum, lane + 2u),
            subgroupShuffle(own.sum, lane + 3u),
        ),
        subgroupShuffle(own.scale, lane),
    );
}

fn sum_of(x: Group) -> i32 {
    return x.sums.x + x.sums.y + x.sums.z + x.sums.w;
}

// The sum of products in the upper half.
fn upper(sum: i32) -> i32 {
    return (sum + 0x8000) >> 16u;
}

fn half_of(words: Words8, group: u32) -> vec4<u32> {
    return select(words.lo, words.hi, group == 1u);
}

// Of a word of nibbles: byte j has code j below and code 4 + j above.
fn nibbles(word: u32, x: vec4<i32>) -> i32 {
    const MASK = 0x000f000fu;
    return i32(word & MASK) * x.x + i32((word >> 8u) & MASK) * x.y
        + i32((word >> 4u) & MASK) * x.z + i32((word >> 12u) & MASK) * x.w;
}

// Of eight codes in bytes.
fn bytes(lo: u32, hi: u32, x: vec4<i32>) -> i32 {
    const MASK = 0x00ff00ffu;
    return i32(lo & MASK) * x.x + i32((lo >> 8u) & MASK) * x.y + i32(hi & MASK) * x.z + i32((hi >> 8u) & MASK) * x.w;
}

// Of 32 codes of four bits, less 8.
fn dot_4_bits(words: vec4<u32>, x: Group) -> i32 {
    let sum = nibbles(words.x, x.a) + nibbles(words.y, x.b) + nibbles(words.z, x.c) + nibbles(words.w, x.d);
    return upper(sum - (sum_of(x) << 19u));
}

// Of a word of nibbles with a fifth bit each.
fn five_bits(word: u32, high: u32, x: vec4<i32>) -> i32 {
    let lo = (word & 0x0f0f0f0fu) | ((high << 4u) & 0x10101010u);
    let hi = ((word >> 4u) & 0x0f0f0f0fu) | ((high << 3u) & 0x10101010u);
    return bytes(lo, hi, x);
}

// Of 32 codes of five bits, less 16.
fn dot_5_bits(words: vec4<u32>, high: u32, x: Group) -> i32 {
    let first = five_bits(words.x, high, x.a) + five_bits(words.y, high >> 2u, x.b);
    let second = five_bits(words.z, high >> 4u, x.c) + five_bits(words.w, high >> 6u, x.d);
    return upper(first - ((x.sums.x + x.sums.y) << 20u)) + upper(second - ((x.sums.z + x.sums.w) << 20u));
}

// Of eight codes of six bits, less 32.
fn dot_6_bits(word: u32, high: u32, x: vec4<i32>, sum: i32) -> i32 {
    let lo = (word & 0x0f0f0f0fu) | ((high << 4u) & 0x30303030u);
    let hi = ((word >> 4u) & 0x0f0f0f0fu) | ((high << 2u) & 0x30303030u);
    return upper(bytes(lo, hi, x) - (sum << 21u));
}

// Of four signed bytes.
fn dot_8_bits(word: u32, x: vec2<i32>) -> i32 {
    const MASK = 0x00ff00ffu;
    const CENTRE = 0x00800080u;
    let centres = (x + (x << vec2<u32>(16u))) << vec2<u32>(7u);
    let even = i32((word & MASK) ^ CENTRE) * x.x - centres.x;
    let odd = i32(((word >> 8u) & MASK) ^ CENTRE) * x.y - centres.y;
    return upper(even) + upper(odd);
}
