// A block of q8_0: 32 signed bytes with a scale. The largest magnitude has the code 127, and halves are rounded away from
// zero, as ggml rounds them.
const BLOCK4: u32 = 8u; // vectors of four of a block

struct Q8Block {
    first: vec4<u32>,  // codes 0 to 15, four a word
    second: vec4<u32>,
    scale: f32,
}

// The largest magnitude, as bits: of numbers without a sign they are in the same order, infinity and NaN behind all others.
fn largest(v: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// Four codes. Where there is no inverse, not even of NaN: a scale alone says then that a block is of no use.
fn four_codes(v: vec4<f32>, inverse: f32) -> u32 {
    let x = select(vec4<f32>(0.0), v * inverse, inverse > 0.0);
    return pack4xI8(vec4<i32>(sign(x) * floor(abs(x) + 0.5)));
}

fn quantize_block(values: array<vec4<f32>, BLOCK4>) -> Q8Block {
    var bits = 0u;
    for (var i = 0u; i < BLOCK4; i++) {
        bits = max(bits, largest(values[i]));
    }
    // Of a block of next to nothing the inverse would overflow, and some adapters have no subnormal numbers.
    let whole = bitcast<f32>(bits) / 127.0;
    let scale = select(whole, 0.0, whole <= 1e-37);
    let inverse = select(0.0, 1.0 / scale, scale > 0.0 && bits < 0x7f800000u);
    let first = vec4<u32>(
        four_codes(values[0], inverse),
        four_codes(values[1], inverse),
        four_codes(values[2], inverse),
        four_codes(values[3], inverse),
    );
    let second = vec4<u32>(
        four_codes(values[4], inverse),
        four_codes(values[5], inverse),
        four_codes(values[6], inverse),
        four_codes(values[7], inverse),
    );
    return Q8Block(first, second, scale);
}
