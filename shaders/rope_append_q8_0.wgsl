// Turns Q and K by their positions, and writes K and V into the cache at each token's slot as q8_0: blocks of 32 signed
// bytes with an f16 scale. A thread four elements of Q, or of both K and V, whose blocks' scales
// share a word; the eight threads of a block are neighbours. Mirrors kernels/rope_append_q8_0.rs.
import package::constants::{D4, WG};
import package::shared::four::{Four, from_four, to_four};
import package::shared::kv_cache::kv_index;
import package::shared::q8_block::{BLOCK4, largest, four_codes};
import package::shared::rope::{params, qkv, turned};

@group(0) @binding(2) var<storage, read> slot_mapping: array<u32>;
@group(0) @binding(3) var<storage, read_write> q: array<Four>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(6) var<storage, read_write> kv_scales: array<u32>;

// The largest magnitudes of each thread's four elements of K and of V.
var<workgroup> magnitudes: array<vec2<u32>, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let token = wg.z * grid.y + wg.y;
    let vector = wg.x * WG + thread; // of the token's
    let heads = params.heads + params.kv_heads; // of a token's: Q's, then K's and V's
    let head = vector / D4;
    let i = vector % D4;
    let is_there = token < params.tokens && head < heads;
    var key = vec4<f32>();
    var value = vec4<f32>();
    if is_there {
        let at = token * (heads + params.kv_heads) * D4 + vector;
        key = turned(at, token, i);
        if head < params.heads {
            q[token * params.heads * D4 + vector] = to_four(key);
        } else {
            value = from_four(qkv[at + params.kv_heads * D4]);
        }
    }
    magnitudes[thread] = vec2<u32>(largest(key), largest(value));
    workgroupBarrier();
    if !is_there || head < params.heads {
        return;
    }
    var bits = vec2<u32>();
    for (var other = 0u; other < BLOCK4; other++) {
        bits = max(bits, magnitudes[thread / BLOCK4 * BLOCK4 + other]);
    }
    let scale = bitcast<vec2<f32>>(bits) / 127.0;
    // Of a block of next to nothing, whose scale is 0 as an f16, the inverse would overflow.
    let inverse = select(vec2<f32>(), 1.0 / scale, scale > vec2<f32>(1e-30));
    let to = kv_index(slot_mapping[token], params.kv_heads, head - params.heads, D4) + i;
    k_cache[to] = four_codes(key, inverse.x);
    v_cache[to] = four_codes(value, inverse.y);
    if i % BLOCK4 == 0u {
        kv_scales[to / BLOCK4] = pack2x16float(scale);
    }
}
