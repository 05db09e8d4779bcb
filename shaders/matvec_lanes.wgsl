// y[m] = W x[m] (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup owns some rows of W and takes 64 weights of each at once, loads eight elements of x, and shares
// them with the others, as floats or `rounded`. A workgroup is one subgroup and takes one row of x. Mirrors
// kernels/matvec_lanes.rs.
import package::blocks::{load_block, load_scales};
@if(rounded) import package::blocks::product;
@if(rounded) import package::shared::rounded::{own, share};
@if(!rounded) import package::shared::unrounded::{own, share, product};
@if(gated) import package::shared::activation::activate;
import package::shared::linear_io::{params, columns};
@if(!wide) import package::shared::linear_io::store;
@if(wide) import package::shared::linear_io::store_four;
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
            let texel = 2u * (m * parts + min(block * 8u + lane, parts - 1u));
            let lo = bitcast<vec4<f32>>(textureLoad(x, place(texel)));
            let hi = bitcast<vec4<f32>>(textureLoad(x, place(texel + 1u)));
            let held = own(lo, hi);
            let first = share(held, 0u);
            let second = share(held, 1u);
            sums.x += product(w0, 0u, first) + product(w0, 1u, second);
            sums.y += product(w1, 0u, first) + product(w1, 1u, second);
            @if(four) {
                sums.z += product(w2, 0u, first) + product(w2, 1u, second);
                sums.w += product(w3, 0u, first) + product(w3, 1u, second);
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
    @if(!wide) {
        store(m, column, sums.x);
        store(m, column + 1u, sums.y);
    }
    @if(!wide && four) {
        store(m, column + 2u, sums.z);
        store(m, column + 3u, sums.w);
    }
    // Of four columns the second half is the next lane's.
    @if(wide && !four) sums = vec4<f32>(sums.xy, subgroupShuffleXor(sums.xy, 1u));
    @if(four) let has_four = true;
    @if(!four) let has_four = lane % 2u == 0u;
    @if(wide && !residual) if has_four {
        store_four(m, column, sums);
    }
    @if(residual) {
        var sum_of_squares = 0.0;
        if has_four {
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
