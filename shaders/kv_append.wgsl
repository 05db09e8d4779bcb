// Writes each token's K and V into the cache at its slot; f16 caches hold two elements a word, so that they need no f16
// feature. One thread moves four elements of both. Mirrors kernels/kv_append.rs.
import package::constants::WG;
import package::shared::kv_cache::kv_index;

struct Params {
    tokens: u32,
    kv_heads: u32,
    dim4: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slot_mapping: array<u32>;
@if(kv_f16) @group(0) @binding(3) var<storage, read_write> k_cache: array<vec2<u32>>;
@if(kv_f16) @group(0) @binding(4) var<storage, read_write> v_cache: array<vec2<u32>>;
@if(!kv_f16) @group(0) @binding(3) var<storage, read_write> k_cache: array<vec4<f32>>;
@if(!kv_f16) @group(0) @binding(4) var<storage, read_write> v_cache: array<vec4<f32>>;

@if(kv_f16)
fn pack(v: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

@if(!kv_f16)
fn pack(v: vec4<f32>) -> vec4<f32> {
    return v;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let width = params.kv_heads * params.dim4;
    if index >= params.tokens * width {
        return;
    }
    let slot = slot_mapping[index / width];
    let head = (index % width) / params.dim4;
    let to = kv_index(slot, params.kv_heads, head, params.dim4) + index % params.dim4;
    k_cache[to] = pack(k[index]);
    v_cache[to] = pack(v[index]);
}
