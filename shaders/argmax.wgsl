// The index of the largest logit of each row, the lowest index on a tie; 0xffffffff where a row holds NaN or +infinity, or
// nothing but -infinity, so that no token is ever made from one. A workgroup a row. Mirrors kernels/argmax.rs.
import package::constants::WG;
import package::shared::logits::{INVALID, INFINITY, SIGN, is_fault};

struct Params {
    rows: u32,
    width: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> tokens: array<u32>;

var<workgroup> values: array<f32, WG>;
var<workgroup> indices: array<u32, WG>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = wg.y * grid.x + wg.x;
    if row >= params.rows {
        return;
    }
    let base = row * params.width;
    var best = -3.4028234e38;
    var index = min(thread, params.width - 1u);
    for (var i = thread; i < params.width; i += WG) {
        let value = logits[base + i];
        if is_fault(value) {
            index = INVALID;
            break;
        }
        if value > best {
            best = value;
            index = i;
        }
    }
    values[thread] = best;
    indices[thread] = index;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            let other = thread + half;
            let better = values[other] > values[thread] || (values[other] == values[thread] && indices[other] < indices[thread]);
            if indices[thread] != INVALID && (indices[other] == INVALID || better) {
                values[thread] = values[other];
                indices[thread] = indices[other];
            }
        }
    }
    if thread == 0u {
        index = indices[0];
        if index != INVALID && bitcast<u32>(logits[base + index]) == (SIGN | INFINITY) {
            index = INVALID;
        }
        tokens[row] = index;
    }
}
