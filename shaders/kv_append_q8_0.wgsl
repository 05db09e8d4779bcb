// Writes each token's K and V into the cache at its slot as q8_0: blocks of 32 signed bytes with an f16 scale, rounded as
// ggml rounds them. A thread a block of both, whose scales share a word. Mirrors kernels/kv_append_q8_0.rs.
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
@group(0) @binding(3) var<storage, read_write> k_cache: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> kv_scales: array<u32>;

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

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let head_blocks = params.dim4 / BLOCK4;
    let width = params.kv_heads * head_blocks;
    if index >= params.tokens * width {
        return;
    }
    let slot = slot_mapping[index / width];
    let head = (index % width) / head_blocks;
    let to = kv_index(slot, params.kv_heads, head, head_blocks) + index % head_blocks;
    var keys: array<vec4<f32>, BLOCK4>;
    var values: array<vec4<f32>, BLOCK4>;
    for (var i = 0u; i < BLOCK4; i++) {
        keys[i] = k[index * BLOCK4 + i];
        values[i] = v[index * BLOCK4 + i];
    }
    let a = quantize(keys);
    let b = quantize(values);
    k_cache[2u * to] = a.first;
    k_cache[2u * to + 1u] = a.second;
    v_cache[2u * to] = b.first;
    v_cache[2u * to + 1u] = b.second;
    kv_scales[to] = pack2x16float(vec2<f32>(a.scale, b.scale));
}
