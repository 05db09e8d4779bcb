// Draws a token from each row of logits: top-k, top-p, min-p, temperature, then the inverse of the cumulative distribution, as
// the sampler on the host. A workgroup a row.
//
// Few best tokens are taken out one by one. Each thread holds the best that is left of its runs, a thread of each group
// the best of its group, and every thread compares the groups; of what was held, only the winner's changes, and the threads of
// its group look through its runs for the next. More than a list holds are never sorted: only the last of them is looked for, and the draw among those before it is in the order of tokens.
// Mirrors kernels/sample.rs.
import package::constants::{WG, GROUP, RUN, MAX_TOP_K};
import package::shared::logits::{INVALID, FAULT, RULED_OUT, rank_of, logit_of};
import package::shared::sample_edge::edge_of;
import package::shared::sample_io::{Best, Draw, comes_before, earlier, weight, params, logits, peaks, draws, tokens};

const GROUPS: u32 = WG / GROUP;
// How far below the largest logit nothing adds to a sum of weights: exp(-32) of a million tokens is less than a rounding.
const REACH: f32 = 32.0;

var<workgroup> of_threads: array<Best, WG>;
var<workgroup> of_groups: array<Best, GROUPS>;
var<workgroup> of_shares: array<Best, GROUP>;
var<workgroup> chosen: array<Best, MAX_TOP_K>;
var<workgroup> sums: array<f32, WG>;

// The best token behind `last` of every `step`th run from `first` on.
fn best_of_runs(row: u32, first: u32, step: u32, last: Best) -> Best {
    let runs = (params.width + RUN - 1u) / RUN;
    var best = Best(RULED_OUT, INVALID);
    for (var run = first; run < runs; run += step) {
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

// The best of the winner's runs, which the threads of its group have shared.
fn best_of_shares() -> Best {
    var best = of_shares[0];
    for (var i = 1u; i < GROUP; i++) {
        best = earlier(best, of_shares[i]);
    }
    return best;
}

fn best_of_group(group: u32) -> Best {
    var best = of_threads[group * GROUP];
    for (var i = 1u; i < GROUP; i++) {
        best = earlier(best, of_threads[group * GROUP + i]);
    }
    return best;
}

fn best_of_all() -> Best {
    var best = of_groups[0];
    for (var i = 1u; i < GROUPS; i++) {
        best = earlier(best, of_groups[i]);
    }
    return best;
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
// any weight. `total` is the weight of the share. Nothing behind `last` is drawn.
struct Walk {
    token: u32,
    total: f32,
}

fn walk(row: u32, thread: u32, last: Best, peak: f32, temperature: f32, place: f32) -> Walk {
    let runs = (params.width + RUN - 1u) / RUN;
    let share = (runs + WG - 1u) / WG;
    let end_run = min((thread + 1u) * share, runs);
    var done = Walk(INVALID, 0.0);
    for (var run = thread * share; run < end_run; run++) {
        if peaks[row * runs + run] < last.rank {
            continue;
        }
        let end = min((run + 1u) * RUN, params.width);
        for (var token = run * RUN; token < end; token++) {
            let logit = logits[row * params.width + token];
            if comes_before(last, Best(rank_of(logit), token)) {
                continue;
            }
            if done.token == INVALID || done.total <= place {
                done.token = token;
            }
            done.total += weight(logit, peak, temperature);
        }
    }
    return done;
}

// The last token that has at most the distance `depth` to the largest logit, and is not ruled out.
fn last_within(depth: f32, peak: f32) -> Best {
    return Best(max(rank_of(peak - depth), RULED_OUT + 1u), INVALID);
}

// The last token that may be drawn.
fn last_of(row: u32, thread: u32, draw: Draw, top: Best, peak: f32) -> Best {
    let has_nucleus = draw.top_p < 1.0;
    let likely = last_within(draw.depth, peak);
    // The nucleus is judged before min-p, which otherwise may come first.
    var last = likely;
    if has_nucleus {
        last = last_within(REACH, peak);
    }
    // One call in a loop, for compilers put the whole search where it is called.
    for (var stage = 0u; stage < 2u; stage++) {
        let counts = stage == 0u;
        let is_used = select(has_nucleus, draw.top_k > 0u && draw.top_k < params.width, counts);
        if is_used {
            let part = select(draw.top_p, f32(draw.top_k), counts);
            last = edge_of(row, thread, top, peak, last, likely.rank, part, counts);
        }
    }
    return last;
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
    of_threads[thread] = best_of_runs(row, thread, WG, Best(FAULT, 0u));
    workgroupBarrier();
    if thread < GROUPS {
        of_groups[thread] = best_of_group(thread);
    }
    workgroupBarrier();
    var last = best_of_all();
    let top = last;
    let is_sound = top.rank != FAULT && top.rank != RULED_OUT;

    if draw.top_k > 0u && draw.top_k <= MAX_TOP_K {
        var count = 0u;
        for (var round = 1u; round <= draw.top_k; round++) {
            // What is ruled out is not in the list: there may be less than k tokens that are not.
            if last.rank != RULED_OUT {
                if thread == 0u {
                    chosen[count] = last;
                }
                count += 1u;
            }
            let owner = (last.token / RUN) % WG;
            if thread / GROUP == owner / GROUP {
                let share = thread % GROUP;
                of_shares[share] = best_of_runs(row, owner + share * WG, GROUP * WG, last);
            }
            workgroupBarrier();
            if thread == owner / GROUP {
                of_threads[owner] = best_of_shares();
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

    // Of a row that is not sound, what is found means nothing; but barriers stand where every thread passes.
    let peak = logit_of(top.rank);
    last = last_of(row, thread, draw, top, peak);
    if is_sound {
        sums[thread] = walk(row, thread, last, peak, draw.temperature, 0.0).total;
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
        tokens[row] = walk(row, thread, last, peak, draw.temperature, place - before).token;
    }
}
