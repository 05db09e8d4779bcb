// y[m] = W x[m] (+ bias) for the M rows of decode, M small, with x in blocks of q8_0: the codes of weights meet those of x
// four at a time, and their sums are scaled once for sixteen. A workgroup multiplies ROWS rows of W; its threads
// split k. Reads each weight once for all M rows; more rows take more workgroups along x. Mirrors kernels/matvec_dot4.rs.
import package::codes::load_sixteen;
import package::constants::{WG, ROWS, M};
import package::shared::linear_io::{params, columns};
import package::shared::matvec_sums::{OUTPUTS, COLUMNS, weight_row, store_sums};
import package::shared::sixteen::{dot16, sum16};

@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>; // codes, a group two vectors
@group(0) @binding(6) var<storage, read> x_scales: array<f32>;

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
    for (var half0 = 0u; half0 < groups * 2u; half0 += WG) {
        let half = half0 + thread;
        if half >= groups * 2u {
            continue;
        }
        var codes: array<vec4<u32>, M>;
        var scales: array<f32, M>;
        var totals: array<f32, M>;
        for (var m = 0u; m < M; m++) {
            let at = min(m0 + m, params.m - 1u) * groups * 2u + half;
            codes[m] = x[at];
            scales[m] = x_scales[at / 2u];
            totals[m] = sum16(codes[m]);
        }
        for (var r = 0u; r < ROWS; r++) {
            let w = load_sixteen(weight_row(column0, r), half, groups);
            for (var m = 0u; m < M; m++) {
                let sum = w.scale * f32(dot16(w.codes, codes[m])) + w.min * totals[m];
                sums[r * M + m] += scales[m] * sum;
            }
        }
    }
    @if(!subgroups) store_sums(sums, thread, m0, column0);
    @if(subgroups) store_sums(sums, thread, m0, column0, subgroup, subgroups, lane);
}
