// y = x W^T (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup loads its own rows of x and shares them with the others, and owns eight columns of y, whose
// weights it takes 64 at a time. A workgroup is one subgroup and makes 8 or 16 rows by 64 columns; with `gated` by 32 columns of
// a gate and as many of what goes through it. Mirrors kernels/matmul_lanes.rs.
import package::blocks::{load_block, load_scales};
import package::shared::block_weights::dequantize;
@if(gated) import package::shared::activation::activate;
import package::shared::linear_io::{params, columns};
@if(!wide) import package::shared::linear_io::store;
@if(wide) import package::shared::linear_io::store_four;
import package::shared::texels::place;

@group(0) @binding(3) var x: texture_storage_2d<rgba32uint, read>;

const LANES: u32 = 8u;
@if(!sixteen) const ROWS: u32 = 8u;
@if(sixteen) const ROWS: u32 = 16u;

// Eight elements of a row of x.
struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

// Eight weights of each of a lane's columns: a row of a matrix is a column of y.
struct Tile {
    lo_a: mat4x4<f32>,
    hi_a: mat4x4<f32>,
    lo_b: mat4x4<f32>,
    hi_b: mat4x4<f32>,
}

// The sums of a row of y, a component a column.
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
}

fn load_x(index: u32) -> Eight {
    let lo = textureLoad(x, place(2u * index));
    let hi = textureLoad(x, place(2u * index + 1u));
    return Eight(bitcast<vec4<f32>>(lo), bitcast<vec4<f32>>(hi));
}

// Adds the products of the row whose elements the lane holds.
fn add(sums: Sums, own: Eight, lane: u32, w: Tile) -> Sums {
    let lo = subgroupShuffle(own.lo, lane);
    let hi = subgroupShuffle(own.hi, lane);
    return Sums(sums.a + (lo * w.lo_a + hi * w.hi_a), sums.b + (lo * w.lo_b + hi * w.hi_b));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let row0 = wg.x * ROWS;
    // A lane's columns are two times four neighbours, or four with those of their gates.
    @if(!gated) let column = wg.y * 8u * LANES + 4u * lane;
    @if(gated) let column = wg.y * 4u * LANES + 4u * lane;
    let last = (columns() - 1u) / 4u * 4u;
    let weights = min(column, last);
    @if(!gated) let behind = min(column + 4u * LANES, last);
    @if(gated) let behind = columns() + weights;
    let blocks = (params.k + 63u) / 64u;
    let parts = params.k / 8u;
    let x0 = min(row0 + lane, params.m - 1u) * parts;
    @if(sixteen) let x1 = min(row0 + LANES + lane, params.m - 1u) * parts;
    // Named, not arrays, so that they stay in registers.
    var s0 = Sums();
    var s1 = Sums();
    var s2 = Sums();
    var s3 = Sums();
    var s4 = Sums();
    var s5 = Sums();
    var s6 = Sums();
    var s7 = Sums();
    @if(sixteen) var s8 = Sums();
    @if(sixteen) var s9 = Sums();
    @if(sixteen) var s10 = Sums();
    @if(sixteen) var s11 = Sums();
    @if(sixteen) var s12 = Sums();
    @if(sixteen) var s13 = Sums();
    @if(sixteen) var s14 = Sums();
    @if(sixteen) var s15 = Sums();
    for (var block = 0u; block < blocks; block++) {
        let scales = load_scales(weights, block, blocks);
        let b0 = load_block(weights, block, blocks, scales, 0u);
        let b1 = load_block(weights + 1u, block, blocks, scales, 1u);
        let b2 = load_block(weights + 2u, block, blocks, scales, 2u);
        let b3 = load_block(weights + 3u, block, blocks, scales, 3u);
        let scales_behind = load_scales(behind, block, blocks);
        let b4 = load_block(behind, block, blocks, scales_behind, 0u);
        let b5 = load_block(behind + 1u, block, blocks, scales_behind, 1u);
        let b6 = load_block(behind + 2u, block, blocks, scales_behind, 2u);
        let b7 = load_block(behind + 3u, block, blocks, scales_behind, 3u);
        for (var part = block * 8u; part < min(block * 8u + 8u, parts); part++) {
            let own0 = load_x(x0 + part);
            @if(sixteen) let own1 = load_x(x1 + part);
            let w0 = dequantize(b0, part & 7u);
            let w1 = dequantize(b1, part & 7u);
            let w2 = dequantize(b2, part & 7u);
            let w3 = dequantize(b3, part & 7u);
            let w4 = dequantize(b4, part & 7u);
            let w5 = dequantize(b5, part & 7u);
            let w6 = dequantize(b6, part & 7u);
            let w7 = dequantize(b7, part & 7u);
            let w = Tile(
                mat4x4<f32>(w0.lo, w1.lo, w2.lo, w3.lo),
                mat4x4<f32>(w0.hi, w1.hi, w2.hi, w3.hi),
                mat4x4<f32>(w4.lo, w5.lo, w6.lo, w7.lo),
                mat4x4<f32>(w4.hi, w5.hi, w6.hi, w7.hi),
            );
            s0 = add(s0, own0, 0u, w);
            s1 = add(s1, own0, 1u, w);
            s2 = add(s2, own0, 2u, w);
            s3 = add(s3, own0, 3u, w);
            s4 = add(s4, own0, 4u, w);
            s5 = add(s5, own0, 5u, w);
            s6 = add(s6, own0, 6u, w);
            s7 = add(s7, own0, 7u, w);
            @if(sixteen) {
                s8 = add(s8, own1, 0u, w);
                s9 = add(s9, own1, 1u, w);
                s10 = add(s10, own1, 2u, w);
                s11 = add(s11, own1, 3u, w);
                s12 = add(s12, own1, 4u, w);
                s13 = add(s13, own1, 5u, w);
                s14 = add(s14, own1, 6u, w);
                s15 = add(s15, own1, 7u, w);
            }
        }
    }
    // One row after the other becomes the first, since a store compiles to as much as a hundred products.
    for (var row = row0; row < min(row0 + ROWS, params.m); row++) {
        @if(gated) store_four(row, column, activate(s0.a) * s0.b);
        @if(!gated && wide) {
            store_four(row, column, s0.a);
            store_four(row, column + 4u * LANES, s0.b);
        }
        @if(!wide) {
            store(row, column, s0.a.x);
            store(row, column + 1u, s0.a.y);
            store(row, column + 2u, s0.a.z);
            store(row, column + 3u, s0.a.w);
            store(row, column + 4u * LANES, s0.b.x);
            store(row, column + 4u * LANES + 1u, s0.b.y);
            store(row, column + 4u * LANES + 2u, s0.b.z);
            store(row, column + 4u * LANES + 3u, s0.b.w);
        }
        s0 = s1;
        s1 = s2;
        s2 = s3;
        s3 = s4;
        s4 = s5;
        s5 = s6;
        s6 = s7;
        @if(sixteen) {
            s7 = s8;
            s8 = s9;
            s9 = s10;
            s10 = s11;
            s11 = s12;
            s12 = s13;
            s13 = s14;
            s14 = s15;
        }
    }
}
