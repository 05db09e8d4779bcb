// A token's queries and keys, turned by its position. Mirrors kernels/rope_append.rs.
import package::shared::four::{Four, from_four};
@if(adjacent) import package::shared::rotation::turn_neighbours;
@if(!adjacent) import package::shared::rotation::turn_halves;

struct Params {
    tokens: u32,
    heads: u32,
    kv_heads: u32,
    dim4: u32, // vectors of four elements in a head
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> qkv: array<Four>;   // of a token: the heads of Q, of K, of V
@group(0) @binding(1) var<storage, read> turns: array<Four>; // of a token: two pairs' (cos, sin) a vector

// A token's vector i of a head of Q or K, which lies at `at`.
@if(adjacent)
fn turned(at: u32, token: u32, i: u32) -> vec4<f32> {
    return turn_neighbours(from_four(qkv[at]), from_four(turns[token * params.dim4 + i]));
}

@if(!adjacent)
fn turned(at: u32, token: u32, i: u32) -> vec4<f32> {
    let half = params.dim4 / 2u;
    let first = i < half;
    let partner = from_four(qkv[select(at - half, at + half, first)]);
    let turn = token * params.dim4 + 2u * select(i - half, i, first);
    return turn_halves(from_four(qkv[at]), partner, first, from_four(turns[turn]), from_four(turns[turn + 1u]));
}
