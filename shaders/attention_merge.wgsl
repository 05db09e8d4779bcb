// Joins what the parts of a row's keys came to, each sum and total scaled from its own peak to the largest: the rescaling of
// FlashAttention-2 (Dao 2023) across workgroups. A workgroup a row; its threads stand in groups that hold the whole output,
// go through the parts in turns, and are joined in the same way. Mirrors kernels/attention_merge.rs.
import package::constants::{D, R, WG};
import package::shared::attention_params::{Sequence, params, first_visible};
@if(texels) import package::shared::texels::place;

const D4: u32 = D / 4u;
const THREADS: u32 = min(D4, WG);               // of a group
const GROUPS: u32 = WG / THREADS;               // what threads are left do nothing
const ACC: u32 = (D4 + THREADS - 1u) / THREADS; // vectors of the output that a thread holds
const MASKED: f32 = -3.0e38;

struct Merge {
    sequence: u32,
    row0: u32,       // counted as a tile's
    first_part: u32, // the place of its tile; the others follow it
    part_keys: u32,
}

// Of each tile of a part, KV head and row: D4 vectors of sums, then (peak, total).
@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> sequences: array<Sequence>;
@group(0) @binding(5) var<storage, read> merges: array<Merge>;
@if(!texels) @group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;
@if(texels) @group(0) @binding(6) var out: texture_storage_2d<rgba32uint, write>;

var<workgroup> group_sums: array<vec4<f32>, GROUPS * D4>;
var<workgroup> group_scales: array<vec2<f32>, GROUPS>; // (peak, total)

// What the weights to one peak have to be multiplied with for another; exp(0) need not be 1 exactly.
fn rescale(peak: f32, new_peak: f32) -> f32 {
    return select(exp(peak - new_peak), 1.0, peak == new_peak);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let merge = merges[wg.x];
    let sequence = sequences[merge.sequence];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let row = merge.row0 + wg.z;
    if row >= sequence.tokens * ratio {
        return;
    }
    let position = sequence.position0 + row / ratio;
    let first_part = first_visible(position) / merge.part_keys;
    let last_part = position / merge.part_keys;

    let group = thread / THREADS;
    let column = thread % THREADS;
    var peak = MASKED;
    var total = 0.0;
    var acc: array<vec4<f32>, ACC>;
    for (var part = first_part + group; part <= last_part; part += GROUPS) {
        let first = (((merge.first_part + part) * params.kv_heads + kv_head) * R + wg.z) * (D4 + 1u);
        let scales = partials[first + D4];
        let new_peak = max(peak, scales.x);
        let shrink = rescale(peak, new_peak);
        let share = rescale(scales.x, new_peak);
        peak = new_peak;
        total = shrink * total + share * scales.y;
        for (var a = 0u; a < ACC; a++) {
            acc[a] = shrink * acc[a] + share * partials[first + min(column + a * THREADS, D4 - 1u)];
        }
    }
    if group < GROUPS {
        for (var a = 0u; a < ACC; a++) {
            if column + a * THREADS < D4 {
                group_sums[group * D4 + column + a * THREADS] = acc[a];
            }
        }
        if column == 0u {
            group_scales[group] = vec2<f32>(peak, total);
        }
    }
    workgroupBarrier();

    peak = MASKED;
    for (var g = 0u; g < GROUPS; g++) {
        peak = max(peak, group_scales[g].x);
    }
    total = 0.0;
    for (var g = 0u; g < GROUPS; g++) {
        total += rescale(group_scales[g].x, peak) * group_scales[g].y;
    }
    let head = (sequence.row0 + row / ratio) * params.heads + kv_head * ratio + row % ratio;
    for (var d = thread; d < D4; d += WG) {
        var sum = vec4<f32>();
        for (var g = 0u; g < GROUPS; g++) {
            sum += rescale(group_scales[g].x, peak) * group_sums[g * D4 + d];
        }
        let average = sum / total;
        @if(!texels) out[head * D4 + d] = average;
        @if(texels) textureStore(out, place(head * D4 + d), bitcast<vec4<u32>>(average));
    }
}
