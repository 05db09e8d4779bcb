// The rank of the largest logit of each run of RUN logits of a row; the last run of a row may be shorter. A thread a run.
// Mirrors kernels/run_peaks.rs.
import package::constants::{WG, RUN};
import package::shared::logits::{RULED_OUT, rank_of};

struct Params {
    rows: u32,
    width: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> peaks: array<u32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    let runs = (params.width + RUN - 1u) / RUN;
    let row = index / runs;
    if row >= params.rows {
        return;
    }
    let first = (index % runs) * RUN;
    let end = min(first + RUN, params.width);
    var peak = RULED_OUT;
    for (var i = first; i < end; i++) {
        peak = max(peak, rank_of(logits[row * params.width + i]));
    }
    peaks[index] = peak;
}
