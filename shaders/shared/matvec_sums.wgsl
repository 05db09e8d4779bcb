// What the threads of a workgroup of WG have summed up, each over its part of k: added, and stored.
import package::constants::{WG, ROWS, M};
import package::shared::linear_io::{params, columns, store, store_gated};
@if(residual) import package::shared::split_norm::{add_to_stream, store_squares};
@if(unscaled) import package::shared::split_norm::{add_parts, inverse_rms, parts_of, squares_stride};

const OUTPUTS: u32 = ROWS * M;
// All that is summed: with `unscaled` also the squares of each row of x.
@if(!unscaled) const SUMS: u32 = OUTPUTS;
@if(unscaled) const SUMS: u32 = OUTPUTS + M;
// Elements of a row of y that a workgroup makes: two rows of W make one where the first is its gate.
@if(gated) const COLUMNS: u32 = ROWS / 2u;
@if(!gated) const COLUMNS: u32 = ROWS;
// Partial sums: one a thread, or one a subgroup (which has four threads at least).
@if(!subgroups) const PARTIALS: u32 = WG;
@if(subgroups) const PARTIALS: u32 = WG / 4u;
var<workgroup> partials: array<f32, PARTIALS * SUMS>;
@if(unscaled) @group(0) @binding(7) var<storage, read> squares: array<vec4<f32>>;
@if(residual) var<workgroup> new_squares: array<f32, COLUMNS * M>;

// The row of W that sum `r` of a workgroup is of.
fn weight_row(column0: u32, r: u32) -> u32 {
    @if(gated) return min(column0 + r / 2u, columns() - 1u) + (r % 2u) * columns();
    @if(!gated) return min(column0 + r, columns() - 1u);
}

// Sum `i` of all threads.
fn total(i: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var p = 0u; p < count; p++) {
        sum += partials[p * SUMS + i];
    }
    return sum;
}

// A thread's share of the squares of a row of x. All threads take the same number of turns, so that they are together again
// for the subgroup's sum.
@if(unscaled)
fn squares_of(row: u32, thread: u32) -> f32 {
    let parts = parts_of(params.k);
    let row0 = row * squares_stride(params.k) / 4u;
    var sum = 0.0;
    for (var part0 = 0u; part0 < parts; part0 += 4u * WG) {
        let part = part0 + 4u * thread;
        if part < parts {
            sum += add_parts(squares[row0 + part / 4u], part, parts);
        }
    }
    return sum;
}

// Keeps sum `i` of a thread, or of its subgroup.
@if(!subgroups)
fn keep(i: u32, sum: f32, thread: u32) {
    partials[thread * SUMS + i] = sum;
}

@if(subgroups)
fn keep(i: u32, sum: f32, subgroup: u32, lane: u32) {
    let subgroup_sum = subgroupAdd(sum);
    if lane == 0u {
        partials[subgroup * SUMS + i] = subgroup_sum;
    }
}

// The workgroup's part of y, from the sums of every thread: sum `r * M + m` is of row `r` of W and row `m` of x.
fn store_sums(
    sums: array<f32, OUTPUTS>,
    thread: u32,
    m0: u32,
    column0: u32,
    @if(subgroups) subgroup: u32,
    @if(subgroups) subgroups: u32,
    @if(subgroups) lane: u32,
) {
    @if(!subgroups) let count = WG;
    @if(subgroups) let count = subgroups;
    for (var i = 0u; i < OUTPUTS; i++) {
        @if(!subgroups) keep(i, sums[i], thread);
        @if(subgroups) keep(i, sums[i], subgroup, lane);
    }
    @if(unscaled)
    for (var m = 0u; m < M; m++) {
        let share = squares_of(min(m0 + m, params.m - 1u), thread);
        @if(!subgroups) keep(OUTPUTS + m, share, thread);
        @if(subgroups) keep(OUTPUTS + m, share, subgroup, lane);
    }
    workgroupBarrier();

    for (var i = thread; i < COLUMNS * M; i += WG) {
        let m = i % M;
        let column = i / M;
        @if(!unscaled) let scale = 1.0;
        @if(unscaled) let scale = inverse_rms(total(OUTPUTS + m, count));
        @if(!gated && !residual) {
            store(m0 + m, column0 + column, scale * total(i, count));
        }
        @if(gated) {
            let gate = scale * total(2u * column * M + m, count);
            let up = scale * total((2u * column + 1u) * M + m, count);
            store_gated(m0 + m, column0 + column, gate, up);
        }
        @if(residual) {
            new_squares[i] = add_to_stream(m0 + m, column0 + column, total(i, count));
        }
    }
    @if(residual) {
        workgroupBarrier();
        if thread < M && m0 + thread < params.m {
            var sum = 0.0;
            for (var column = 0u; column < COLUMNS; column++) {
                sum += new_squares[column * M + thread];
            }
            store_squares(m0 + thread, column0 / COLUMNS, sum);
        }
    }
}
