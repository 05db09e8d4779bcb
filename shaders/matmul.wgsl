// y = x W^T (+ bias): x [m, k], W [n, k], y [m, n] in a wider row. A workgroup of 16 x 16 threads makes a tile of
// 16 TM rows by 16 TN columns, TM x TN outputs a thread, from BK elements of k at a time in workgroup memory.
// Mirrors kernels/matmul.rs.
import package::weights::{load_group, dequantize};
import package::shared::linear_io::{params, store};
import package::constants::{TM, TN};

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const WG: u32 = 256u;
const BM: u32 = 16u * TM;
const BN: u32 = 16u * TN;
const BK: u32 = 16u;
// k-major with a column of padding, so that threads of one row of the tile hit different banks.
const XS: u32 = BM + 1u;
const WS: u32 = BN + 1u;
var<workgroup> x_tile: array<f32, BK * XS>;
var<workgroup> w_tile: array<f32, BK * WS>;

fn store_x(row: u32, k: u32, v: vec4<f32>) {
    x_tile[k * XS + row] = v.x;
    x_tile[(k + 1u) * XS + row] = v.y;
    x_tile[(k + 2u) * XS + row] = v.z;
    x_tile[(k + 3u) * XS + row] = v.w;
}

fn store_w(row: u32, k: u32, v: vec4<f32>) {
    w_tile[k * WS + row] = v.x;
    w_tile[(k + 1u) * WS + row] = v.y;
    w_tile[(k + 2u) * WS + row] = v.z;
    w_tile[(k + 3u) * WS + row] = v.w;
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
    var sums: array<f32, TM * TN>;
    for (var k0 = 0u; k0 < params.k; k0 += BK) {
        for (var i = thread; i < BM * (BK / 4u); i += WG) {
            let row = min(row0 + i / (BK / 4u), params.m - 1u);
            let k = (i % (BK / 4u)) * 4u;
            store_x(i / (BK / 4u), k, x[(row * params.k + k0 + k) / 4u]);
        }
        for (var i = thread; i < BN * (BK / 8u); i += WG) {
            let column = min(column0 + i / (BK / 8u), params.n - 1u);
            let part = k0 / 8u + i % (BK / 8u);
            let w = dequantize(load_group(column, part / 4u, groups), part % 4u);
            store_w(i / (BK / 8u), (i % (BK / 8u)) * 8u, w.lo);
            store_w(i / (BK / 8u), (i % (BK / 8u)) * 8u + 4u, w.hi);
        }
        workgroupBarrier();
        // A trip count that compilers cannot see: unrolled, this takes some drivers seconds to compile.
        let depth = min(BK, params.k - k0);
        for (var k = 0u; k < depth; k++) {
            var a: array<f32, TM>;
            for (var i = 0u; i < TM; i++) {
                a[i] = x_tile[k * XS + local.y + 16u * i];
            }
            for (var j = 0u; j < TN; j++) {
                let b = w_tile[k * WS + local.x + 16u * j];
                for (var i = 0u; i < TM; i++) {
                    sums[i * TN + j] = fma(a[i], b, sums[i * TN + j]);
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
