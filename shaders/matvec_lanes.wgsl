// y[m] = W x[m] (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup owns whole rows of W, loads one element of x, and broadcasts it to the others.
// A workgroup is one subgroup. Mirrors kernels/matvec_lanes.rs.
import package::weights::{load_group, dequantize};
import package::constants::{ROWS, M};

struct Params {
    m: u32,
    n: u32,
    k: u32,
    y_stride: u32,
    y_column: u32,
}
var<immediate> params: Params;

@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@if(bias) @group(0) @binding(5) var<storage, read> bias: array<f32>;

const LANES: u32 = 8u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let row0 = (wg.y * grid.x + wg.x) * LANES * ROWS + lane;
    let groups = params.k / 32u;
    let parts = params.k / (8u * groups); // 4, unseen by the compiler: unrolled, the loop takes seconds to compile
    var sums: array<f32, ROWS * M>;
    for (var group = 0u; group < groups; group++) {
        for (var r = 0u; r < ROWS; r++) {
            let g = load_group(min(row0 + r * LANES, params.n - 1u), group, groups);
            for (var part = 0u; part < parts; part++) {
                let w = dequantize(g, part);
                for (var m = 0u; m < M; m++) {
                    let own = x[min(m, params.m - 1u) * params.k + group * 32u + part * 8u + lane];
                    let lo = vec4<f32>(
                        subgroupBroadcast(own, 0u),
                        subgroupBroadcast(own, 1u),
                        subgroupBroadcast(own, 2u),
                        subgroupBroadcast(own, 3u),
                    );
                    let hi = vec4<f32>(
                        subgroupBroadcast(own, 4u),
                        subgroupBroadcast(own, 5u),
                        subgroupBroadcast(own, 6u),
                        subgroupBroadcast(own, 7u),
                    );
                    sums[r * M + m] += dot(w.lo, lo) + dot(w.hi, hi);
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let row = row0 + r * LANES;
        if row < params.n {
            for (var m = 0u; m < min(M, params.m); m++) {
                var sum = sums[r * M + m];
                @if(bias) {
                    sum += bias[params.y_column + row];
                }
                y[m * params.y_stride + params.y_column + row] = sum;
            }
        }
    }
}
