// y[m] = W x[m] (+ bias) for the M rows of decode, M small. A workgroup makes ROWS outputs of each; its threads split k.
// Reads each weight once for all M rows; more rows take more workgroups along x. Mirrors kernels/matvec.rs.
import package::weights::{load_group, dequantize};
import package::shared::linear_io::{params, store};
import package::constants::{WG, ROWS, M};

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const OUTPUTS: u32 = ROWS * M;
// Partial sums: one a thread, or one a subgroup (which has four threads at least).
@if(!subgroups) const PARTIALS: u32 = WG;
@if(subgroups) const PARTIALS: u32 = WG / 4u;
var<workgroup> partials: array<f32, PARTIALS * OUTPUTS>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @if(subgroups) @builtin(subgroup_id) subgroup: u32,
    @if(subgroups) @builtin(num_subgroups) subgroups: u32,
    @if(subgroups) @builtin(subgroup_invocation_id) lane: u32,
) {
    let m0 = wg.x * M;
    let row0 = (wg.z * grid.y + wg.y) * ROWS;
    if row0 >= params.n {
        return;
    }
    let groups = params.k / 32u;
    var sums: array<f32, OUTPUTS>;
    // All threads take the same number of turns, so that they are together again for the subgroup's sum.
    for (var part0 = 0u; part0 < groups * 4u; part0 += WG) {
        let part = part0 + thread;
        if part >= groups * 4u {
            continue;
        }
        var lo: array<vec4<f32>, M>;
        var hi: array<vec4<f32>, M>;
        for (var m = 0u; m < M; m++) {
            let at = min(m0 + m, params.m - 1u) * (params.k / 4u) + part * 2u;
            lo[m] = x[at];
            hi[m] = x[at + 1u];
        }
        for (var r = 0u; r < ROWS; r++) {
            let row = min(row0 + r, params.n - 1u);
            let w = dequantize(load_group(row, part / 4u, groups), part % 4u);
            for (var m = 0u; m < M; m++) {
                sums[r * M + m] += dot(w.lo, lo[m]) + dot(w.hi, hi[m]);
            }
        }
    }

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
