// Turns Q and K by their positions, and writes K and V into the cache at each token's slot as q8_0: blocks of 32 signed
// bytes with an f16 scale, rounded as ggml rounds them. A thread four elements of Q, or a block of both K and V, whose scales
// share a word. Mirrors kernels/rope_append_q8_0.rs.
import package::constants::WG;
import package::shared::kv_cache::kv_index;
import package::shared::rope::{params, qkv, turned};

@group(0) @binding(2) var<storage, read> slot_mapping: array<u32>;
@group(0) @binding(3) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> kv_scales: array<u32>;

const BLOCK4: u32 = 8u; // vectors of four of a block

struct Block {
    first: vec4<u32>,  // codes 0 to 15, four a word
    second: vec4<u32>,
    scale: f32,
}

// The largest magnitude, as bits: of numbers without a sign they are in the same order, infinity and NaN behind all others.
fn largest(v: vec4<f32>) -> u32 {
    let bits = bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu);
    return max(max(bits.x, bits.y), max(bits.z, bits.w));
}

// Four codes, halves rounded away from zero.
fn codes(v: vec4<f32>, inverse: f32) -> u32 {
    let x = v * inverse;
    return pack4xI8(vec4<i32>(sign(x) * floor(abs(x) + 0.5)));
}

fn quantize(values: array<vec4<f32>, BLOCK4>) -> Block {
    var bits = 0u;
    for (var i = 0u; i < BLOCK4; i++) {
        bits = max(bits, largest(values[i]));
    }
    let scale = bitcast<f32>(bits) / 127.0;
    // Of a block of next to nothing, whose scale is 0 as an f16, the inverse would overflow.
    let inverse = select(0.0, 1.0 / scale, scale > 1e-30);
    let first = vec4<u32>(
        codes(values[0], inverse),
        codes(values[1], inverse),
        codes(values[2], inverse),
        codes(values[3], inverse),
    );
    let second = vec4<u32>(
        codes(values[4], inverse),
        codes(values[5], inverse),
        codes(values[6], inverse),
        codes(values[7], inverse),
    );
    return Block(first, second, scale);
}

// Block `index` of all tokens' K and V.
fn append(index: u32) {
    let head_blocks = params.dim4 / BLOCK4;
    let width = params.kv_heads * head_blocks;
    let token = index / width;
    if token >= params.tokens {
        return;
    }
    let head = index % width / head_blocks;
    let block = index % head_blocks;
    let heads = params.heads + 2u * params.kv_heads; // of a token: Q's, K's, V's
    let first = block * BLOCK4;
    let key = (token * heads + params.heads + head) * params.dim4 + first;
    let value = key + params.kv_heads * params.dim4;
    var keys: array<vec4<f32>, BLOCK4>;
    var values: array<vec4<f32>, BLOCK4>;
    for (var i = 0u; i < BLOCK4; i++) {
        keys[i] = turned(key + i, token, first + i);
        values[i] = qkv[value + i];
    }
    let a = quantize(keys);
    let b = quantize(values);
    let to = kv_index(slot_mapping[token], params.kv_heads, head, head_blocks) + block;
    k_cache[2u * to] = a.first;
    k_cache[2u * to + 1u] = a.second;
    v_cache[2u * to] = b.first;
    v_cache[2u * to + 1u] = b.second;
    kv_scales[to] = pack2x16float(vec2<f32>(a.scale, b.scale));
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let width = params.heads * params.dim4;
    let queries = params.tokens * width;
    if index >= queries {
        append(index - queries);
        return;
    }
    let token = index / width;
    let at = token * (width + 2u * params.kv_heads * params.dim4) + index % width;
    q[index] = turned(at, token, index % params.dim4);
}
