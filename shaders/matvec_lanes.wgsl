// y[m] = W x[m] (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup owns some rows of W and takes 64 weights of each at once, loads eight elements of x, and shares
// them with the others. A workgroup is one subgroup and takes one row of x. Mirrors kernels/matvec_lanes.rs.
import package::blocks::{Block, load_block, load_scales, eight_codes, scale_and_min, PLACES};
@if(gated) import package::shared::activation::activate;
import package::shared::linear_io::{params, columns};
@if(!texels) import package::shared::linear_io::store;
@if(gated) import package::shared::linear_io::store_four;
@if(residual) import package::shared::split_norm::{add_four_to_stream, store_squares};
@if(unscaled) import package::shared::split_norm::{add_parts, inverse_rms, parts_of, squares_stride};
import package::shared::texels::place;
@if(unscaled) import package::shared::words8::words8;

@group(0) @binding(3) var x: texture_storage_2d<rgba32uint, read>;
@if(unscaled) @group(0) @binding(7) var<storage, read> squares: array<vec4<u64>>;

const LANES: u32 = 8u;
// Columns of y that a lane makes, neighbours: for each a row of W; with `gated` one of the first half, which makes its gate, and
// then one of the second.
@if(!four) const COLUMNS: u32 = 2u;
@if(four) const COLUMNS: u32 = 4u;
@if(!gated) const TURNS: u32 = 1u;
@if(gated) const TURNS: u32 = 2u;

// Sixteen elements of x, in the places of the codes that they meet, and their sum.
struct Sixteen {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    sum: f32,
}

fn share(lo: vec4<f32>, hi: vec4<f32>, sum: f32, i: u32) -> Sixteen {
    let lane = 2u * i;
    return Sixteen(
        subgroupShuffle(lo, lane),
        subgroupShuffle(hi, lane),
        subgroupShuffle(lo, lane + 1u),
        subgroupShuffle(hi, lane + 1u),
        subgroupShuffle(sum, lane) + subgroupShuffle(sum, lane + 1u),
    );
}

fn multiply(w: Block, i: u32, x: Sixteen) -> f32 {
    let p = eight_codes(w, 2u * i);
    let q = eight_codes(w, 2u * i + 1u);
    let sum = dot(x.a, p.lo) + dot(x.b, p.hi) + dot(x.c, q.lo) + dot(x.d, q.hi);
    let scale = scale_and_min(w, 2u * i);
    return scale.x * sum + scale.y * x.sum;
}

// A lane's share of the squares of a row of x, eight sums at a time. All lanes take the same number of turns.
@if(unscaled)
fn squares_of(row: u32, lane: u32) -> f32 {
    let parts = parts_of(params.k);
    let row0 = row * squares_stride(params.k);
    var sum = 0.0;
    for (var part0 = 0u; part0 < parts; part0 += 8u * LANES) {
        let part = part0 + 8u * lane;
        if part < parts {
            let words = words8(squares[(row0 + part) / 8u]);
            sum += add_parts(bitcast<vec4<f32>>(words.lo), part, parts);
            sum += add_parts(bitcast<vec4<f32>>(words.hi), part + 4u, parts);
        }
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let m = wg.x;
    let workgroup = wg.z * grid.y + wg.y;
    let column = (workgroup * LANES + lane) * COLUMNS;
    // The folded grid has workgroups behind the last column.
    let within = min(column, (columns() - 1u) / COLUMNS * COLUMNS);
    let blocks = (params.k + 63u) / 64u;
    let parts = params.k / 8u;
    var sums = vec4<f32>();
    @if(gated) var gates = vec4<f32>();
    // One half of W after the other: at once, they are twice as many places of the memory to load from.
    for (var turn = 0u; turn < TURNS; turn++) {
        let row = turn * columns() + within;
        @if(gated) {
            gates = sums;
            sums = vec4<f32>();
        }
        for (var block = 0u; block < blocks; block++) {
            let scales = load_scales(row, block, blocks);
            let w0 = load_block(row, block, blocks, scales, 0u);
            let w1 = load_block(row + 1u, block, blocks, scales, 1u);
            @if(four) let w2 = load_block(row + 2u, block, blocks, scales, 2u);
            @if(four) let w3 = load_block(row + 3u, block, blocks, scales, 3u);
            // Half of the last block may lie beyond the row, where the weights are zeros.
            let own = 2u * (m * parts + min(block * 8u + lane, parts - 1u));
            let lo = bitcast<vec4<f32>>(textureLoad(x, place(own)));
            let hi = bitcast<vec4<f32>>(textureLoad(x, place(own + 1u)));
            let sum = dot(lo, vec4<f32>(1.0)) + dot(hi, vec4<f32>(1.0));
            let x0 = share(lo * PLACES, hi * PLACES, sum, 0u);
            let x1 = share(lo * PLACES, hi * PLACES, sum, 1u);
            let x2 = share(lo * PLACES, hi * PLACES, sum, 2u);
            let x3 = share(lo * PLACES, hi * PLACES, sum, 3u);
            sums.x += multiply(w0, 0u, x0) + multiply(w0, 1u, x1) + multiply(w0, 2u, x2) + multiply(w0, 3u, x3);
            sums.y += multiply(w1, 0u, x0) + multiply(w1, 1u, x1) + multiply(w1, 2u, x2) + multiply(w1, 3u, x3);
            @if(four) {
                sums.z += multiply(w2, 0u, x0) + multiply(w2, 1u, x1) + multiply(w2, 2u, x2) + multiply(w2, 3u, x3);
                sums.w += multiply(w3, 0u, x0) + multiply(w3, 1u, x1) + multiply(w3, 2u, x2) + multiply(w3, 3u, x3);
            }
        }
    }
    @if(unscaled) {
        let scale = inverse_rms(subgroupAdd(squares_of(m, lane)));
        sums *= scale;
        @if(gated) {
            gates *= scale;
        }
    }
    @if(gated) sums *= activate(gates);
    @if(!texels) {
        store(m, column, sums.x);
        store(m, column + 1u, sums.y);
    }
    @if(!texels && four) {
        store(m, column + 2u, sums.z);
        store(m, column + 3u, sums.w);
    }
    // Of a texel's columns the second half is the next lane's.
    @if(texels && !four) sums = vec4<f32>(sums.xy, subgroupShuffleXor(sums.xy, 1u));
    let has_texel = column % 4u == 0u;
    @if(gated) if has_texel {
        store_four(m, column, sums);
    }
    @if(residual) {
        var sum_of_squares = 0.0;
        if has_texel {
            sum_of_squares = add_four_to_stream(m, column, sums);
        }
        // Of the lanes that make a part, sixteen columns.
        sum_of_squares += subgroupShuffleXor(sum_of_squares, 1u);
        sum_of_squares += subgroupShuffleXor(sum_of_squares, 2u);
        @if(!four) sum_of_squares += subgroupShuffleXor(sum_of_squares, 4u);
        if column % params.part == 0u && column < columns() {
            store_squares(m, column / params.part, sum_of_squares);
        }
    }
}
