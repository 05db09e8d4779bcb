// The last of the best tokens that together reach a goal: a number of tokens, or a sum of their probabilities.
//
// Nothing is sorted. The rank of that token is looked for between one that is low enough and one that is too high: a turn weighs
// the tokens of at least each of four ranks between them, and goes on between two neighbours, of which the lower reaches the goal.
// The peaks tell which runs have to be looked into. All sums have one order, in which more tokens never weigh less.
import package::constants::{WG, GROUP, RUN};
import package::shared::logits::{INVALID, rank_of, logit_of};
import package::shared::sample_io::{Best, comes_before, earlier, weight, params, logits, peaks};

const GROUPS: u32 = WG / GROUP;
const GUESSES: u32 = 3u;
const TURNS: u32 = GUESSES + 14u; // 5 to the power of 14 is more than there are ranks

var<workgroup> weights_of_threads: array<vec4<f32>, WG>;
var<workgroup> weights_of_groups: array<vec4<f32>, GROUPS>;
var<workgroup> ties: array<u32, WG>;
var<workgroup> edge_token: u32;

// What the tokens of at least each of four rising ranks weigh in the runs that a thread owns, but for those behind `last`.
fn weigh_of_thread(row: u32, thread: u32, ranks: vec4<u32>, last: Best, peak: f32, counts: bool) -> vec4<f32> {
    let runs = (params.width + RUN - 1u) / RUN;
    var weights = vec4<f32>(0.0);
    for (var run = thread; run < runs; run += WG) {
        if peaks[row * runs + run] < ranks.x {
            continue;
        }
        let end = min((run + 1u) * RUN, params.width);
        for (var token = run * RUN; token < end; token++) {
            let logit = logits[row * params.width + token];
            let here = Best(rank_of(logit), token);
            if here.rank >= ranks.x && !comes_before(last, here) {
                let one = select(weight(logit, peak, 1.0), 1.0, counts);
                weights += select(vec4<f32>(0.0), vec4<f32>(one), vec4<u32>(here.rank) >= ranks);
            }
        }
    }
    return weights;
}

// The sum of what the threads have weighed, if they have. Every thread adds up the groups, so that all agree.
fn sum_of_threads(thread: u32, is_weighed: bool) -> vec4<f32> {
    workgroupBarrier();
    // Compilers that unroll loops of a known length take seconds over these.
    if thread < GROUPS {
        var weights = vec4<f32>(0.0);
        for (var i = select(GROUP, 0u, is_weighed); i < GROUP; i++) {
            weights += weights_of_threads[thread * GROUP + i];
        }
        weights_of_groups[thread] = weights;
    }
    workgroupBarrier();
    var weights = vec4<f32>(0.0);
    for (var i = select(GROUPS, 0u, is_weighed); i < GROUPS; i++) {
        weights += weights_of_groups[i];
    }
    return weights;
}

// The tokens of one rank in a thread's share of the row: how many there are, and the `nth` of them, counted from 1.
struct Ties {
    count: u32,
    token: u32,
}

fn ties_of_share(row: u32, thread: u32, rank: u32, nth: u32) -> Ties {
    let runs = (params.width + RUN - 1u) / RUN;
    let share = (runs + WG - 1u) / WG;
    let end_run = min((thread + 1u) * share, runs);
    var found = Ties(0u, INVALID);
    for (var run = thread * share; run < end_run; run++) {
        if peaks[row * runs + run] < rank {
            continue;
        }
        let end = min((run + 1u) * RUN, params.width);
        for (var token = run * RUN; token < end; token++) {
            if rank_of(logits[row * params.width + token]) == rank {
                found.count += 1u;
                if found.count == nth {
                    found.token = token;
                }
            }
        }
    }
    return found;
}

// The `nth` token of a rank, counted from 1; INVALID, behind all, where there are less. For the whole workgroup.
fn nth_of_rank(row: u32, thread: u32, rank: u32, nth: u32) -> u32 {
    ties[thread] = ties_of_share(row, thread, rank, 0u).count;
    if thread == 0u {
        edge_token = INVALID;
    }
    workgroupBarrier();
    var before = 0u;
    for (var i = 0u; i < thread; i++) {
        before += ties[i];
    }
    if before < nth && nth <= before + ties[thread] {
        edge_token = ties_of_share(row, thread, rank, nth - before).token;
    }
    workgroupBarrier();
    return edge_token;
}

// The last of the fewest best tokens that reach a goal, or `last`, behind which none is looked at. Where a token `counts`, the
// goal is a number of them; else it is a share of what `last` and all before it weigh at temperature 1, and ends at the rank
// `least`. `top` is the best of all, and `peak` its logit. For the whole workgroup.
fn edge_of(row: u32, thread: u32, top: Best, peak: f32, last: Best, least: u32, part: f32, counts: bool) -> Best {
    var goal = part;
    var low = last.rank;
    var high = top.rank + 1u;
    var weight_of_low = f32(params.width);
    var weight_of_high = 0.0;
    var is_low_reached = false;
    var distance = 8.0;
    for (var turn = 0u; turn < TURNS; turn++) {
        let weighs_all = turn == 0u && !counts;
        var ranks = low + (high - low + 4u) / 5u * vec4<u32>(1u, 2u, 3u, 4u);
        if turn < GUESSES && !is_low_reached {
            // As a rule it lies near the peak, where few runs have to be looked into.
            let guess = peak - distance * vec4<f32>(1.0, 0.5, 0.25, 0.125);
            ranks = vec4<u32>(rank_of(guess.x), rank_of(guess.y), rank_of(guess.z), rank_of(guess.w));
        }
        ranks = min(max(ranks, vec4<u32>(low + 1u)), vec4<u32>(high - 1u));
        if weighs_all {
            ranks = vec4<u32>(low);
        }
        // Closed where just one token lies between; then `low` does as well as its rank. Barriers stand where every thread passes.
        let lightest = select(weight(logit_of(low), peak, 1.0), 1.0, counts);
        let is_open = weighs_all || (high - low > 1u && weight_of_low - weight_of_high > 1.5 * lightest);
        if is_open {
            weights_of_threads[thread] = weigh_of_thread(row, thread, ranks, last, peak, counts);
        }
        let weights = sum_of_threads(thread, is_open);
        if weighs_all {
            goal = part * weights.x;
            weight_of_low = weights.x;
            low = max(low, least);
        } else if is_open {
            distance *= 16.0;
            for (var i = 0u; i < 4u; i++) {
                if weights[i] < goal {
                    high = ranks[i];
                    weight_of_high = weights[i];
                    break;
                }
                low = ranks[i];
                weight_of_low = weights[i];
                is_low_reached = true;
            }
        }
    }
    // Of equal logits the lower tokens come first.
    let missing = goal - weight_of_high;
    let needed = select(ceil(missing / weight(logit_of(low), peak, 1.0)), missing, counts);
    let nth = u32(clamp(needed, 1.0, f32(params.width)));
    return earlier(last, Best(low, nth_of_rank(row, thread, low, nth)));
}
