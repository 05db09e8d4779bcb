// y = x W^T (+ bias) in f16: as matmul.wgsl, but with tiles of f16, and products that are summed up in pairs of f16 for a group
// of 32 elements of k, 16 each, before they join the sums in f32. Mirrors kernels/matmul_f16.rs.
import package::weights::{load_group, dequantize};
import package::shared::half_range::{largest, fitting, inverse};
import package::shared::linear_io::{params, store};
import package::constants::{TM, TN};

enable f16;

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const WG: u32 = 256u;
const BM: u32 = 16u * TM;
const BN: u32 = 16u * TN;
const BK4: u32 = 8u; // vectors of a group
var<workgroup> x_tile: array<vec4<f16>, BM * BK4>;
var<workgroup> w_tile: array<vec4<f16>, BN * BK4>;
var<workgroup> peaks: array<atomic<i32>, 2>;

// Begins with |x| below 2048 and |w| below 8, down to 2^-3 and 2^-11 for the largest. As brought into range, they are below
// 2^6 and 2^5: sixteen products of them are below 2^15, half of what f16 holds.
const FACTORS: vec2<f32> = vec2<f32>(0.03125, 4.0);
const HIGHEST_X: i32 = 5;
const HIGHEST_W: i32 = 4;
const SPAN: i32 = 13;

// Where a tile has vector k4 of a row: turned by the row, so that threads of neighbouring rows hit different banks.
fn place(row: u32, k4: u32) -> u32 {
    return row * BK4 + (k4 ^ ((row / 2u) % BK4));
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
    let attempts = min(params.k, 2u); // 2, unseen by compilers, which would write all of it twice
    var factors = FACTORS;
    var sums: array<f32, TM * TN>;
    for (var attempt = 0u; attempt < attempts; attempt++) {
        for (var i = 0u; i < TM * TN; i++) {
            sums[i] = 0.0;
        }
        var peak_x = vec4<f32>(0.0);
        var peak_w = vec4<f32>(0.0);
        if thread < 2u {
            atomicStore(&peaks[thread], 0);
        }
        for (var group = 0u; group < groups; group++) {
            for (var turn = 0u; turn < BM * BK4 / WG; turn++) {
                let i = turn * WG + thread;
                let row = min(row0 + i / BK4, params.m - 1u);
                let values = x[(row * groups + group) * BK4 + i % BK4];
                peak_x = max(peak_x, abs(values));
                x_tile[place(i / BK4, i % BK4)] = vec4<f16>(values * factors.x);
            }
            // A group's weights are four parts of eight.
            for (var turn = 0u; turn < BN * 4u / WG; turn++) {
                let i = turn * WG + thread;
                let part = i % 4u;
                let column = i / 4u;
                let w = dequantize(load_group(min(column0 + column, params.n - 1u), group, groups), part);
                peak_w = max(peak_w, max(abs(w.lo), abs(w.hi)));
                w_tile[place(column, 2u * part)] = vec4<f16>(w.lo * factors.y);
                w_tile[place(column, 2u * part + 1u)] = vec4<f16>(w.hi * factors.y);
            }
            workgroupBarrier();
            var pairs: array<vec2<f16>, TM * TN>;
            for (var k4 = 0u; k4 < depth; k4++) {
                // Rows 16 apart are turned alike.
                let a0 = place(local.y, k4);
                let b0 = place(local.x, k4);
                var a: array<vec4<f16>, TM>;
                for (var i = 0u; i < TM; i++) {
                    a[i] = x_tile[a0 + 16u * BK4 * i];
                }
                for (var j = 0u; j < TN; j++) {
                    let b = w_tile[b0 + 16u * BK4 * j];
                    for (var i = 0u; i < TM; i++) {
                        pairs[i * TN + j] = fma(a[i].zw, b.zw, fma(a[i].xy, b.xy, pairs[i * TN + j]));
                    }
                }
            }
            for (var i = 0u; i < TM * TN; i++) {
                sums[i] += f32(pairs[i].x);
                sums[i] += f32(pairs[i].y);
            }
            workgroupBarrier();
        }
        atomicMax(&peaks[0], largest(peak_x));
        atomicMax(&peaks[1], largest(peak_w));
        workgroupBarrier();
        let fit = vec2<f32>(
            fitting(factors.x, atomicLoad(&peaks[0]), HIGHEST_X, SPAN),
            fitting(factors.y, atomicLoad(&peaks[1]), HIGHEST_W, SPAN),
        );
        workgroupBarrier();
        if all(fit == factors) {
            break;
        }
        factors = fit;
    }
    for (var i = 0u; i < TM; i++) {
        let row = row0 + local.y + 16u * i;
        for (var j = 0u; j < TN; j++) {
            let column = column0 + local.x + 16u * j;
            // One after the other, since their product may be out of range.
            store(row, column, sums[i * TN + j] * inverse(factors.x) * inverse(factors.y));
        }
    }
}
