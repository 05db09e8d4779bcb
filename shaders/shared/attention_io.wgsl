// What the attention kernels take and give. Mirrors kernels/attention.rs.
import package::shared::attention_params::Sequence;
@if(!kv_q8_0) import package::shared::kv_floats::{Stored, unpack};
import package::shared::four::Four;

// A workgroup's share: rows of a sequence from row0 on, and which keys they attend to here.
struct Tile {
    sequence: u32,
    row0: u32, // counted over the sequence's (token, query head of one KV head) pairs
    first_key: u32,
    end_key: u32, // one behind the last; those behind the rows' positions do not count
}

// Four elements as the cache holds them (Stored), and as they are loaded (Cached): with q8_0, four codes, and the word with
// the scales of their blocks of K and V.
@if(kv_q8_0) alias Stored = u32;
@if(kv_q8_0) alias Cached = vec2<u32>;
@if(!kv_q8_0) alias Cached = Stored;

// With `appends`, of each token Q, K and V that do not turn yet, and the turns, as rope_append takes them (shared/rope).
@group(0) @binding(0) var<storage, read> q: array<Four>;
@if(appends) @group(0) @binding(7) var<storage, read> turns: array<Four>;
@if(!appends) @group(0) @binding(1) var<storage, read> k_cache: array<Stored>;
@if(!appends) @group(0) @binding(2) var<storage, read> v_cache: array<Stored>;
@if(appends) @group(0) @binding(1) var<storage, read_write> k_cache: array<Stored>;
@if(appends) @group(0) @binding(2) var<storage, read_write> v_cache: array<Stored>;
@group(0) @binding(3) var<storage, read> page_table: array<u32>;
@group(0) @binding(4) var<storage, read> sequences: array<Sequence>;
@group(0) @binding(5) var<storage, read> tiles: array<Tile>;
@group(0) @binding(6) var<storage, read_write> out: array<Four>;
@if(kv_q8_0) @group(0) @binding(7) var<storage, read> kv_scales: array<u32>; // a word a block of 32: K's f16, then V's

// Four elements of a key, `at` vectors of four from the cache's start.
@if(kv_q8_0)
fn load_key(at: u32) -> Cached {
    return Cached(k_cache[at], kv_scales[at / 8u]);
}

@if(!kv_q8_0)
fn load_key(at: u32) -> Cached {
    return k_cache[at];
}

@if(kv_q8_0)
fn load_value(at: u32) -> Cached {
    return Cached(v_cache[at], kv_scales[at / 8u]);
}

@if(!kv_q8_0)
fn load_value(at: u32) -> Cached {
    return v_cache[at];
}

@if(kv_q8_0)
fn unpack_key(w: Cached) -> vec4<f32> {
    return unpack2x16float(w.y).x * vec4<f32>(unpack4xI8(w.x));
}

@if(kv_q8_0)
fn unpack_value(w: Cached) -> vec4<f32> {
    return unpack2x16float(w.y).y * vec4<f32>(unpack4xI8(w.x));
}

@if(!kv_q8_0)
fn unpack_key(w: Cached) -> vec4<f32> {
    return unpack(w);
}

@if(!kv_q8_0)
fn unpack_value(w: Cached) -> vec4<f32> {
    return unpack(w);
}
