// Attention of whole rows for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: a workgroup is
// one subgroup of eight lanes, a lane owns four query rows and their softmax, and each lane loads one of eight keys and shares
// it by broadcast with 32 rows. Goes through the keys 32 at a time, cut at multiples of 32, so that a row's sums do not depend
// on the other rows; the unfinished output lies in `out`. Mirrors kernels/attention_lanes.rs.
import package::constants::{D, R, PAGE};
import package::shared::attention_params::{params, first_visible};
import package::shared::attention_io::{sequences, tiles, page_table, q, out};
import package::shared::attention_io::{load_key, load_value, unpack_key, unpack_value};
import package::shared::four::{from_four, to_four};
import package::shared::kv_cache::{kv_index, kv_slot};

const_assert R == 32u;
const D4: u32 = D / 4u;
const KEYS: u32 = 32u;
const MASKED: f32 = -3.0e38;

// A number for each of the eight keys that the lanes hold, a column, and of the lane's four rows, a component.
struct Eight {
    lo: mat4x4<f32>,
    hi: mat4x4<f32>,
}

// Four elements of the rows' queries times one key; a column of `x` is an element's.
fn add_dots(sums: vec4<f32>, x: mat4x4<f32>, k: vec4<f32>) -> vec4<f32> {
    return fma(k.xxxx, x[0], fma(k.yyyy, x[1], fma(k.zzzz, x[2], fma(k.wwww, x[3], sums))));
}

// The same with every lane's key.
fn dots(x: mat4x4<f32>, k: vec4<f32>, sums: Eight) -> Eight {
    return Eight(
        mat4x4<f32>(
            add_dots(sums.lo[0], x, subgroupBroadcast(k, 0u)),
            add_dots(sums.lo[1], x, subgroupBroadcast(k, 1u)),
            add_dots(sums.lo[2], x, subgroupBroadcast(k, 2u)),
            add_dots(sums.lo[3], x, subgroupBroadcast(k, 3u)),
        ),
        mat4x4<f32>(
            add_dots(sums.hi[0], x, subgroupBroadcast(k, 4u)),
            add_dots(sums.hi[1], x, subgroupBroadcast(k, 5u)),
            add_dots(sums.hi[2], x, subgroupBroadcast(k, 6u)),
            add_dots(sums.hi[3], x, subgroupBroadcast(k, 7u)),
        ),
    );
}

// Adds a value, weighted for each row; a column is a row's.
fn add_times(sums: mat4x4<f32>, p: vec4<f32>, v: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(p.xxxx, v, sums[0]),
        fma(p.yyyy, v, sums[1]),
        fma(p.zzzz, v, sums[2]),
        fma(p.wwww, v, sums[3]),
    );
}

// Adds every lane's value, weighted.
fn add_weighted(sums: mat4x4<f32>, p: Eight, v: vec4<f32>) -> mat4x4<f32> {
    var all = add_times(sums, p.lo[0], subgroupBroadcast(v, 0u));
    all = add_times(all, p.lo[1], subgroupBroadcast(v, 1u));
    all = add_times(all, p.lo[2], subgroupBroadcast(v, 2u));
    all = add_times(all, p.lo[3], subgroupBroadcast(v, 3u));
    all = add_times(all, p.hi[0], subgroupBroadcast(v, 4u));
    all = add_times(all, p.hi[1], subgroupBroadcast(v, 5u));
    all = add_times(all, p.hi[2], subgroupBroadcast(v, 6u));
    return add_times(all, p.hi[3], subgroupBroadcast(v, 7u));
}

// The scores of one key, masked for the rows that do not see it.
fn hide(scores: vec4<f32>, key: u32, positions: vec4<u32>) -> vec4<f32> {
    let no_window = vec4<bool>(params.window == 0u);
    let seen = (vec4<u32>(key) <= positions) & (no_window | (vec4<u32>(key + params.window) > positions));
    return select(vec4<f32>(MASKED), scores, seen);
}

fn hide4(scores: mat4x4<f32>, key: u32, positions: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        hide(scores[0], key, positions),
        hide(scores[1], key + 1u, positions),
        hide(scores[2], key + 2u, positions),
        hide(scores[3], key + 3u, positions),
    );
}

fn masked(scores: Eight, first_key: u32, positions: vec4<u32>) -> Eight {
    return Eight(hide4(scores.lo, first_key, positions), hide4(scores.hi, first_key + 4u, positions));
}

fn largest(a: Eight) -> vec4<f32> {
    let lo = max(max(a.lo[0], a.lo[1]), max(a.lo[2], a.lo[3]));
    let hi = max(max(a.hi[0], a.hi[1]), max(a.hi[2], a.hi[3]));
    return max(lo, hi);
}

// exp(score - peak), and 0 where masked: a row may have seen nothing yet, and its peak be the mask's.
fn weight(score: vec4<f32>, peak: vec4<f32>) -> vec4<f32> {
    return select(exp(score - peak), vec4<f32>(), score == vec4<f32>(MASKED));
}

fn weight4(scores: mat4x4<f32>, peak: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        weight(scores[0], peak),
        weight(scores[1], peak),
        weight(scores[2], peak),
        weight(scores[3], peak),
    );
}

fn probabilities(scores: Eight, peak: vec4<f32>) -> Eight {
    return Eight(weight4(scores.lo, peak), weight4(scores.hi, peak));
}

fn total_of(p: Eight) -> vec4<f32> {
    return ((p.lo[0] + p.lo[1]) + (p.lo[2] + p.lo[3])) + ((p.hi[0] + p.hi[1]) + (p.hi[2] + p.hi[3]));
}

// The cached vector of the lane's key.
fn locate(page_row: u32, key: u32, last: u32, kv_head: u32) -> u32 {
    let known = min(key, last);
    let slot = kv_slot(page_table[page_row * params.page_stride + known / PAGE], known);
    return kv_index(slot, params.kv_heads, kv_head, D4);
}

// Vector `i` of each row's query.
fn queries(at: vec4<u32>, i: u32) -> mat4x4<f32> {
    return mat4x4<f32>(from_four(q[at.x + i]), from_four(q[at.y + i]), from_four(q[at.z + i]), from_four(q[at.w + i]));
}

// Vector `i` of each row's output, for the rows that there are.
fn store(at: vec4<u32>, i: u32, there: vec4<bool>, values: mat4x4<f32>) {
    if there.x {
        out[at.x + i] = to_four(values[0]);
    }
    if there.y {
        out[at.y + i] = to_four(values[1]);
    }
    if there.z {
        out[at.z + i] = to_four(values[2]);
    }
    if there.w {
        out[at.w + i] = to_four(values[3]);
    }
}

fn stored(at: vec4<u32>, i: u32, scale: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        scale.x * from_four(out[at.x + i]),
        scale.y * from_four(out[at.y + i]),
        scale.z * from_four(out[at.z + i]),
        scale.w * from_four(out[at.w + i]),
    );
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.sequence];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let count = min(R, sequence.tokens * ratio - tile.row0);
    let own = 4u * lane + vec4<u32>(0u, 1u, 2u, 3u);
    let there = own < vec4<u32>(count);
    let rows = tile.row0 + min(own, vec4<u32>(count - 1u));
    let positions = sequence.position0 + rows / ratio;
    let mine = ((sequence.row0 + rows / ratio) * params.heads + kv_head * ratio + rows % ratio) * D4;
    let first_position = sequence.position0 + tile.row0 / ratio;
    let last_position = sequence.position0 + (tile.row0 + count - 1u) / ratio;
    var first_key = first_visible(first_position);
    first_key -= first_key % KEYS;

    var peak = vec4<f32>(MASKED);
    var total = vec4<f32>();
    for (var key0 = first_key; key0 <= last_position; key0 += KEYS) {
        let a = locate(sequence.page_row, key0 + lane, last_position, kv_head);
        let b = locate(sequence.page_row, key0 + 8u + lane, last_position, kv_head);
        let c = locate(sequence.page_row, key0 + 16u + lane, last_position, kv_head);
        let d = locate(sequence.page_row, key0 + 24u + lane, last_position, kv_head);
        var sa = Eight();
        var sb = Eight();
        var sc = Eight();
        var sd = Eight();
        for (var i = 0u; i < params.dim4; i++) {
            let x = params.scale * transpose(queries(mine, i));
            sa = dots(x, unpack_key(load_key(a + i)), sa);
            sb = dots(x, unpack_key(load_key(b + i)), sb);
            sc = dots(x, unpack_key(load_key(c + i)), sc);
            sd = dots(x, unpack_key(load_key(d + i)), sd);
        }
        sa = masked(sa, key0, positions);
        sb = masked(sb, key0 + 8u, positions);
        sc = masked(sc, key0 + 16u, positions);
        sd = masked(sd, key0 + 24u, positions);
        let new_peak = max(peak, max(max(largest(sa), largest(sb)), max(largest(sc), largest(sd))));
        // exp(0) need not be 1 exactly.
        let shrink = select(exp(peak - new_peak), vec4<f32>(1.0), peak == new_peak);
        peak = new_peak;
        sa = probabilities(sa, peak);
        sb = probabilities(sb, peak);
        sc = probabilities(sc, peak);
        sd = probabilities(sd, peak);
        total = total * shrink + (total_of(sa) + total_of(sb)) + (total_of(sc) + total_of(sd));
        for (var i = 0u; i < params.dim4; i++) {
            var sums = mat4x4<f32>();
            // What lies in `out` before the first keys may be anything, NaN too.
            if key0 != first_key {
                sums = stored(mine, i, shrink);
            }
            sums = add_weighted(sums, sa, unpack_value(load_value(a + i)));
            sums = add_weighted(sums, sb, unpack_value(load_value(b + i)));
            sums = add_weighted(sums, sc, unpack_value(load_value(c + i)));
            sums = add_weighted(sums, sd, unpack_value(load_value(d + i)));
            store(mine, i, there, sums);
        }
    }
    for (var i = 0u; i < params.dim4; i++) {
        store(mine, i, there, stored(mine, i, 1.0 / total));
    }
}
