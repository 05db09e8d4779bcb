// y = x W^T (+ bias) for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: each of the
// eight lanes of a subgroup loads its own rows of x and shares them by broadcast, and owns four columns of y.
// A workgroup is one subgroup and makes 16 rows by 32 columns. Mirrors kernels/matmul_lanes.rs.
import package::weights::{Group, load_group, dequantize};
import package::shared::linear_io::{params, store};

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const LANES: u32 = 8u;

fn store_row(row: u32, column: u32, sums: vec4<f32>) {
    store(row, column, sums.x);
    store(row, column + LANES, sums.y);
    store(row, column + 2u * LANES, sums.z);
    store(row, column + 3u * LANES, sums.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let row0 = wg.x * 2u * LANES;
    let column0 = wg.y * 4u * LANES + lane;
    let last = params.n - 1u;
    let groups = params.k / 32u;
    let parts = params.k / (8u * groups); // 4, unseen by the compiler: unrolled, the loop takes seconds to compile
    let x0 = min(row0 + lane, params.m - 1u) * (params.k / 4u);
    let x1 = min(row0 + LANES + lane, params.m - 1u) * (params.k / 4u);
    // One accumulator a row, a component a column: named, not an array, so that they stay in registers.
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    var s8 = vec4<f32>();
    var s9 = vec4<f32>();
    var s10 = vec4<f32>();
    var s11 = vec4<f32>();
    var s12 = vec4<f32>();
    var s13 = vec4<f32>();
    var s14 = vec4<f32>();
    var s15 = vec4<f32>();
    for (var group = 0u; group < groups; group++) {
        let g0 = load_group(min(column0, last), group, groups);
        let g1 = load_group(min(column0 + LANES, last), group, groups);
        let g2 = load_group(min(column0 + 2u * LANES, last), group, groups);
        let g3 = load_group(min(column0 + 3u * LANES, last), group, groups);
        for (var part = 0u; part < parts; part++) {
            let w0 = dequantize(g0, part);
            let w1 = dequantize(g1, part);
            let w2 = dequantize(g2, part);
            let w3 = dequantize(g3, part);
            let lo = mat4x4<f32>(w0.lo, w1.lo, w2.lo, w3.lo);
            let hi = mat4x4<f32>(w0.hi, w1.hi, w2.hi, w3.hi);
            let at = group * 8u + part * 2u;
            let a0 = x[x0 + at];
            let a1 = x[x0 + at + 1u];
            let b0 = x[x1 + at];
            let b1 = x[x1 + at + 1u];
            s0 += subgroupBroadcast(a0, 0u) * lo + subgroupBroadcast(a1, 0u) * hi;
            s1 += subgroupBroadcast(a0, 1u) * lo + subgroupBroadcast(a1, 1u) * hi;
            s2 += subgroupBroadcast(a0, 2u) * lo + subgroupBroadcast(a1, 2u) * hi;
            s3 += subgroupBroadcast(a0, 3u) * lo + subgroupBroadcast(a1, 3u) * hi;
            s4 += subgroupBroadcast(a0, 4u) * lo + subgroupBroadcast(a1, 4u) * hi;
            s5 += subgroupBroadcast(a0, 5u) * lo + subgroupBroadcast(a1, 5u) * hi;
            s6 += subgroupBroadcast(a0, 6u) * lo + subgroupBroadcast(a1, 6u) * hi;
            s7 += subgroupBroadcast(a0, 7u) * lo + subgroupBroadcast(a1, 7u) * hi;
            s8 += subgroupBroadcast(b0, 0u) * lo + subgroupBroadcast(b1, 0u) * hi;
            s9 += subgroupBroadcast(b0, 1u) * lo + subgroupBroadcast(b1, 1u) * hi;
            s10 += subgroupBroadcast(b0, 2u) * lo + subgroupBroadcast(b1, 2u) * hi;
            s11 += subgroupBroadcast(b0, 3u) * lo + subgroupBroadcast(b1, 3u) * hi;
            s12 += subgroupBroadcast(b0, 4u) * lo + subgroupBroadcast(b1, 4u) * hi;
            s13 += subgroupBroadcast(b0, 5u) * lo + subgroupBroadcast(b1, 5u) * hi;
            s14 += subgroupBroadcast(b0, 6u) * lo + subgroupBroadcast(b1, 6u) * hi;
            s15 += subgroupBroadcast(b0, 7u) * lo + subgroupBroadcast(b1, 7u) * hi;
        }
    }
    store_row(row0, column0, s0);
    store_row(row0 + 1u, column0, s1);
    store_row(row0 + 2u, column0, s2);
    store_row(row0 + 3u, column0, s3);
    store_row(row0 + 4u, column0, s4);
    store_row(row0 + 5u, column0, s5);
    store_row(row0 + 6u, column0, s6);
    store_row(row0 + 7u, column0, s7);
    store_row(row0 + 8u, column0, s8);
    store_row(row0 + 9u, column0, s9);
    store_row(row0 + 10u, column0, s10);
    store_row(row0 + 11u, column0, s11);
    store_row(row0 + 12u, column0, s12);
    store_row(row0 + 13u, column0, s13);
    store_row(row0 + 14u, column0, s14);
    store_row(row0 + 15u, column0, s15);
}
