// What the attention kernels take and give. Mirrors kernels/attention.rs.
struct Params {
    heads: u32,
    kv_heads: u32,
    page_stride: u32,
    window: u32, // 0: none; else a query sees itself and the window - 1 positions before it
    scale: f32,
    // The vectors of a head and the keys of a step again, as numbers that compilers cannot see: loops that read them here
    // are not unrolled, which would take some drivers seconds to compile.
    dim4: u32,
    keys: u32,
}
var<immediate> params: Params;

struct Sequence {
    row0: u32,     // its first token's row in the batch
    tokens: u32,   // how many tokens it has in the batch
    position0: u32, // its first token's position
    page_row: u32, // its row of the page table
}

// Four elements as the cache holds them.
@if(kv_f16) alias Cached = vec2<u32>;
@if(!kv_f16) alias Cached = vec4<f32>;

@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_cache: array<Cached>;
@group(0) @binding(2) var<storage, read> v_cache: array<Cached>;
@group(0) @binding(3) var<storage, read> page_table: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<Sequence>;
@group(0) @binding(5) var<storage, read> tiles: array<vec2<u32>>; // (sequence, first row within it)
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

@if(kv_f16)
fn unpack(w: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}

@if(!kv_f16)
fn unpack(v: vec4<f32>) -> vec4<f32> {
    return v;
}
