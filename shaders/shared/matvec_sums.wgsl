// What the threads of a workgroup of WG have summed up, each over its part of k: added, and stored.
import package::constants::{WG, ROWS, M};
import package::shared::linear_io::{columns, store, store_gated};

const OUTPUTS: u32 = ROWS * M;
// Elements of a row of y that a workgroup makes: two rows of W make one where the first is its gate.
@if(gated) const COLUMNS: u32 = ROWS / 2u;
@if(!gated) const COLUMNS: u32 = ROWS;
// Partial sums: one a thread, or one a subgroup (which has four threads at least).
@if(!subgroups) const PARTIALS: u32 = WG;
@if(subgroups) const PARTIALS: u32 = WG / 4u;
var<workgroup> partials: array<f32, PARTIALS * OUTPUTS>;

// The row of W that sum `r` of a workgroup is of.
fn weight_row(column0: u32, r: u32) -> u32 {
    @if(gated) return min(column0 + r / 2u, columns() - 1u) + (r % 2u) * columns();
    @if(!gated) return min(column0 + r, columns() - 1u);
}

// Sum `i` of all threads.
fn total(i: u32, count: u32) -> f32 {
    var sum = 0.0;
    for (var p = 0u; p < count; p++) {
        sum += partials[p * OUTPUTS + i];
    }
    return sum;
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
    @if(!subgroups) let slot = thread;
    @if(!subgroups) let count = WG;
    @if(!subgroups)
    for (var i = 0u; i < OUTPUTS; i++) {
        partials[slot * OUTPUTS + i] = sums[i];
    }
    @if(subgroups) let slot = subgroup;
    @if(subgroups) let count = subgroups;
    @if(subgroups)
    for (var i = 0u; i < OUTPUTS; i++) {
        let sum = subgroupAdd(sums[i]);
        if lane == 0u {
            partials[slot * OUTPUTS + i] = sum;
        }
    }
    workgroupBarrier();

    for (var i = thread; i < COLUMNS * M; i += WG) {
        let m = i % M;
        let column = i / M;
        @if(!gated) store(m0 + m, column0 + column, total(i, count));
        @if(gated) let gate = total(2u * column * M + m, count);
        @if(gated) let up = total((2u * column + 1u) * M + m, count);
        @if(gated) store_gated(m0 + m, column0 + column, gate, up);
    }
}
