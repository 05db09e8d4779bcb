// Rotary position embedding in place (Su et al. 2021): pair i of each head turns by the angle whose (cos, sin) the host
// has tabulated for the token, since the precision of a GPU's own sin and cos is not specified well enough.
// `half` pairs element i with i + rotary / 2 (Hugging Face), `adjacent` 2i with 2i + 1 (GGUF's llama). Mirrors kernels/rope.rs.
import package::constants::WG;

struct Params {
    tokens: u32,
    heads: u32,
    head_dim: u32,
    rotary: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> turns: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let pairs = params.rotary / 2u;
    if index >= params.tokens * params.heads * pairs {
        return;
    }
    let pair = index % pairs;
    let head = index / pairs; // of all tokens
    let turn = turns[(head / params.heads) * pairs + pair];
    @if(adjacent) let i = head * params.head_dim + 2u * pair;
    @if(adjacent) let j = i + 1u;
    @if(!adjacent) let i = head * params.head_dim + pair;
    @if(!adjacent) let j = i + pairs;
    let a = x[i];
    let b = x[j];
    x[i] = a * turn.x - b * turn.y;
    x[j] = b * turn.x + a * turn.y;
}
