// Attention for adapters that emulate a GPU on the CPU, where the dear thing is the storage load: a workgroup is one subgroup
// of eight lanes, a lane owns a query row and its softmax, and each lane loads one of eight keys and shares it by broadcast.
// Goes through the keys 32 at a time, cut at multiples of 32, so that a row's sums do not depend on the other rows; the unfinished
// output lies in `out`. Mirrors kernels/attention_lanes.rs.
import package::constants::{D, R, PAGE};
import package::shared::attention_io::{params, sequences, tiles, page_table, q, k_cache, v_cache, out, unpack};
import package::shared::kv_cache::{kv_index, kv_slot};

const D4: u32 = D / 4u;
const KEYS: u32 = 32u;
const MASKED: f32 = -3.0e38;

// Eight numbers of a row: one for each of the keys that the lanes hold.
struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

// a . k of every lane's key.
fn dots(a: vec4<f32>, k: vec4<f32>, sums: Eight) -> Eight {
    return Eight(
        sums.lo + vec4<f32>(
            dot(a, subgroupBroadcast(k, 0u)),
            dot(a, subgroupBroadcast(k, 1u)),
            dot(a, subgroupBroadcast(k, 2u)),
            dot(a, subgroupBroadcast(k, 3u)),
        ),
        sums.hi + vec4<f32>(
            dot(a, subgroupBroadcast(k, 4u)),
            dot(a, subgroupBroadcast(k, 5u)),
            dot(a, subgroupBroadcast(k, 6u)),
            dot(a, subgroupBroadcast(k, 7u)),
        ),
    );
}

// The sum of every lane's value, weighted.
fn weighted(p: Eight, v: vec4<f32>) -> vec4<f32> {
    let lo = p.lo.x * subgroupBroadcast(v, 0u) + p.lo.y * subgroupBroadcast(v, 1u)
        + p.lo.z * subgroupBroadcast(v, 2u) + p.lo.w * subgroupBroadcast(v, 3u);
    let hi = p.hi.x * subgroupBroadcast(v, 4u) + p.hi.y * subgroupBroadcast(v, 5u)
        + p.hi.z * subgroupBroadcast(v, 6u) + p.hi.w * subgroupBroadcast(v, 7u);
    return lo + hi;
}

fn masked(scores: Eight, first_key: u32, position: u32) -> Eight {
    let lo = first_key + vec4<u32>(0u, 1u, 2u, 3u);
    let hi = lo + 4u;
    let no_window = params.window == 0u;
    let see_lo = (lo <= vec4<u32>(position)) & (vec4<bool>(no_window) | (lo + params.window > vec4<u32>(position)));
    let see_hi = (hi <= vec4<u32>(position)) & (vec4<bool>(no_window) | (hi + params.window > vec4<u32>(position)));
    return Eight(select(vec4<f32>(MASKED), scores.lo, see_lo), select(vec4<f32>(MASKED), scores.hi, see_hi));
}

fn largest(a: Eight) -> f32 {
    let m = max(a.lo, a.hi);
    return max(max(m.x, m.y), max(m.z, m.w));
}

// exp(score - peak), and 0 where masked: a row may have seen nothing yet, and its peak be the mask's.
fn probabilities(scores: Eight, peak: f32) -> Eight {
    return Eight(
        select(exp(scores.lo - peak), vec4<f32>(), scores.lo == vec4<f32>(MASKED)),
        select(exp(scores.hi - peak), vec4<f32>(), scores.hi == vec4<f32>(MASKED)),
    );
}

fn total_of(p: Eight) -> f32 {
    return dot(p.lo + p.hi, vec4<f32>(1.0));
}

// The cached vector of the lane's key.
fn locate(page_row: u32, key: u32, last: u32, kv_head: u32) -> u32 {
    let known = min(key, last);
    let slot = kv_slot(page_table[page_row * params.page_stride + known / PAGE], known);
    return kv_index(slot, params.kv_heads, kv_head, D4);
}

@compute @workgroup_size(R)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.x];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let rows = min(R, sequence.tokens * ratio - tile.y);
    let row = tile.y + min(lane, rows - 1u);
    let position = sequence.position0 + row / ratio;
    let mine = ((sequence.row0 + row / ratio) * params.heads + kv_head * ratio + row % ratio) * D4;
    let first_position = sequence.position0 + tile.y / ratio;
    let last_position = sequence.position0 + (tile.y + rows - 1u) / ratio;
    var first_key = 0u;
    if params.window > 0u && first_position + 1u > params.window {
        first_key = first_position + 1u - params.window;
    }
    first_key -= first_key % KEYS;

    var peak = MASKED;
    var total = 0.0;
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
            let x = params.scale * q[mine + i];
            sa = dots(x, unpack(k_cache[a + i]), sa);
            sb = dots(x, unpack(k_cache[b + i]), sb);
            sc = dots(x, unpack(k_cache[c + i]), sc);
            sd = dots(x, unpack(k_cache[d + i]), sd);
        }
        sa = masked(sa, key0, position);
        sb = masked(sb, key0 + 8u, position);
        sc = masked(sc, key0 + 16u, position);
        sd = masked(sd, key0 + 24u, position);
        let new_peak = max(peak, max(max(largest(sa), largest(sb)), max(largest(sc), largest(sd))));
        // exp(0) need not be 1 exactly.
        let shrink = select(exp(peak - new_peak), 1.0, peak == new_peak);
        peak = new_peak;
        sa = probabilities(sa, peak);
        sb = probabilities(sb, peak);
        sc = probabilities(sc, peak);
        sd = probabilities(sd, peak);
        total = total * shrink + (total_of(sa) + total_of(sb)) + (total_of(sc) + total_of(sd));
        let fresh = key0 == first_key;
        for (var i = 0u; i < params.dim4; i++) {
            let sum = (weighted(sa, unpack(v_cache[a + i])) + weighted(sb, unpack(v_cache[b + i])))
                + (weighted(sc, unpack(v_cache[c + i])) + weighted(sd, unpack(v_cache[d + i])));
            // What lies in `out` before the first keys may be anything, NaN too.
            let before = select(out[mine + i] * shrink, vec4<f32>(), fresh);
            if lane < rows {
                out[mine + i] = before + sum;
            }
        }
    }
    if lane < rows {
        for (var i = 0u; i < params.dim4; i++) {
            out[mine + i] /= total;
        }
    }
}
