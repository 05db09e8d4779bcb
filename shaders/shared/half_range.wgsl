// What brings f32 values into the range of f16: a power of two for all that a workgroup loads, so that nothing is rounded by
// it. Whoever converts begins with one that suits most tensors, keeps an eye on the largest magnitude, and begins anew with
// the one that suits that if it must.

// The bits of the largest, which compare like it since it is not negative.
fn largest(magnitudes: vec4<f32>) -> i32 {
    return bitcast<i32>(max(max(magnitudes.x, magnitudes.y), max(magnitudes.z, magnitudes.w)));
}

// The factor, unless the largest magnitude times it has an exponent above `highest` or more than `span` below; then the one
// that makes it `highest`. Zeros suit any factor, and infinity and NaN are helped by none.
fn fitting(factor: f32, peak: i32, highest: i32, span: i32) -> f32 {
    let exponent = (peak >> 23u) - 127;
    let scaled = exponent + (bitcast<i32>(factor) >> 23u) - 127;
    if exponent == -127 || exponent == 128 || (scaled <= highest && scaled >= highest - span) {
        return factor;
    }
    // Neither it nor its inverse is subnormal.
    return bitcast<f32>(clamp(127 + highest - exponent, 2, 252) << 23u);
}

// One divided by a power of two, exactly.
fn inverse(factor: f32) -> f32 {
    return bitcast<f32>((254 << 23u) - bitcast<i32>(factor));
}
