// y = x W^T (+ bias): x [m, k], W [n, k], y [m, n] in a wider row. A workgroup of 16 x 16 threads makes a tile of
// 16 TM rows by 16 TN columns, TM x TN outputs a thread, from a group of 32 elements of k at a time in workgroup memory.
// Mirrors kernels/matmul.rs.
import package::weights::{load_group, dequantize};
import package::shared::linear_io::{params, store};
import package::constants::{TM, TN};

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const WG: u32 = 256u;
const BM: u32 = 16u * TM;
const BN: u32 = 16u * TN;
const BK4: u32 = 8u; // vectors of a group
var<workgroup> x_tile: array<vec4<f32>, BM * BK4>;
var<workgroup> w_tile: array<vec4<f32>, BN * BK4>;

// Where a tile has vector k4 of a row: turned by the row, so that threads of neighbouring rows hit different banks.
fn place(row: u32, k4: u32) -> u32 {
    return row * BK4 + (k4 ^ (row % BK4));
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row0 = wg.x * BM;
    let column0 = wg.y * BN;
    let groups = params.k / 32u;
    let depth = params.k / (4u * groups); // BK4, unseen by compilers: unrolled, the loop takes some drivers seconds to compile
    var sums: array<f32, TM * TN>;
    for (var group = 0u; group < groups; group++) {
        for (var turn = 0u; turn < BM * BK4 / WG; turn++) {
            let i = turn * WG + thread;
            let row = min(row0 + i / BK4, params.m - 1u);
            x_tile[place(i / BK4, i % BK4)] = x[(row * groups + group) * BK4 + i % BK4];
        }
        // A group's weights are four parts of eight: in a tile of 64 columns a part for each thread.
        if BN * 4u >= WG || thread < BN * 4u {
            let part = thread % 4u;
            let column = thread / 4u;
            let w = dequantize(load_group(min(column0 + column, params.n - 1u), group, groups), part);
            w_tile[place(column, 2u * part)] = w.lo;
            w_tile[place(column, 2u * part + 1u)] = w.hi;
        }
        workgroupBarrier();
        for (var k4 = 0u; k4 < depth; k4++) {
            // Rows 16 apart are turned alike.
            let a0 = place(local.y, k4);
            let b0 = place(local.x, k4);
            var a: array<vec4<f32>, TM>;
            for (var i = 0u; i < TM; i++) {
                a[i] = x_tile[a0 + 16u * BK4 * i];
            }
            for (var j = 0u; j < TN; j++) {
                let b = w_tile[b0 + 16u * BK4 * j];
                for (var i = 0u; i < TM; i++) {
                    let sum = sums[i * TN + j];
                    sums[i * TN + j] = fma(a[i].w, b.w, fma(a[i].z, b.z, fma(a[i].y, b.y, fma(a[i].x, b.x, sum))));
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < TM; i++) {
        let row = row0 + local.y + 16u * i;
        for (var j = 0u; j < TN; j++) {
            let column = column0 + local.x + 16u * j;
            store(row, column, sums[i * TN + j]);
        }
    }
}
