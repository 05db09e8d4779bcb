// Causal softmax attention of a tile of query rows over the cached keys and values, read through the page table.
// A row is a (token, query head) of one KV head; a workgroup takes R rows and walks the keys C at a time with the online
// softmax of Milakov & Gimelshein 2018, as FlashAttention does. R rows x WG / R threads. Keys are cut at multiples of C, and those
// that a row does not see add exact zeros to it, so that its sums do not depend on the other rows. The variant `split`, for few
// rows, is given parts of the keys (Flash-Decoding, Dao et al. 2023) and leaves what attention_merge joins: of each row the
// sums that are not divided yet, the peak and the total. Mirrors kernels/attention.rs.
import package::constants::{D, R, C, WG, PAGE};
import package::shared::attention_params::{params, first_visible};
import package::shared::attention_io::{sequences, tiles, page_table, q, out, Cached};
import package::shared::attention_io::{load_key, load_value, unpack_key, unpack_value};
import package::shared::kv_cache::{kv_index, kv_slot};

const D4: u32 = D / 4u;
const THREADS: u32 = WG / R;                    // threads a row
const LOADS: u32 = (C * D4 + WG - 1u) / WG;     // vectors of K, and of V, that a thread loads in a step
const KEYS: u32 = (C + THREADS - 1u) / THREADS; // keys that a thread scores
const ACC: u32 = (D4 + THREADS - 1u) / THREADS; // vectors of the output that a thread holds; those beyond D4 are for nothing
const Q_STRIDE: u32 = D4 + 1u;                  // padded, so that rows fall into different banks
const KV_STRIDE: u32 = D4 + 1u;                 // and keys
const SCORERS: u32 = min(C, THREADS);           // threads of a row whose scores differ
const MASKED: f32 = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, R * Q_STRIDE>;
var<workgroup> kv_tile: array<vec4<f32>, C * KV_STRIDE>; // K, then V of the same keys
var<workgroup> peaks: array<f32, WG>;                    // of each thread's scores
var<workgroup> weights: array<f32, R * C>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.sequence];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let rows = min(R, sequence.tokens * ratio - tile.row0);
    let first_position = sequence.position0 + tile.row0 / ratio;
    let last_position = sequence.position0 + (tile.row0 + rows - 1u) / ratio;
    var first_key = first_visible(first_position);
    first_key = max(first_key - first_key % C, tile.first_key);
    let end_key = min(last_position + 1u, tile.end_key);
    @if(split) if first_key >= end_key {
        return;
    }

    for (var i = thread; i < R * params.dim4; i += WG) {
        let row = tile.row0 + min(i / D4, rows - 1u);
        let head = (sequence.row0 + row / ratio) * params.heads + kv_head * ratio + row % ratio;
        q_tile[(i / D4) * Q_STRIDE + i % D4] = params.scale * q[head * D4 + i % D4];
    }

    let row = thread / THREADS;
    let lane = thread % THREADS;
    let own = lane % C; // first of the keys that it scores; where there are more threads than keys, some do so for nothing
    let position = sequence.position0 + (tile.row0 + min(row, rows - 1u)) / ratio;
    var peak = MASKED;
    var total = 0.0;
    var acc: array<vec4<f32>, ACC>;
    for (var key0 = first_key; key0 < end_key; key0 += C) {
        // All loads first, so that they are under way together.
        let pages = sequence.page_row * params.page_stride;
        var page = page_table[pages + key0 / PAGE]; // of all keys of the step, unless it has more
        var keys: array<Cached, LOADS>;
        var values: array<Cached, LOADS>;
        for (var load = 0u; load < LOADS; load++) {
            let i = load * WG + thread;
            let key = min(key0 + i / D4, last_position);
            if C > PAGE {
                page = page_table[pages + key / PAGE];
            }
            let at = kv_index(kv_slot(page, key), params.kv_heads, kv_head, D4) + i % D4;
            keys[load] = load_key(at);
            values[load] = load_value(at);
        }
        workgroupBarrier();
        for (var load = 0u; load < LOADS; load++) {
            let i = load * WG + thread;
            if C * D4 % WG == 0u || i < C * D4 {
                kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack_key(keys[load]);
            }
        }
        workgroupBarrier();
        var scores: array<f32, KEYS>;
        for (var d = 0u; d < params.dim4; d++) {
            let a = q_tile[row * Q_STRIDE + d];
            for (var n = 0u; n < KEYS; n++) {
                scores[n] += dot(a, kv_tile[(own + n * THREADS) * KV_STRIDE + d]);
            }
        }
        var new_peak = MASKED;
        for (var n = 0u; n < KEYS; n++) {
            let key = key0 + own + n * THREADS;
            let hidden = key > position || (params.window > 0u && key + params.window <= position);
            scores[n] = select(scores[n], MASKED, hidden);
            new_peak = max(new_peak, scores[n]);
        }
        peaks[thread] = new_peak;
        workgroupBarrier();
        for (var load = 0u; load < LOADS; load++) {
            let i = load * WG + thread;
            if C * D4 % WG == 0u || i < C * D4 {
                kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack_value(values[load]);
            }
        }
        new_peak = peak;
        for (var t = 0u; t < SCORERS; t++) {
            new_peak = max(new_peak, peaks[row * THREADS + t]);
        }
        // exp(0) need not be 1 exactly.
        let shrink = select(exp(peak - new_peak), 1.0, peak == new_peak);
        peak = new_peak;
        for (var n = 0u; n < KEYS; n++) {
            if lane < C {
                // A tile may be masked for one row and not for its neighbour: its weights are 0 then, not exp(0).
                weights[row * C + own + n * THREADS] = select(exp(scores[n] - peak), 0.0, scores[n] == MASKED);
            }
        }
        total *= shrink;
        for (var a = 0u; a < ACC; a++) {
            acc[a] *= shrink;
        }
        workgroupBarrier();
        for (var c0 = 0u; c0 < params.keys; c0 += 2u) {
            for (var i = 0u; i < 2u; i++) {
                let c = c0 + i;
                let p = weights[row * C + c];
                total += p;
                for (var a = 0u; a < ACC; a++) {
                    acc[a] += p * kv_tile[c * KV_STRIDE + min(lane + a * THREADS, D4 - 1u)];
                }
            }
        }
    }

    if row < rows {
        @if(split) let to = ((wg.x * params.kv_heads + kv_head) * R + row) * (D4 + 1u);
        @if(split) if lane == 0u {
            out[to + D4] = vec4<f32>(peak, total, 0.0, 0.0);
        }
        @if(!split) let head = (sequence.row0 + (tile.row0 + row) / ratio) * params.heads + kv_head * ratio + (tile.row0 + row) % ratio;
        for (var a = 0u; a < ACC; a++) {
            let d = lane + a * THREADS;
            if d < D4 {
                @if(split) out[to + d] = acc[a];
                @if(!split) out[head * D4 + d] = acc[a] / total;
            }
        }
    }
}
