// y[m] = W x[m] (+ bias) for the M rows of decode, M small. A workgroup multiplies ROWS rows of W; its threads split k.
// Reads each weight once for all M rows; more rows take more workgroups along x. Mirrors kernels/matvec.rs.
import package::weights::{load_group, dequantize};
import package::shared::linear_io::{params, columns};
import package::shared::matvec_sums::{OUTPUTS, COLUMNS, weight_row, store_sums};
import package::constants::{WG, ROWS, M};

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

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
    let column0 = (wg.z * grid.y + wg.y) * COLUMNS;
    if column0 >= columns() {
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
            let row = weight_row(column0, r);
            let w = dequantize(load_group(row, part / 4u, groups), part % 4u);
            for (var m = 0u; m < M; m++) {
                sums[r * M + m] += dot(w.lo, lo[m]) + dot(w.hi, hi[m]);
            }
        }
    }
    @if(!subgroups) store_sums(sums, thread, m0, column0);
    @if(subgroups) store_sums(sums, thread, m0, column0, subgroup, subgroups, lane);
}
