// Rotary position embedding of Q and K in place (Su et al. 2021): pair i of each head turns by the angle whose (cos, sin) the
// host has tabulated for the token, since the precision of a GPU's own sin and cos is not specified well enough.
// `half` pairs element i with i + rotary / 2 (Hugging Face), `adjacent` 2i with 2i + 1 (GGUF's llama). Mirrors kernels/rope.rs.
import package::constants::WG;

struct Params {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    rotary: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> q: array<f32>;
@group(0) @binding(2) var<storage, read_write> k: array<f32>;

fn turned(a: f32, b: f32, turn: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(a * turn.x - b * turn.y, b * turn.x + a * turn.y);
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let pairs = params.rotary / 2u;
    let heads = params.heads + params.kv_heads; // of a token: Q's, then K's
    if index >= params.tokens * heads * pairs {
        return;
    }
    let pair = index % pairs;
    let token = index / pairs / heads;
    let head = index / pairs % heads;
    let turn = turns[token * pairs + pair];
    // The pair's elements within a head.
    @if(adjacent) let i = 2u * pair;
    @if(adjacent) let j = i + 1u;
    @if(!adjacent) let i = pair;
    @if(!adjacent) let j = i + pairs;
    if head < params.heads {
        let base = (token * params.heads + head) * params.head_dim;
        let moved = turned(q[base + i], q[base + j], turn);
        q[base + i] = moved.x;
        q[base + j] = moved.y;
    } else {
        let base = (token * params.kv_heads + head - params.heads) * params.head_dim;
        let moved = turned(k[base + i], k[base + j], turn);
        k[base + i] = moved.x;
        k[base + j] = moved.y;
    }
}
