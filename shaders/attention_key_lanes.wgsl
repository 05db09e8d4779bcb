// Attention of a token's few rows over parts of the keys, as the variant `split` of attention, for adapters that emulate a GPU
// on the CPU with subgroups of eight lanes: a lane owns a key and loads its K and V, what the dear thing is there, and up to
// four rows of queries are shared by broadcast. A step takes 64 keys, so that the queries are loaded once for all of them.
// With `appends` it turns the token's queries and key first, begins with that key and its value in the part that they belong
// to, and writes them into the cache, from where it loads the others. With `alone` all keys are one part, and nothing is left
// to be joined: the attention itself goes into texels. Mirrors kernels/attention_key_lanes.rs.
import package::constants::{D, R, PAGE};
import package::shared::attention_params::{params, first_visible};
import package::shared::attention_io::{sequences, tiles, page_table, q, out};
@if(appends) import package::shared::attention_io::{k_cache, v_cache, turns};
import package::shared::attention_io::{load_key, load_value, unpack_key, unpack_value};
import package::shared::four::{from_four, to_four};
@if(appends) import package::shared::four::Four;
import package::shared::kv_cache::{kv_index, kv_slot};
@if(appends) import package::shared::kv_floats::{pack, unpack};
@if(alone) import package::shared::texels::place;
@if(appends && adjacent) import package::shared::rotation::turn_neighbours;
@if(appends && !adjacent) import package::shared::rotation::turn_halves;

@if(alone) @group(0) @binding(8) var attention: texture_storage_2d<rgba32uint, write>;

const_assert R == 4u;
const D4: u32 = D / 4u;
const LANES: u32 = 8u;
const GROUPS: u32 = 8u; // keys of a lane in a step
const KEYS: u32 = LANES * GROUPS;
const MASKED: f32 = -3.0e38;

// Turned and scaled; no lane loads another's.
@if(appends) var<workgroup> queries: array<Four, LANES * D4>;

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

// Where a head begins of those that a token has of Q, with `appends` of those of Q, K and V.
fn head_at(row: u32, head: u32) -> u32 {
    @if(!appends) return (row * params.heads + head) * D4;
    @if(appends) return (row * (params.heads + 2u * params.kv_heads) + head) * D4;
}

// Vector `i` of the query of a lane's own row, which begins at `head`.
@if(!appends)
fn query(head: u32, lane: u32, i: u32) -> vec4<f32> {
    return params.scale * from_four(q[head + i]);
}

@if(appends)
fn query(head: u32, lane: u32, i: u32) -> vec4<f32> {
    return from_four(queries[lane * D4 + i]);
}

// Vector `i` of a head that turns.
@if(appends && adjacent)
fn turned(head: u32, row: u32, i: u32) -> vec4<f32> {
    return turn_neighbours(from_four(q[head + i]), from_four(turns[row * params.dim4 + i]));
}

@if(appends && !adjacent)
fn turned(head: u32, row: u32, i: u32) -> vec4<f32> {
    let half = params.dim4 / 2u;
    let first = i < half;
    let partner = from_four(q[head + select(i - half, i + half, first)]);
    let turn = row * params.dim4 + 2u * select(i - half, i, first);
    return turn_halves(from_four(q[head + i]), partner, first, from_four(turns[turn]), from_four(turns[turn + 1u]));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.sequence];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let rows = min(R, ratio - tile.row0);
    let first_key = max(first_visible(sequence.position0), tile.first_key);
    let position = sequence.position0;
    let row = sequence.row0;
    @if(!appends) let has_own = false;
    @if(!appends) let end_key = min(position + 1u, tile.end_key);
    // Of the keys in the cache.
    @if(appends) let has_own = tile.first_key <= position && position < tile.end_key;
    @if(appends) let end_key = min(position, tile.end_key);
    if first_key >= end_key && !has_own {
        return;
    }
    let mine = head_at(row, kv_head * ratio + tile.row0 + min(lane, rows - 1u));
    let to = ((wg.x * params.kv_heads + kv_head) * R + lane) * (D4 + 1u);

    @if(appends) for (var i = 0u; i < params.dim4; i++) {
        queries[lane * D4 + i] = to_four(params.scale * turned(mine, row, i));
    }

    // Of each row a component; the totals are the lane's own until the end.
    var peak = vec4<f32>(MASKED);
    var total = vec4<f32>();
    @if(appends) if has_own {
        let page = page_table[sequence.page_row * params.page_stride + position / PAGE];
        let slot = kv_index(kv_slot(page, position), params.kv_heads, kv_head, D4);
        let key = head_at(row, params.heads + kv_head);
        let value = head_at(row, params.heads + params.kv_heads + kv_head);
        var score = 0.0;
        for (var i = 0u; i < params.dim4; i++) {
            let k = pack(turned(key, row, i));
            let v = pack(from_four(q[value + i]));
            score += dot(query(mine, lane, i), unpack(k));
            if lane < rows {
                out[to + i] = to_four(unpack(v));
            }
            if lane == 0u && tile.row0 == 0u {
                k_cache[slot + i] = k;
                v_cache[slot + i] = v;
            }
        }
        peak = vec4<f32>(
            subgroupBroadcast(score, 0u),
            subgroupBroadcast(score, 1u),
            subgroupBroadcast(score, 2u),
            subgroupBroadcast(score, 3u),
        );
        total = vec4<f32>(select(0.0, 1.0, lane == 0u));
    }
    for (var key0 = first_key; key0 < end_key; key0 += KEYS) {
        var at: array<u32, GROUPS>;
        for (var g = 0u; g < GROUPS; g++) {
            let key = min(key0 + g * LANES + lane, end_key - 1u);
            let page = page_table[sequence.page_row * params.page_stride + key / PAGE];
            at[g] = kv_index(kv_slot(page, key), params.kv_heads, kv_head, D4);
        }
        var scores: array<vec4<f32>, GROUPS>;
        for (var i = 0u; i < params.dim4; i++) {
            let own = query(mine, lane, i);
            // Of each element, those of the four rows.
            let x = transpose(mat4x4<f32>(
                subgroupBroadcast(own, 0u),
                subgroupBroadcast(own, 1u),
                subgroupBroadcast(own, 2u),
                subgroupBroadcast(own, 3u),
            ));
            for (var g = 0u; g < GROUPS; g++) {
                let k = unpack_key(load_key(at[g] + i));
                scores[g] = fma(k.xxxx, x[0], fma(k.yyyy, x[1], fma(k.zzzz, x[2], fma(k.wwww, x[3], scores[g]))));
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
        let fresh = key0 == first_key && !has_own;
        for (var i = 0u; i < params.dim4; i++) {
            var sums = mat4x4<f32>();
            for (var g = 0u; g < GROUPS; g++) {
                let p = scores[g];
                let v = unpack_value(load_value(at[g] + i));
                sums[0] = fma(p.xxxx, v, sums[0]);
                sums[1] = fma(p.yyyy, v, sums[1]);
                sums[2] = fma(p.zzzz, v, sums[2]);
                sums[3] = fma(p.wwww, v, sums[3]);
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
    @if(alone) if lane < rows {
        let head = (row * params.heads + kv_head * ratio + tile.row0 + lane) * D4;
        for (var i = 0u; i < params.dim4; i++) {
            textureStore(attention, place(head + i), bitcast<vec4<u32>>(from_four(out[to + i]) / total[lane]));
        }
    }
}
