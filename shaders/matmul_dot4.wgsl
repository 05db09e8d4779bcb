// y = x W^T (+ bias) with x in blocks of q8_0: x [m, k], W [n, k], y [m, n] in a wider row. A workgroup of 16 x 16 threads
// makes a tile of 16 TM rows by 16 TN columns, TM x TN outputs a thread, from two groups of 32 elements of k at a time in
// workgroup memory: the codes of weights meet those of x four at a time, and their sums are scaled once a group.
// Mirrors kernels/matmul_dot4.rs.
import package::codes::{load_sixteen, CENTRE};
import package::constants::{TM, TN};
import package::shared::linear_io::{params, store};
import package::shared::sixteen::{bytes, add_dot16, dot16, sum16};

@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>; // codes, a group two vectors
@group(0) @binding(6) var<storage, read> x_scales: array<f32>;

const WG: u32 = 256u;
const BM: u32 = 16u * TM;
const BN: u32 = 16u * TN;
// From one half of a group to the next: two rows are left free, so that the halves of a row lie in different banks.
const STRIDE_M: u32 = BM + 2u;
const STRIDE_N: u32 = BN + 2u;
var<workgroup> x_codes: array<vec4<u32>, 4u * STRIDE_M>;
var<workgroup> x_scale: array<f32, 2u * BM>;
var<workgroup> w_codes: array<vec4<u32>, 4u * STRIDE_N>;
@if(!halves) var<workgroup> w_scale: array<f32, 2u * BN>;
// A scale for each half.
@if(halves) var<workgroup> w_scale: array<f32, 4u * BN>;
// Types with a minimum multiply it with the sum of x.
@if(min) var<workgroup> x_sum: array<f32, 4u * BM>;
@if(min) var<workgroup> w_min: array<f32, 2u * BN>;

fn load_x(i: u32, group0: u32, row0: u32, groups: u32) {
    let half = i % 4u;
    let row = i / 4u;
    // A group beyond the row meets weights that are zeros.
    let group = min(group0 + half / 2u, groups - 1u);
    let at = (min(row0 + row, params.m - 1u) * groups + group) * 2u + half % 2u;
    let codes = x[at];
    x_codes[half * STRIDE_M + row] = codes;
    @if(min) {
        x_sum[half * BM + row] = sum16(codes);
    }
    if half % 2u == 0u {
        x_scale[half / 2u * BM + row] = x_scales[at / 2u];
    }
}

fn load_w(i: u32, group0: u32, column0: u32, groups: u32) {
    let half = i % 4u;
    let column = i / 4u;
    let w = load_sixteen(min(column0 + column, params.n - 1u), group0 * 2u + half, groups);
    @if(min) {
        w_codes[half * STRIDE_N + column] = w.codes;
        w_min[half / 2u * BN + column] = w.min;
    }
    // Without a minimum, codes are centred: the least is -CENTRE.
    @if(!min) {
        w_codes[half * STRIDE_N + column] = centred(w.codes);
    }
    @if(!halves) {
        w_scale[half / 2u * BN + column] = w.scale;
    }
    @if(halves) {
        w_scale[half * BN + column] = w.scale;
    }
}

// Subtracts CENTRE from each byte, none of which is above 127: no carry reaches the next.
@if(!min)
fn centred(codes: vec4<u32>) -> vec4<u32> {
    if CENTRE == 0u {
        return codes;
    }
    return (codes + vec4<u32>(bytes(128u - CENTRE))) ^ vec4<u32>(bytes(128u));
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
    let depth = params.k / (16u * groups); // 2, unseen by compilers: unrolled, the loop takes some drivers seconds to compile
    var sums: array<f32, TM * TN>;
    for (var group0 = 0u; group0 < groups; group0 += depth) {
        // In small tiles the first threads load x and the last ones W.
        if thread < 4u * BM {
            load_x(thread, group0, row0, groups);
        }
        if thread >= WG - 4u * BN {
            load_w(thread - (WG - 4u * BN), group0, column0, groups);
        }
        workgroupBarrier();
        for (var turn = 0u; turn < depth; turn++) {
            // What compilers see to be small they add to addresses for nothing.
            let g = turn & 1u;
            var a0: array<vec4<u32>, TM>;
            var a1: array<vec4<u32>, TM>;
            var a_scale: array<f32, TM>;
            @if(min) var a_sum: array<f32, TM>;
            for (var i = 0u; i < TM; i++) {
                let row = local.y + 16u * i;
                a0[i] = x_codes[2u * g * STRIDE_M + row];
                a1[i] = x_codes[(2u * g + 1u) * STRIDE_M + row];
                a_scale[i] = x_scale[g * BM + row];
                @if(min) {
                    a_sum[i] = x_sum[2u * g * BM + row] + x_sum[(2u * g + 1u) * BM + row];
                }
            }
            for (var j = 0u; j < TN; j++) {
                let column = local.x + 16u * j;
                let b0 = w_codes[2u * g * STRIDE_N + column];
                let b1 = w_codes[(2u * g + 1u) * STRIDE_N + column];
                @if(!halves) let scale = w_scale[g * BN + column];
                @if(halves) let scale0 = w_scale[2u * g * BN + column];
                @if(halves) let scale1 = w_scale[(2u * g + 1u) * BN + column];
                @if(min) let least = w_min[g * BN + column];
                for (var i = 0u; i < TM; i++) {
                    @if(!halves) let product = scale * f32(add_dot16(dot16(a0[i], b0), a1[i], b1));
                    @if(halves) let product = scale0 * f32(dot16(a0[i], b0)) + scale1 * f32(dot16(a1[i], b1));
                    @if(!min) {
                        sums[i * TN + j] += a_scale[i] * product;
                    }
                    @if(min) {
                        sums[i * TN + j] += a_scale[i] * (product + least * a_sum[i]);
                    }
                }
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < TM; i++) {
        let row = row0 + local.y + 16u * i;
        for (var j = 0u; j < TN; j++) {
            store(row, column0 + local.x + 16u * j, sums[i * TN + j]);
        }
    }
}
