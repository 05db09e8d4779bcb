// Turns Q and K by their positions, and writes K and V into the cache at each token's slot. A thread four elements. Mirrors
// kernels/rope_append.rs.
import package::constants::{D4, WG};
import package::shared::four::{Four, from_four, to_four};
import package::shared::kv_cache::kv_index;
import package::shared::kv_floats::{Stored, pack};
import package::shared::rope::{params, qkv, turned};

@group(0) @binding(2) var<storage, read> slot_mapping: array<u32>;
@group(0) @binding(3) var<storage, read_write> q: array<Four>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<Stored>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<Stored>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let token = wg.z * grid.y + wg.y;
    let vector = wg.x * WG + thread; // of the token's
    let end_k = params.heads + params.kv_heads; // of a token's heads: Q's, K's, V's
    let heads = end_k + params.kv_heads;
    let head = vector / D4;
    let i = vector % D4;
    if token >= params.tokens || head >= heads {
        return;
    }
    let at = token * heads * D4 + vector;
    if head < params.heads {
        q[token * params.heads * D4 + vector] = to_four(turned(at, token, i));
        return;
    }
    let slot = slot_mapping[token];
    if head < end_k {
        k_cache[kv_index(slot, params.kv_heads, head - params.heads, D4) + i] = pack(turned(at, token, i));
    } else {
        v_cache[kv_index(slot, params.kv_heads, head - end_k, D4) + i] = pack(from_four(qkv[at]));
    }
}
