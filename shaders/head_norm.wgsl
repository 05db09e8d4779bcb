// RMSNorm of each head of Q and of K, in place, a workgroup a head: x / sqrt(mean(x^2) + eps) * (weight + offset). Q and K have
// a weight each. Mirrors kernels/head_norm.rs.
import package::constants::WG;
import package::shared::reduce::workgroup_sum;

struct Params {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    dim4: u32,
    eps: f32,
    offset: f32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> q_weight: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> qkv: array<vec4<f32>>; // of a token: the heads of Q, of K, of V

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = wg.y * grid.x + wg.x;
    let normed = params.heads + params.kv_heads;
    let token = index / normed;
    let head = index % normed;
    if token >= params.tokens {
        return;
    }
    let base = (token * (normed + params.kv_heads) + head) * params.dim4;
    var squares = 0.0;
    for (var i = thread; i < params.dim4; i += WG) {
        let v = qkv[base + i];
        squares += dot(v, v);
    }
    let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);
    let scale = 1.0 / sqrt(mean + params.eps);
    for (var i = thread; i < params.dim4; i += WG) {
        var weight = k_weight[i];
        if head < params.heads {
            weight = q_weight[i];
        }
        qkv[base + i] *= scale * (weight + params.offset);
    }
}
