// y[m] = W x[m] (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup owns four rows of W, loads one element of x, and broadcasts it to the others.
// A workgroup is one subgroup and takes M rows of x; more rows take more workgroups along x. Mirrors kernels/matvec_lanes.rs.
import package::weights::{load_group, dequantize};
import package::shared::linear_io::{params, store};
import package::constants::M;

@group(0) @binding(3) var<storage, read> x: array<f32>;

const LANES: u32 = 8u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let m0 = wg.x * M;
    let row = (wg.z * grid.y + wg.y) * LANES * 4u + lane;
    let last = params.n - 1u;
    let groups = params.k / 32u;
    let parts = params.k / (8u * groups); // 4, unseen by the compiler: unrolled, the loop takes seconds to compile
    // A component a row of W.
    var sums: array<vec4<f32>, M>;
    for (var group = 0u; group < groups; group++) {
        let g0 = load_group(min(row, last), group, groups);
        let g1 = load_group(min(row + LANES, last), group, groups);
        let g2 = load_group(min(row + 2u * LANES, last), group, groups);
        let g3 = load_group(min(row + 3u * LANES, last), group, groups);
        for (var part = 0u; part < parts; part++) {
            let w0 = dequantize(g0, part);
            let w1 = dequantize(g1, part);
            let w2 = dequantize(g2, part);
            let w3 = dequantize(g3, part);
            let lo = mat4x4<f32>(w0.lo, w1.lo, w2.lo, w3.lo);
            let hi = mat4x4<f32>(w0.hi, w1.hi, w2.hi, w3.hi);
            for (var m = 0u; m < M; m++) {
                let own = x[min(m0 + m, params.m - 1u) * params.k + group * 32u + part * 8u + lane];
                let x_lo = vec4<f32>(
                    subgroupBroadcast(own, 0u),
                    subgroupBroadcast(own, 1u),
                    subgroupBroadcast(own, 2u),
                    subgroupBroadcast(own, 3u),
                );
                let x_hi = vec4<f32>(
                    subgroupBroadcast(own, 4u),
                    subgroupBroadcast(own, 5u),
                    subgroupBroadcast(own, 6u),
                    subgroupBroadcast(own, 7u),
                );
                sums[m] += x_lo * lo + x_hi * hi;
            }
        }
    }
    for (var m = 0u; m < min(M, params.m - m0); m++) {
        store(m0 + m, row, sums[m].x);
        store(m0 + m, row + LANES, sums[m].y);
        store(m0 + m, row + 2u * LANES, sums[m].z);
        store(m0 + m, row + 3u * LANES, sums[m].w);
    }
}
