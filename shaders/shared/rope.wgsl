// Rotary position embedding (Su et al. 2021): pair i of each head turns by the angle whose (cos, sin) the host has tabulated
// for the token, since the precision of a GPU's own sin and cos is not specified well enough. It pairs element i with
// i + D / 2 (Hugging Face), or 2i with 2i + 1 if `adjacent` (GGUF's llama). Mirrors kernels/rope_append.rs.
struct Params {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    dim4: u32, // vectors of four elements in a head
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;   // of a token: the heads of Q, of K, of V
@group(0) @binding(1) var<storage, read> turns: array<vec4<f32>>; // of a token: two pairs' (cos, sin) a vector

// A token's vector i of a head of Q or K, which lies at `at`.
@if(adjacent)
fn turned(at: u32, token: u32, i: u32) -> vec4<f32> {
    let own = qkv[at];
    let turn = turns[token * params.dim4 + i];
    return own * turn.xxzz + own.yxwz * vec4<f32>(-turn.y, turn.y, -turn.w, turn.w);
}

@if(!adjacent)
fn turned(at: u32, token: u32, i: u32) -> vec4<f32> {
    let half = params.dim4 / 2u;
    let first = i < half;
    let partner = qkv[select(at - half, at + half, first)];
    let turn = token * params.dim4 + 2u * select(i - half, i, first);
    let a = turns[turn];
    let b = turns[turn + 1u];
    let sin = vec4<f32>(a.yw, b.yw);
    return qkv[at] * vec4<f32>(a.xz, b.xz) + partner * select(sin, -sin, first);
}
