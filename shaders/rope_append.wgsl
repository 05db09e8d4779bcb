// Turns Q and K by their positions, and writes K and V into the cache at each token's slot; f16 caches hold two elements a
// word, so that they need no f16 feature. A thread four elements. Mirrors kernels/rope_append.rs.
import package::constants::WG;
import package::shared::kv_cache::kv_index;
import package::shared::rope::{params, qkv, turned};

@if(kv_f16) alias Cached = vec2<u32>;
@if(!kv_f16) alias Cached = vec4<f32>;

@group(0) @binding(2) var<storage, read> slot_mapping: array<u32>;
@group(0) @binding(3) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<Cached>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<Cached>;

@if(kv_f16)
fn pack(v: vec4<f32>) -> Cached {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

@if(!kv_f16)
fn pack(v: vec4<f32>) -> Cached {
    return v;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let end_k = params.heads + params.kv_heads; // of a token's heads: Q's, K's, V's
    let heads = end_k + params.kv_heads;
    let head = index / params.dim4 % heads;
    let token = index / params.dim4 / heads;
    let i = index % params.dim4;
    if token >= params.tokens {
        return;
    }
    if head < params.heads {
        q[(token * params.heads + head) * params.dim4 + i] = turned(index, token, i);
        return;
    }
    let slot = slot_mapping[token];
    if head < end_k {
        k_cache[kv_index(slot, params.kv_heads, head - params.heads, params.dim4) + i] = pack(turned(index, token, i));
    } else {
        v_cache[kv_index(slot, params.kv_heads, head - end_k, params.dim4) + i] = pack(qkv[index]);
    }
}
