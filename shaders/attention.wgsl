// Causal softmax attention of a tile of query rows over the cached keys and values, read through the page table.
// A row is a (token, query head) of one KV head; a workgroup takes R rows and walks the keys C at a time with the online
// softmax of Milakov & Gimelshein 2018, as FlashAttention does. R rows x WG / R threads. Keys are cut at multiples of C, and a
// row touches only those that it sees, so that its sums do not depend on the other rows. Mirrors kernels/attention.rs.
import package::constants::{D, R, C, WG, PAGE};
import package::shared::attention_io::{params, sequences, tiles, page_table, q, k_cache, v_cache, out, unpack};
import package::shared::kv_cache::{kv_index, kv_slot};

const D4: u32 = D / 4u;
const THREADS: u32 = WG / R;                    // threads a row
const ACC: u32 = (D4 + THREADS - 1u) / THREADS; // vectors of the output a thread holds
const KV_STRIDE: u32 = D4 + 1u;                 // padded, so that keys fall into different banks
const LOWEST: f32 = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, R * D4>;
var<workgroup> kv_tile: array<vec4<f32>, C * KV_STRIDE>; // K, then V of the same keys
var<workgroup> scores: array<f32, R * C>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let tile = tiles[wg.x];
    let sequence = sequences[tile.x];
    let kv_head = wg.y;
    let ratio = params.heads / params.kv_heads;
    let rows = min(R, sequence.tokens * ratio - tile.y);

    for (var i = thread; i < R * params.dim4; i += WG) {
        let row = tile.y + min(i / D4, rows - 1u);
        let head = (sequence.row0 + row / ratio) * params.heads + kv_head * ratio + row % ratio;
        q_tile[i] = params.scale * q[head * D4 + i % D4];
    }

    let row = thread / THREADS;
    let lane = thread % THREADS;
    let position = sequence.position0 + (tile.y + min(row, rows - 1u)) / ratio;
    let first_position = sequence.position0 + tile.y / ratio;
    let last_position = sequence.position0 + (tile.y + rows - 1u) / ratio;
    var first_key = 0u;
    if params.window > 0u && first_position + 1u > params.window {
        first_key = first_position + 1u - params.window;
    }
    first_key -= first_key % C;
    let first_seen = select(0u, position + 1u - min(params.window, position + 1u), params.window > 0u);

    var peak = LOWEST;
    var total = 0.0;
    var acc: array<vec4<f32>, ACC>;
    for (var key0 = first_key; key0 <= last_position; key0 += C) {
        workgroupBarrier();
        for (var i = thread; i < params.keys * D4; i += WG) {
            let key = min(key0 + i / D4, last_position);
            let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(k_cache[kv_index(slot, params.kv_heads, kv_head, D4) + i % D4]);
        }
        workgroupBarrier();
        // The keys that the row sees, which may be none: it starts or ends where its neighbours do not.
        let seen = max(key0, first_seen) - key0;
        let seen_end = min(key0 + params.keys, max(key0, position + 1u)) - key0;
        for (var c = lane; c < params.keys; c += THREADS) {
            var score = 0.0;
            for (var d = 0u; d < params.dim4; d++) {
                score += dot(q_tile[row * D4 + d], kv_tile[c * KV_STRIDE + d]);
            }
            scores[row * C + c] = score;
        }
        workgroupBarrier();
        for (var i = thread; i < params.keys * D4; i += WG) {
            let key = min(key0 + i / D4, last_position);
            let slot = kv_slot(page_table[sequence.page_row * params.page_stride + key / PAGE], key);
            kv_tile[(i / D4) * KV_STRIDE + i % D4] = unpack(v_cache[kv_index(slot, params.kv_heads, kv_head, D4) + i % D4]);
        }
        var new_peak = peak;
        for (var c = seen; c < seen_end; c++) {
            new_peak = max(new_peak, scores[row * C + c]);
        }
        // exp(0) need not be 1 exactly.
        let shrink = select(exp(peak - new_peak), 1.0, peak == new_peak);
        peak = new_peak;
        total *= shrink;
        for (var a = 0u; a < ACC; a++) {
            acc[a] *= shrink;
        }
        workgroupBarrier();
        for (var c = seen; c < seen_end; c++) {
            let p = exp(scores[row * C + c] - peak);
            total += p;
            for (var a = 0u; a < ACC; a++) {
                acc[a] += p * kv_tile[c * KV_STRIDE + min(lane + a * THREADS, D4 - 1u)];
            }
        }
    }

    if row < rows {
        let head = (sequence.row0 + (tile.y + row) / ratio) * params.heads + kv_head * ratio + (tile.y + row) % ratio;
        for (var a = 0u; a < ACC; a++) {
            let d = lane + a * THREADS;
            if d < D4 {
                out[head * D4 + d] = acc[a] / total;
            }
        }
    }
}
