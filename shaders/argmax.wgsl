// The index of the largest logit of each row, the lowest index on a tie; 0xffffffff where a row holds NaN or +infinity, or
// nothing but -infinity, so that no token is ever made from one. A workgroup a row reads the peaks of its runs, which many
// workgroups have found, and looks into the run with the largest. Mirrors kernels/argmax.rs.
import package::constants::{WG, RUN};
import package::shared::logits::{INVALID, FAULT, RULED_OUT, rank_of};

struct Params {
    rows: u32,
    width: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> peaks: array<u32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<u32>;

// The largest peak of a thread's runs, and the first run that has it.
var<workgroup> ranks: array<u32, WG>;
var<workgroup> places: array<u32, WG>;

// The first token of a run whose logit has this rank.
fn token_of(row: u32, run: u32, rank: u32) -> u32 {
    let end = min((run + 1u) * RUN, params.width);
    for (var token = run * RUN; token < end; token++) {
        if rank_of(logits[row * params.width + token]) == rank {
            return token;
        }
    }
    return INVALID;
}

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
    let runs = (params.width + RUN - 1u) / RUN;
    var rank = RULED_OUT;
    var place = 0u;
    for (var run = thread; run < runs; run += WG) {
        let peak = peaks[row * runs + run];
        if peak > rank {
            rank = peak;
            place = run;
        }
    }
    ranks[thread] = rank;
    places[thread] = place;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            let other = thread + half;
            if ranks[other] > ranks[thread] || (ranks[other] == ranks[thread] && places[other] < places[thread]) {
                ranks[thread] = ranks[other];
                places[thread] = places[other];
            }
        }
    }
    if thread == 0u {
        rank = ranks[0];
        if rank == FAULT || rank == RULED_OUT {
            tokens[row] = INVALID;
        } else {
            tokens[row] = token_of(row, places[0], rank);
        }
    }
}
