// Attention of a token's few rows over parts of the keys, as the variant `split` of attention, for adapters that emulate a GPU
// on the CPU with subgroups of eight lanes: a lane owns a key and loads its K and V, what the dear thing is there, and up to
// four rows of queries are shared by broadcast. A step takes 64 keys, so that the queries are loaded once for all of them.
// Mirrors kernels/attention_key_lanes.rs.
import package::constants::{D, R, PAGE};
import package::shared::attention_params::{params, first_visible};
import package::shared::attention_io::{sequences, tiles, page_table, q, out};
import package::shared::attention_io::{load_key, load_value, unpack_key, unpack_value, from_four, to_four};
import package::shared::kv_cache::{kv_index, kv_slot};

const_assert R == 4u;
const D4: u32 = D / 4u;
const LANES: u32 = 8u;
const GROUPS: u32 = 8u; // keys of a lane in a step
const KEYS: u32 = LANES * GROUPS;
const MASKED: f32 = -3.0e38;

// Over all lanes.
fn sum(v: vec4<f32>) -> vec4<f32> {
    let pair = v + subgroupShuffleXor(v, 1u);
    let quad = pair + subgroupShuffleXor(pair, 2u);
    return quad + subgroupShuffleXor(quad, 4u);
}

fn largest(v: vec4<f32>) -> vec4<f32> {
    let pair = max(v, subgroupShuffleXor(v, 1u));
    let quad = max(pair, subgroupShuffleXor(pair, 2u));
    return max(quad, subgroupShuffleXor(quad, 4u));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.sequence];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let rows = min(R, ratio - tile.row0);
    let first_key = max(first_visible(sequence.position0), tile.first_key);
    let end_key = min(sequence.position0 + 1u, tile.end_key);
    if first_key >= end_key {
        return;
    }
    let mine = (sequence.row0 * params.heads + kv_head * ratio + tile.row0 + min(lane, rows - 1u)) * D4;
    let to = ((wg.x * params.kv_heads + kv_head) * R + lane) * (D4 + 1u);

    // Of each row a component; the totals are the lane's own until the end.
    var peak = vec4<f32>(MASKED);
    var total = vec4<f32>();
    for (var key0 = first_key; key0 < end_key; key0 += KEYS) {
        var at: array<u32, GROUPS>;
        for (var g = 0u; g < GROUPS; g++) {
            let key = min(key0 + g * LANES + lane, end_key - 1u);
            let page = page_table[sequence.page_row * params.page_stride + key / PAGE];
            at[g] = kv_index(kv_slot(page, key), params.kv_heads, kv_head, D4);
        }
        var scores: array<vec4<f32>, GROUPS>;
        for (var i = 0u; i < params.dim4; i++) {
            let own = params.scale * from_four(q[mine + i]);
            let queries = mat4x4<f32>(
                subgroupBroadcast(own, 0u),
                subgroupBroadcast(own, 1u),
                subgroupBroadcast(own, 2u),
                subgroupBroadcast(own, 3u),
            );
            for (var g = 0u; g < GROUPS; g++) {
                scores[g] += unpack_key(load_key(at[g] + i)) * queries;
            }
        }
        var new_peak = peak;
        for (var g = 0u; g < GROUPS; g++) {
            scores[g] = select(vec4<f32>(MASKED), scores[g], key0 + g * LANES + lane < end_key);
            new_peak = max(new_peak, scores[g]);
        }
        new_peak = largest(new_peak);
        // exp(0) need not be 1 exactly.
        let shrink = select(exp(peak - new_peak), vec4<f32>(1.0), peak == new_peak);
        peak = new_peak;
        total *= shrink;
        for (var g = 0u; g < GROUPS; g++) {
            scores[g] = select(exp(scores[g] - peak), vec4<f32>(), scores[g] == vec4<f32>(MASKED));
            total += scores[g];
        }
        let fresh = key0 == first_key;
        for (var i = 0u; i < params.dim4; i++) {
            var sums = mat4x4<f32>();
            for (var g = 0u; g < GROUPS; g++) {
                let p = scores[g];
                let v = unpack_value(load_value(at[g] + i));
                sums += mat4x4<f32>(p.x * v, p.y * v, p.z * v, p.w * v);
            }
            let a = select(sum(sums[0]), sum(sums[1]), lane == 1u);
            let b = select(sum(sums[2]), sum(sums[3]), lane == 3u);
            var row_sum = select(a, b, lane >= 2u);
            if lane < rows {
                // What lies there before the first keys may be anything, NaN too.
                if !fresh {
                    row_sum += shrink[lane] * from_four(out[to + i]);
                }
                out[to + i] = to_four(row_sum);
            }
        }
    }
    total = sum(total);
    if lane < rows {
        out[to + D4] = to_four(vec4<f32>(peak[lane], total[lane], 0.0, 0.0));
    }
}
