// Rotary position embedding (Su et al. 2021): pair i of a head turns by an angle. The host has tabulated (cos, sin), since the
// precision of a GPU's own sin and cos is not specified well enough. Pairs are element i with i + D / 2 (Hugging Face), or 2i
// with 2i + 1 (GGUF's llama).

// Two pairs of neighbours; `turn` has their (cos, sin).
fn turn_neighbours(own: vec4<f32>, turn: vec4<f32>) -> vec4<f32> {
    return own * turn.xxzz + own.yxwz * vec4<f32>(-turn.y, turn.y, -turn.w, turn.w);
}

// Four elements whose partners are half a head away, behind them if these are the `first`; (cos, sin) of two pairs in `a`,
// of two in `b`.
fn turn_halves(own: vec4<f32>, partner: vec4<f32>, first: bool, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let sin = vec4<f32>(a.yw, b.yw);
    return own * vec4<f32>(a.xz, b.xz) + partner * select(sin, -sin, first);
}
