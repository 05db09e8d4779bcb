// Half a group of weights as signed bytes, for products of packed bytes.

// w = scale * code + min; codes in the order of k, four a word.
struct Sixteen {
    codes: vec4<u32>,
    scale: f32,
    min: f32,
}

// Four times the same byte.
fn bytes(byte: u32) -> u32 {
    return byte * 0x01010101u;
}

// The codes of two words of nibbles: byte j of a word has code j below and code 4 + j above.
fn nibbles(words: vec2<u32>) -> vec4<u32> {
    let low = words & vec2<u32>(0x0f0f0f0fu);
    let high = (words >> vec2<u32>(4u)) & vec2<u32>(0x0f0f0f0fu);
    return vec4<u32>(low.x, high.x, low.y, high.y);
}

// The fifth bits of half a group, in their places: bit j of a byte belongs to word j.
fn fifth_bits(high: u32, half: u32) -> vec4<u32> {
    let bits = vec4<u32>(high >> (4u * (half & 1u)));
    return (bits << vec4<u32>(4u, 3u, 2u, 1u)) & vec4<u32>(0x10101010u);
}

// A sum and sixteen products more, one after the other: the instructions that there are add to a sum.
fn add_dot16(sum: i32, a: vec4<u32>, b: vec4<u32>) -> i32 {
    return sum + dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}

fn dot16(a: vec4<u32>, b: vec4<u32>) -> i32 {
    return add_dot16(0, a, b);
}

// The sum of sixteen codes.
fn sum16(codes: vec4<u32>) -> f32 {
    return f32(dot16(codes, vec4<u32>(0x01010101u)));
}
