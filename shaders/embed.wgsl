// x[t] = scale * table[token_ids[t]] for the tokens whose rows this shard of the table holds. A token with the upper bit is
// the place of one that the device has chosen itself. One thread makes eight elements. Mirrors kernels/embed.rs.
@if(!texels) import package::weights::{load_group, dequantize};
@if(texels) import package::blocks::{load_block, load_scales};
@if(texels) import package::shared::block_weights::dequantize;
import package::constants::WG;

struct Params {
    tokens: u32,
    dim: u32,
    row0: u32,
    rows: u32,
    scale: f32,
}
var<immediate> params: Params;

@group(0) @binding(3) var<storage, read> token_ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;

@group(0) @binding(5) var<storage, read> sampled: array<u32>;

const SAMPLED: u32 = 0x80000000u;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let parts = params.dim / 8u;
    let token = index / parts;
    if token >= params.tokens {
        return;
    }
    var id = token_ids[token];
    if (id & SAMPLED) != 0u {
        id = sampled[id & ~SAMPLED];
    }
    let row = id - params.row0; // wraps below row0, and is then too large
    if row >= params.rows {
        return;
    }
    let part = index % parts;
    @if(!texels) let w = dequantize(load_group(row, part / 4u, parts / 4u), part % 4u);
    @if(texels) let blocks = (parts + 7u) / 8u;
    @if(texels) let scales = load_scales(row, part / 8u, blocks);
    @if(texels) let w = dequantize(load_block(row, part / 8u, blocks, scales, row % 4u), part % 8u);
    x[index * 2u] = params.scale * w.lo;
    x[index * 2u + 1u] = params.scale * w.hi;
}
