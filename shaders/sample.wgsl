// Draws a token from each row of logits: top-k, top-p, min-p, temperature, then the inverse of the cumulative distribution, as
// the sampler on the host. A workgroup a row.
//
// The k best tokens are taken out one by one. Each thread holds the best that is left of its runs, a thread of each group
// the best of its group, and every thread compares the groups; of what was held, only the winner's changes. Without
// top-k the draw is in the order of tokens, where no token has to be found but the one that is drawn. Mirrors kernels/sample.rs.
import package::constants::{WG, GROUP, RUN, MAX_TOP_K};
import package::shared::logits::{INVALID, FAULT, RULED_OUT, rank_of, logit_of};

struct Params {
    rows: u32,
    width: u32,
}
var<immediate> params: Params;

struct Draw {
    top_k: u32,
    top_p: f32,
    depth: f32,
    temperature: f32,
    unit: f32,
}

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> peaks: array<u32>;
@group(0) @binding(2) var<storage, read> draws: array<Draw>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;

const GROUPS: u32 = WG / GROUP;
const LOWEST: f32 = -80.0; // exp of it is nothing beside exp(0), and still a normal number

// A token that may be chosen. Of equal ranks the lower token comes first.
struct Best {
    rank: u32,
    token: u32,
}

var<workgroup> of_threads: array<Best, WG>;
var<workgroup> of_groups: array<Best, GROUPS>;
var<workgroup> chosen: array<Best, MAX_TOP_K>;
var<workgroup> sums: array<f32, WG>;

fn comes_before(a: Best, b: Best) -> bool {
    return a.rank > b.rank || (a.rank == b.rank && a.token < b.token);
}

// The best token behind `last` of the runs that a thread owns.
fn best_of_thread(row: u32, thread: u32, last: Best) -> Best {
    let runs = (params.width + RUN - 1u) / RUN;
    var best = Best(RULED_OUT, INVALID);
    for (var run = thread; run < runs; run += WG) {
        let peak = peaks[row * runs + run];
        if peak == FAULT {
            return Best(FAULT, 0u);
        }
        // A run is looked into only where it may hold something better; its tokens stand behind those before it.
        if peak > best.rank {
            let end = min((run + 1u) * RUN, params.width);
            for (var token = run * RUN; token < end; token++) {
                let here = Best(rank_of(logits[row * params.width + token]), token);
                if here.rank > best.rank && comes_before(last, here) {
                    best = here;
                }
            }
        }
    }
    return best;
}

fn best_of_group(group: u32) -> Best {
    var best = of_threads[group * GROUP];
    for (var i = 1u; i < GROUP; i++) {
        let other = of_threads[group * GROUP + i];
        if comes_before(other, best) {
            best = other;
        }
    }
    return best;
}

fn best_of_all() -> Best {
    var best = of_groups[0];
    for (var i = 1u; i < GROUPS; i++) {
        if comes_before(of_groups[i], best) {
            best = of_groups[i];
        }
    }
    return best;
}

fn weight(logit: f32, peak: f32, temperature: f32) -> f32 {
    return exp(max((logit - peak) / temperature, LOWEST));
}

// The draw among the first `count` tokens of the list, which are sorted and not ruled out.
fn draw_of_list(draw: Draw, count: u32) -> u32 {
    let peak = logit_of(chosen[0].rank);
    var kept = count;
    if draw.top_p < 1.0 {
        var total = 0.0;
        for (var i = 0u; i < count; i++) {
            total += weight(logit_of(chosen[i].rank), peak, 1.0);
        }
        let target_mass = draw.top_p * total;
        var mass = 0.0;
        for (var i = 0u; i < count; i++) {
            mass += weight(logit_of(chosen[i].rank), peak, 1.0);
            if mass >= target_mass {
                kept = i + 1u;
                break;
            }
        }
    }
    while kept > 1u && peak - logit_of(chosen[kept - 1u].rank) > draw.depth {
        kept -= 1u;
    }
    var total = 0.0;
    for (var i = 0u; i < kept; i++) {
        total += weight(logit_of(chosen[i].rank), peak, draw.temperature);
    }
    let place = draw.unit * total;
    var reached = 0.0;
    for (var i = 0u; i + 1u < kept; i++) {
        reached += weight(logit_of(chosen[i].rank), peak, draw.temperature);
        if place < reached {
            return chosen[i].token;
        }
    }
    return chosen[kept - 1u].token;
}

// The first token of a thread's share of the row whose weights, with all before it, go beyond `place`; else the last that has
// any weight. `total` is the weight of the share.
struct Walk {
    token: u32,
    total: f32,
}

fn walk(row: u32, thread: u32, draw: Draw, peak: f32, place: f32) -> Walk {
    let runs = (params.width + RUN - 1u) / RUN;
    let share = (runs + WG - 1u) / WG;
    let end_run = min((thread + 1u) * share, runs);
    var done = Walk(INVALID, 0.0);
    for (var run = thread * share; run < end_run; run++) {
        let run_peak = peaks[row * runs + run];
        if run_peak == RULED_OUT || peak - logit_of(run_peak) > draw.depth {
            continue;
        }
        let end = min((run + 1u) * RUN, params.width);
        for (var token = run * RUN; token < end; token++) {
            let rank = rank_of(logits[row * params.width + token]);
            if rank == RULED_OUT || peak - logit_of(rank) > draw.depth {
                continue;
            }
            if done.token == INVALID || done.total <= place {
                done.token = token;
            }
            done.total += weight(logit_of(rank), peak, draw.temperature);
        }
    }
    return done;
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
    let draw = draws[row];
    of_threads[thread] = best_of_thread(row, thread, Best(FAULT, 0u));
    workgroupBarrier();
    if thread < GROUPS {
        of_groups[thread] = best_of_group(thread);
    }
    workgroupBarrier();
    var last = best_of_all();
    let top = last;
    let is_sound = top.rank != FAULT && top.rank != RULED_OUT;

    if draw.top_k > 0u {
        var count = 0u;
        for (var round = 1u; round <= min(draw.top_k, MAX_TOP_K); round++) {
            // What is ruled out is not in the list: there may be less than k tokens that are not.
            if last.rank != RULED_OUT {
                if thread == 0u {
                    chosen[count] = last;
                }
                count += 1u;
            }
            let owner = (last.token / RUN) % WG;
            if thread == owner {
                of_threads[thread] = best_of_thread(row, thread, last);
            }
            workgroupBarrier();
            if thread == owner / GROUP {
                of_groups[thread] = best_of_group(thread);
            }
            workgroupBarrier();
            last = best_of_all();
        }
        if thread == 0u {
            if is_sound {
                tokens[row] = draw_of_list(draw, count);
            } else {
                tokens[row] = INVALID;
            }
        }
        return;
    }

    let peak = logit_of(top.rank);
    if is_sound {
        sums[thread] = walk(row, thread, draw, peak, 0.0).total;
    }
    workgroupBarrier();
    if !is_sound {
        if thread == 0u {
            tokens[row] = INVALID;
        }
        return;
    }
    // Every thread adds up in the same order, so that they agree on where each share begins.
    var total = 0.0;
    var before = 0.0;
    for (var i = 0u; i < WG; i++) {
        if i == thread {
            before = total;
        }
        total += sums[i];
    }
    let place = draw.unit * total;
    // Below the total, for the unit is below 1 and the product is rounded correctly: it lies in just one share.
    if before <= place && place < before + sums[thread] {
        tokens[row] = walk(row, thread, draw, peak, place - before).token;
    }
}
