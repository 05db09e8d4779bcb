// What the threads of a workgroup of WG have summed up, each over its part of k: added, and stored.
import package::constants::{WG, ROWS, M};
import package::shared::linear_io::store;

const OUTPUTS: u32 = ROWS * M;
// Partial sums: one a thread, or one a subgroup (which has four threads at least).
@if(!subgroups) const PARTIALS: u32 = WG;
@if(subgroups) const PARTIALS: u32 = WG / 4u;
var<workgroup> partials: array<f32, PARTIALS * OUTPUTS>;

// y[m0 + i % M][row0 + i / M] from sum i of every thread.
fn store_sums(
    sums: array<f32, OUTPUTS>,
    thread: u32,
    m0: u32,
    row0: u32,
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

    for (var i = thread; i < OUTPUTS; i += WG) {
        var sum = 0.0;
        for (var p = 0u; p < count; p++) {
            sum += partials[p * OUTPUTS + i];
        }
        store(m0 + i % M, row0 + i / M, sum);
    }
}
