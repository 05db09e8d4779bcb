// Eight dequantised weights, at k = 8 * part .. 8 * part + 7 of a row.
struct Weights8 {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

// Where a group's words lie in a plane: rows are padded to an even number of groups.
fn group_index(row: u32, group: u32, groups: u32) -> u32 {
    return row * ((groups + 1u) & 0xfffffffeu) + group;
}

// A code word of a 4-bit plane holds eight codes: byte j is code j in its low nibble and code 4 + j in its high one.
fn low_nibbles(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xU8(word & 0x0f0f0f0fu));
}

fn high_nibbles(word: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xU8((word >> 4u) & 0x0f0f0f0fu));
}

// The same with the fifth and sixth bits, already shifted to bits 4 and 5 of each byte.
fn low_codes(word: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xU8((word & 0x0f0f0f0fu) | high));
}

fn high_codes(word: u32, high: u32) -> vec4<f32> {
    return vec4<f32>(unpack4xU8(((word >> 4u) & 0x0f0f0f0fu) | high));
}

// Half `index` of a row of f16 values packed in pairs.
fn select_half(word: u32, index: u32) -> f32 {
    let pair = unpack2x16float(word);
    return select(pair.x, pair.y, (index & 1u) == 1u);
}
