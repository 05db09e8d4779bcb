// y = x W^T (+ bias) on matrix units: a workgroup makes BLOCK rows by BLOCK columns of y in four parts, each a subgroup's, as
// square matrices of f32 sums; of x and W it has 32 elements of k at a time in workgroup memory, as f16. Where subgroups are
// smaller than they may be, there are more than four; the others only load. Mirrors kernels/matmul_coop.rs.
import package::weights::{load_group, dequantize};
import package::shared::half_range::{largest, fitting, inverse};
import package::shared::linear_io::{params, store};
import package::constants::{PART, WG};

enable f16;
enable wgpu_cooperative_matrix;

@if(!sixteen) alias Rows = coop_mat8x8<f16, A>;
@if(!sixteen) alias Columns = coop_mat8x8<f16, B>;
@if(!sixteen) alias Sums = coop_mat8x8<f32, C>;
@if(!sixteen) const SIDE: u32 = 8u;
@if(sixteen) alias Rows = coop_mat16x16<f16, A>;
@if(sixteen) alias Columns = coop_mat16x16<f16, B>;
@if(sixteen) alias Sums = coop_mat16x16<f32, C>;
@if(sixteen) const SIDE: u32 = 16u;

@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;

const PARTS: u32 = 4u; // two by two
const BLOCK: u32 = 2u * PART;
const TILES: u32 = PART / SIDE; // matrices along each side of a part
const BK: u32 = 32u;
const STRIDE: u32 = BK + 8u; // so that rows begin in different banks
var<workgroup> x_tile: array<f16, BLOCK * STRIDE>;
var<workgroup> w_tile: array<f16, BLOCK * STRIDE>;
var<workgroup> matrices: array<f32, PARTS * SIDE * SIDE>;
var<workgroup> peaks: array<atomic<i32>, 2>;

// Begins with |x| below 8192 and |w| below 128, down to 2^-10 and 2^-16 for the largest.
const FACTORS: vec2<f32> = vec2<f32>(4.0, 256.0);
const HIGHEST: i32 = 14;
const SPAN: i32 = 22;

fn put_x(at: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    x_tile[at] = halves.x;
    x_tile[at + 1u] = halves.y;
    x_tile[at + 2u] = halves.z;
    x_tile[at + 3u] = halves.w;
}

fn put_w(at: u32, values: vec4<f32>) {
    let halves = vec4<f16>(values);
    w_tile[at] = halves.x;
    w_tile[at + 1u] = halves.y;
    w_tile[at + 2u] = halves.z;
    w_tile[at + 3u] = halves.w;
}

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    let row0 = wg.x * BLOCK;
    let column0 = wg.y * BLOCK;
    let groups = params.k / BK;
    let works = subgroup < PARTS;
    let part_row = (subgroup / 2u) * PART;
    let part_column = (subgroup % 2u) * PART;
    let own = min(subgroup, PARTS - 1u) * SIDE * SIDE;
    let attempts = min(params.k, 2u); // 2, unseen by compilers, which would write all of it twice
    var factors = FACTORS;
    var sums: array<Sums, TILES * TILES>;
    for (var attempt = 0u; attempt < attempts; attempt++) {
        for (var i = thread; i < PARTS * SIDE * SIDE; i += WG) {
            matrices[i] = 0.0;
        }
        if thread < 2u {
            atomicStore(&peaks[thread], 0);
        }
        workgroupBarrier();
        // Loaded, since not every language gives a new matrix zeros.
        for (var i = 0u; i < TILES * TILES; i++) {
            sums[i] = coopLoadT<Sums>(&matrices[own], SIDE);
        }
        var peak_x = vec4<f32>(0.0);
        var peak_w = vec4<f32>(0.0);
        for (var group = 0u; group < groups; group++) {
            for (var load = 0u; load < BLOCK * BK / 4u / WG; load++) {
                let i = load * WG + thread;
                let row = i / (BK / 4u);
                let k4 = i % (BK / 4u);
                let values = x[(min(row0 + row, params.m - 1u) * groups + group) * (BK / 4u) + k4];
                peak_x = max(peak_x, abs(values));
                put_x(row * STRIDE + 4u * k4, values * factors.x);
            }
            for (var load = 0u; load < BLOCK * BK / 8u / WG; load++) {
                let i = load * WG + thread;
                let column = i / (BK / 8u);
                let k8 = i % (BK / 8u);
                let w = dequantize(load_group(min(column0 + column, params.n - 1u), group, groups), k8);
                peak_w = max(peak_w, max(abs(w.lo), abs(w.hi)));
                put_w(column * STRIDE + 8u * k8, w.lo * factors.y);
                put_w(column * STRIDE + 8u * k8 + 4u, w.hi * factors.y);
            }
            workgroupBarrier();
            // What is no loop is an `if`, under which naga allows no matrices since it cannot know that all lanes agree.
            loop {
                if !works {
                    break;
                }
                for (var k = 0u; k < BK; k += SIDE) {
                    var a: array<Rows, TILES>;
                    for (var i = 0u; i < TILES; i++) {
                        a[i] = coopLoadT<Rows>(&x_tile[(part_row + i * SIDE) * STRIDE + k], STRIDE);
                    }
                    for (var j = 0u; j < TILES; j++) {
                        // W is stored by rows, which are the columns of what x is multiplied with.
                        let b = coopLoad<Columns>(&w_tile[(part_column + j * SIDE) * STRIDE + k], STRIDE);
                        for (var i = 0u; i < TILES; i++) {
                            sums[i * TILES + j] = coopMultiplyAdd(a[i], b, sums[i * TILES + j]);
                        }
                    }
                }
                break;
            }
            workgroupBarrier();
        }
        atomicMax(&peaks[0], largest(peak_x));
        atomicMax(&peaks[1], largest(peak_w));
        workgroupBarrier();
        let fit = vec2<f32>(
            fitting(factors.x, atomicLoad(&peaks[0]), HIGHEST, SPAN),
            fitting(factors.y, atomicLoad(&peaks[1]), HIGHEST, SPAN),
        );
        workgroupBarrier();
        if all(fit == factors) {
            break;
        }
        factors = fit;
    }
    for (var i = 0u; i < TILES; i++) {
        for (var j = 0u; j < TILES; j++) {
            loop {
                if !works {
                    break;
                }
                coopStoreT(sums[i * TILES + j], &matrices[own], SIDE);
                break;
            }
            workgroupBarrier();
            if works {
                let row = row0 + part_row + i * SIDE;
                let column = column0 + part_column + j * SIDE;
                for (var e = lane; e < SIDE * SIDE; e += lanes) {
                    // One after the other, since their product may be out of range.
                    let sum = matrices[own + e] * inverse(factors.x) * inverse(factors.y);
                    store(row + e / SIDE, column + e % SIDE, sum);
                }
            }
            workgroupBarrier();
        }
    }
}
