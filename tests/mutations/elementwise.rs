//! Faults of the kernels beside attention and the matrix products.

use super::{Kind::*, Mutation, plant};

pub const ARGMAX: &[Mutation] = &[
    plant(Tail, "the last run is left out", "run < runs;", "run < runs - 1u;"),
    plant(Bounds, "a run behind the last is read", "run < runs;", "run <= runs;"),
    plant(
        Tail,
        "the last logit is left out",
        "(run + 1u) * RUN, params.width)",
        "(run + 1u) * RUN, params.width - 1u)",
    ),
    plant(Tail, "a run's last logit is left out", "(run + 1u) * RUN,", "(run + 1u) * RUN - 1u,"),
    plant(Loop, "only a thread's first run is looked at", "run += WG", "run += WG * 1000u"),
    plant(Grid, "the grid's second axis is ignored", "wg.y * grid.x + wg.x", "wg.x"),
    plant(Address, "rows are taken to be one longer", "row * params.width", "row * (params.width + 1u)"),
    plant(Address, "rows are taken to have one run more", "row * runs", "row * (runs + 1u)"),
    plant(Start, "a row without a logit above 0 has no largest", "var rank = RULED_OUT", "var rank = 0x80000000u"),
    plant(Ties, "the last of a thread's ties wins", "peak > rank", "peak >= rank"),
    plant(
        Ties,
        "the highest index wins between threads",
        "places[other] < places[thread]",
        "places[other] > places[thread]",
    ),
    plant(
        Ties,
        "the last of a run's ties wins",
        "            return token;",
        "            if token + 1u == end || rank_of(logits[row * params.width + token + 1u]) != rank { return token; }",
    ),
    plant(Special, "a row with a NaN has a largest", "rank == FAULT || rank == RULED_OUT", "rank == RULED_OUT"),
    plant(Special, "a row of -infinity has a largest", "rank == FAULT || rank == RULED_OUT", "rank == FAULT"),
    plant(Barrier, "the reduction does not wait", "workgroupBarrier();", ""),
    plant(Tail, "half of the threads are left out", "half = WG / 2u", "half = WG / 4u"),
    plant(Tail, "the reduction's last step is left out", "half > 0u", "half > 1u"),
];

pub const LOGITS: &[Mutation] = &[
    plant(Special, "infinity is passed over", "bits == INFINITY || ", ""),
    plant(Special, "-infinity is taken for a fault", "(bits & ~SIGN) > INFINITY", "(bits & ~SIGN) >= INFINITY"),
    plant(Special, "a NaN with a sign is a number", "(bits & ~SIGN) > INFINITY", "(bits > INFINITY && bits < SIGN)"),
    plant(Special, "-infinity has the rank of a number", "bits == (SIGN | INFINITY)", "bits == INFINITY"),
    plant(Ties, "-0 stands before 0", "~bits, bits > SIGN", "~bits, bits >= SIGN"),
    plant(
        Address,
        "negative logits stand in the other order",
        "select(bits | SIGN, ~bits,",
        "select(bits | SIGN, bits & ~SIGN,",
    ),
    plant(
        Codes,
        "a rank's logit has the other sign",
        "select(~rank, rank & ~SIGN, rank >= SIGN)",
        "select(~rank, rank, rank >= SIGN)",
    ),
];

pub const RUN_PEAKS: &[Mutation] = &[
    plant(Tail, "the last run is left out", "row >= params.rows", "index + 1u >= params.rows * runs"),
    plant(Bounds, "a run behind the last is written", "row >= params.rows", "row > params.rows"),
    plant(Tail, "a run's last logit is left out", "i < end", "i + 1u < end"),
    plant(Bounds, "a row's last run goes on into the next row", "min(first + RUN, params.width)", "first + RUN"),
    plant(Tail, "a row's last run is left out", "(params.width + RUN - 1u) / RUN", "max(params.width / RUN, 1u)"),
    plant(Grid, "the grid's second axis is ignored", "(wg.y * grid.x + wg.x)", "wg.x"),
    plant(Address, "rows are taken to be one longer", "row * params.width", "row * (params.width + 1u)"),
    plant(Start, "a run of negative logits has the peak 0", "var peak = RULED_OUT", "var peak = 0x80000000u"),
];

pub const SAMPLE: &[Mutation] = &[
    plant(Tail, "the last row is left out", "row >= params.rows", "row + 1u >= params.rows"),
    plant(Tail, "the best list is one short", "round <= draw.top_k", "round < draw.top_k"),
    plant(Bounds, "the best list is one too long", "round <= draw.top_k", "round <= min(draw.top_k + 1u, MAX_TOP_K)"),
    plant(Address, "the longest list is drawn from in the order of tokens", "<= MAX_TOP_K", "< MAX_TOP_K"),
    plant(Loop, "only a thread's first run is looked into", "run += step", "run += step * 1000u"),
    plant(Address, "the shares of the winner's runs overlap", "owner + share * WG", "owner + share / 2u * WG"),
    plant(
        Tail,
        "the last share of the winner's runs is left out",
        "best = earlier(best, of_shares[i]);",
        "best = earlier(best, of_shares[i - 1u]);",
    ),
    plant(Loop, "a share has one run", "GROUP * WG, last", "GROUP * WG * 1000u, last"),
    plant(
        Tail,
        "a run's last logit is left out",
        "token < end; token++) {\n                let here",
        "token + 1u < end; token++) {\n                let here",
    ),
    plant(Special, "a fault in a run is passed over", "if peak == FAULT", "if peak == FAULT && step == 0u"),
    plant(Special, "a row of nothing has a best", " && top.rank != RULED_OUT", ""),
    plant(Special, "what is ruled out stands in the list", "if last.rank != RULED_OUT", "if last.rank != FAULT"),
    plant(
        Address,
        "the winner's neighbour looks for its next",
        "(last.token / RUN) % WG",
        "(last.token / RUN + 1u) % WG",
    ),
    plant(Address, "the first group is looked through again", "thread == owner / GROUP", "thread == 0u"),
    plant(
        Tail,
        "a group's last thread is left out",
        "of_threads[group * GROUP + i]",
        "of_threads[group * GROUP + i - 1u]",
    ),
    plant(Tail, "the last group is left out", "i < GROUPS; i++", "i < GROUPS - 1u; i++"),
    plant(
        Barrier,
        "the groups do not wait for their threads",
        "    workgroupBarrier();\n    if thread < GROUPS",
        "    if thread < GROUPS",
    ),
    plant(
        Barrier,
        "nobody waits for the groups",
        "best_of_group(thread);\n    }\n    workgroupBarrier();",
        "best_of_group(thread);\n    }",
    ),
    plant(
        Barrier,
        "the group does not wait for the winner",
        "            workgroupBarrier();\n            if thread == owner",
        "            if thread == owner",
    ),
    plant(Scale, "the nucleus is the whole list's", "draw.top_p * total", "total"),
    plant(Bounds, "the nucleus has a token too many", "kept = i + 1u", "kept = min(i + 2u, count)"),
    plant(
        Scale,
        "the nucleus is that of the temperature",
        "mass += weight(logit_of(chosen[i].rank), peak, 1.0)",
        "mass += weight(logit_of(chosen[i].rank), peak, draw.temperature)",
    ),
    plant(Scale, "min-p is forgotten in the list", "> draw.depth {\n        kept", "> 1e38 {\n        kept"),
    plant(Scale, "min-p is forgotten without a list", "last_within(draw.depth, peak)", "last_within(1e38, peak)"),
    plant(Ties, "just one of the least likely is drawn", "RULED_OUT + 1u), INVALID)", "RULED_OUT + 1u), 0u)"),
    plant(
        Special,
        "what is ruled out is drawn",
        "rank_of(peak - depth), RULED_OUT + 1u",
        "rank_of(peak - depth), RULED_OUT",
    ),
    plant(Scale, "the nucleus ends where there is still weight", "REACH: f32 = 32.0", "REACH: f32 = 1.0"),
    plant(Bounds, "a top-k that no list holds is none", "draw.top_k < params.width", "draw.top_k < 2u"),
    plant(
        Ties,
        "a run that only just reaches the last is passed over",
        "peaks[row * runs + run] < last.rank",
        "peaks[row * runs + run] <= last.rank",
    ),
    plant(
        Ties,
        "equals of the last are drawn",
        "comes_before(last, Best(rank_of(logit), token))",
        "rank_of(logit) < last.rank",
    ),
    plant(
        Scale,
        "the place is that of the uniform distribution",
        "let place = draw.unit * total;\n    var reached",
        "let place = draw.unit * f32(kept);\n    var reached",
    ),
    plant(Address, "the draw goes one token too far", "place < reached", "place + 0.5 < reached"),
    plant(Start, "the walk begins at the row's start", "place - before).token", "place).token"),
    plant(Tail, "the last share is left out", "i < WG; i++", "i < WG - 1u; i++"),
    plant(
        Address,
        "shares overlap",
        "var run = thread * share; run < end_run",
        "var run = thread * share / 2u; run < end_run",
    ),
    plant(
        Barrier,
        "nobody waits for the sums",
        "draw.temperature, 0.0).total;\n    }\n    workgroupBarrier();",
        "draw.temperature, 0.0).total;\n    }",
    ),
];

pub const SAMPLE_IO: &[Mutation] = &[
    plant(Ties, "of equal ranks the higher token comes first", "a.token < b.token", "a.token > b.token"),
    plant(Ties, "equal ranks are taken for one", " || (a.rank == b.rank && a.token < b.token)", ""),
    plant(Bounds, "of two last tokens the later one is the last", "comes_before(b, a)", "comes_before(a, b)"),
    plant(Scale, "the temperature multiplies", "(logit - peak) / temperature", "(logit - peak) * temperature"),
    plant(
        Special,
        "weights may overflow",
        "max((logit - peak) / temperature, LOWEST)",
        "max((logit - peak) / temperature, -3.0)",
    ),
];

pub const SAMPLE_EDGE: &[Mutation] = &[
    plant(Loop, "only a thread's first run is weighed", "run += WG", "run += WG * 1000u"),
    plant(Loop, "the turns end before the edge is found", "GUESSES + 14u", "GUESSES"),
    plant(
        Tail,
        "a run's last logit is not weighed",
        "token < end; token++) {\n            let logit",
        "token + 1u < end; token++) {\n            let logit",
    ),
    plant(
        Tail,
        "a run's last logit is no tie",
        "token < end; token++) {\n            if rank_of",
        "token + 1u < end; token++) {\n            if rank_of",
    ),
    plant(Scale, "the nucleus is that of what min-p leaves", "low = last.rank", "low = max(last.rank, least)"),
    plant(Scale, "min-p is forgotten in the nucleus", "max(low, least)", "max(low, 1u)"),
    plant(Scale, "the nucleus is the whole row", "part * weights.x", "weights.x"),
    plant(Special, "logits too large to differ have no nucleus", "weighs_all || (high", "(high"),
    plant(Ties, "what top-k has left out is weighed", " && !comes_before(last, here)", ""),
    plant(
        Scale,
        "a token counts for what it weighs",
        "select(weight(logit, peak, 1.0), 1.0, counts)",
        "weight(logit, peak, 1.0)",
    ),
    plant(Tail, "a group's last thread is left out", "i < GROUP; i++", "i < GROUP - 1u; i++"),
    plant(Tail, "the last group is left out", "i < GROUPS; i++", "i < GROUPS - 1u; i++"),
    plant(
        Barrier,
        "the groups do not wait for their threads",
        "    workgroupBarrier();\n    // Compilers",
        "    // Compilers",
    ),
    plant(
        Barrier,
        "nobody waits for the groups",
        "weights_of_groups[thread] = weights;\n    }\n    workgroupBarrier();",
        "weights_of_groups[thread] = weights;\n    }",
    ),
    plant(Start, "the best token is taken to miss the goal", "top.rank + 1u", "top.rank"),
    plant(Bounds, "the goal has to be passed", "weights[i] < goal", "weights[i] <= goal"),
    plant(Bounds, "of two tokens the later one is the last", "> 1.5 * lightest", "> 2.5 * lightest"),
    plant(Start, "what comes before the edge is forgotten", "weight_of_high = weights[i]", "weight_of_high = 0.0"),
    plant(Ties, "all equals of the last are drawn", "clamp(needed, 1.0,", "clamp(1e9, 1.0,"),
    plant(Ties, "a goal of 0 takes all equals", "clamp(needed, 1.0,", "clamp(needed, 0.0,"),
    plant(Ties, "a share's last tie is overlooked", "nth <= before + ties[thread]", "nth < before + ties[thread]"),
    plant(Address, "ties are counted from each share's start", "rank, nth - before", "rank, nth"),
    plant(Address, "the ties of the share before do not count", "i < thread; i++", "i + 1u < thread; i++"),
    plant(
        Barrier,
        "nobody waits for the last tie",
        "    workgroupBarrier();\n    return edge_token",
        "    return edge_token",
    ),
];

pub const TO_TEXELS: &[Mutation] = &[
    plant(Tail, "the last pair is left out", "index >= params.pairs", "index + 1u >= params.pairs"),
    plant(Bounds, "a pair behind the last is written", "index >= params.pairs", "index > params.pairs"),
    plant(Address, "the second texel is the first", "words.hi", "words.lo"),
    plant(Address, "pairs are one texel apart", "place(2u * index)", "place(index)"),
];

pub const EMBED: &[Mutation] = &[
    plant(Address, "blocks are half as long", "load_block(row, part / 8u", "load_block(row, part / 4u"),
    plant(Address, "a row has another one's scales", "scales, row % 4u", "scales, (row + 1u) % 4u"),
    plant(Tail, "a row of half a block too many is shorter", "(parts + 7u) / 8u", "parts / 8u"),
    plant(Address, "the place of a token is taken for a token", "(id & SAMPLED) != 0u", "(id & SAMPLED) == 1u"),
    plant(
        Address,
        "the first of the tokens that the device chose is all of them",
        "sampled[id & ~SAMPLED]",
        "sampled[0]",
    ),
    plant(Tail, "the last token is left out", "token >= params.tokens", "token + 1u >= params.tokens"),
    plant(Bounds, "a token behind the last is embedded", "token >= params.tokens", "token > params.tokens"),
    // Not the grid's second axis: the output would be larger than the binding that every adapter allows.
    plant(Address, "the shard's first row is ignored", "id - params.row0", "id"),
    plant(Bounds, "a row behind the shard's last is read", "row >= params.rows", "row > params.rows"),
    plant(Tail, "the shard's last row is left out", "row >= params.rows", "row + 1u >= params.rows"),
    plant(Address, "rows are taken to be one group longer", "parts / 4u)", "parts / 4u + 1u)"),
    plant(
        Address,
        "the halves of eight weights are swapped",
        "x[index * 2u] = params.scale * w.lo",
        "x[index * 2u] = params.scale * w.hi",
    ),
    plant(Scale, "half of the elements are not scaled", "params.scale * w.hi", "w.hi"),
    plant(Tail, "a group's last part repeats the one before", "part % 4u)", "min(part % 4u, 2u))"),
];

pub const GATED_ACTIVATION: &[Mutation] = &[
    plant(Tail, "the last row is left out", "row >= params.rows", "row + 1u >= params.rows"),
    plant(Bounds, "a row behind the last is written", "row >= params.rows", "row > params.rows"),
    plant(Tail, "the last column is left out", "column >= params.dim4", "column + 1u >= params.dim4"),
    plant(Grid, "the grid's third axis is ignored", "wg.z * grid.y + wg.y", "wg.y"),
    plant(Address, "the activation is multiplied by its input", "x[gate + params.dim4]", "x[gate]"),
    plant(
        Address,
        "rows of x are taken to be as long as those of y",
        "let gate = index + row * params.dim4",
        "let gate = index",
    ),
    plant(Address, "two texels are the same", "place(index)", "place(index & ~1u)"),
];

pub const ACTIVATION: &[Mutation] = &[
    plant(Scale, "SiLU's exponent has the other sign", "min(-v, vec4<f32>(80.0))", "min(v, vec4<f32>(80.0))"),
    plant(Special, "SiLU is cut off at -8", "min(-v, vec4<f32>(80.0))", "min(-v, vec4<f32>(8.0))"),
    plant(
        Special,
        "SiLU clamps where it should take the minimum",
        "min(-v, vec4<f32>(80.0))",
        "clamp(-v, vec4<f32>(0.0), vec4<f32>(80.0))",
    ),
    plant(
        Special,
        "tanh overflows to inf / inf",
        "let t = 1.0 - 2.0 / (exp(min(2.0 * u, vec4<f32>(80.0))) + 1.0);",
        "let e = exp(2.0 * u);\n    let t = (e - 1.0) / (e + 1.0);",
    ),
    plant(Scale, "GELU's cubic term is half as large", "0.044715", "0.0223575"),
    plant(Precision, "sqrt(2 / pi) has three digits", "0.7978845608028654", "0.798"),
    plant(
        Precision,
        "GELU by the sigmoid, another function",
        "return 0.5 * v * (1.0 + t);",
        "return v / (1.0 + exp(min(-1.702 * v, vec4<f32>(80.0))));",
    ),
];

pub const GATHER_ROWS: &[Mutation] = &[
    plant(Tail, "the last vector is left out", "index >= params.count", "index + 1u >= params.count"),
    plant(Bounds, "a vector behind the last is written", "index >= params.count", "index > params.count"),
    plant(Grid, "the grid's second axis is ignored", "(wg.y * grid.x + wg.x)", "wg.x"),
    plant(
        Address,
        "the first rows are taken, not those asked for",
        "x[rows[index / params.dim4]",
        "x[(index / params.dim4)",
    ),
    plant(
        Address,
        "the vectors of a row are reversed",
        "+ index % params.dim4",
        "+ params.dim4 - 1u - index % params.dim4",
    ),
    plant(Address, "rows are taken to be one vector shorter", "* params.dim4 + index", "* (params.dim4 - 1u) + index"),
];

pub const RESIDUAL_NORM: &[Mutation] = &[
    plant(Address, "every row of texels is the first", "place(base + i)", "place(i)"),
    plant(
        Tail,
        "the last vector of delta is left out of its mean",
        "i < params.dim4; i += WG) {\n        let v",
        "i < params.dim4 - 1u; i += WG) {\n        let v",
    ),
    plant(
        Tail,
        "the last vector is not added",
        "i < params.dim4; i += WG) {\n        @if",
        "i < params.dim4 - 1u; i += WG) {\n        @if",
    ),
    plant(
        Bounds,
        "a vector behind the last is added",
        "i < params.dim4; i += WG) {\n        @if",
        "i <= params.dim4; i += WG) {\n        @if",
    ),
    plant(
        Tail,
        "the last vector is not normed",
        "i < params.dim4; i += WG) {\n        let n",
        "i < params.dim4 - 1u; i += WG) {\n        let n",
    ),
    plant(
        Bounds,
        "a vector behind the last is normed",
        "i < params.dim4; i += WG) {\n        let n",
        "i <= params.dim4; i += WG) {\n        let n",
    ),
    plant(Barrier, "the second sum begins while the first is read", "workgroupBarrier();", "_ = thread;"),
    plant(Tail, "what a second turn sums replaces the first", " squares += dot(v, v)", " squares = dot(v, v)"),
    plant(
        Tail,
        "what a second turn sums of delta replaces the first",
        "delta_squares += dot(v, v)",
        "delta_squares = dot(v, v)",
    ),
    plant(Grid, "the grid's second axis is ignored", "wg.y * grid.x + wg.x", "wg.x"),
    plant(Address, "rows are taken to be one vector longer", "row * params.dim4", "row * (params.dim4 + 1u)"),
    plant(
        Address,
        "every row adds the first one's delta",
        "let v = x[base + i] + delta[base + i];",
        "let v = x[base + i] + delta[i];",
    ),
    plant(Start, "the sum replaces what was normed, not x", "x[base + i] = v;", ""),
    plant(
        Start,
        "the mean is that of delta",
        "squares += dot(v, v);\n    }\n    let scale",
        "squares += dot(delta[base + i], delta[base + i]);\n    }\n    let scale",
    ),
    plant(Scale, "the mean is the sum", "/ f32(params.dim4 * 4u)", ""),
    plant(Scale, "eps is forgotten", "mean + params.eps", "mean"),
    plant(Scale, "delta is not normed", "delta[base + i] * delta_scale *", "delta[base + i] *"),
    plant(Scale, "the offset of delta's weight is forgotten", "(post_weight[i] + params.offset)", "post_weight[i]"),
    plant(Scale, "the weight's offset is forgotten", "(weight[i] + params.offset)", "weight[i]"),
    plant(
        Scale,
        "delta is normed with the other weight",
        "(post_weight[i] + params.offset)",
        "(weight[i] + params.offset)",
    ),
    plant(
        Precision,
        "the mean keeps the ten bits of f16",
        "let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);",
        "let mean = bitcast<f32>(bitcast<u32>(workgroup_sum(thread, squares) / f32(params.dim4 * 4u)) & 0xffffe000u);",
    ),
];

pub const Q8_BLOCK: &[Mutation] = &[
    plant(
        Tail,
        "the last vector's largest is not seen",
        "i < BLOCK4; i++) {\n        bits",
        "i < BLOCK4 - 1u; i++) {\n        bits",
    ),
    plant(Scale, "the largest code is 128", "/ 127.0", "/ 128.0"),
    plant(Codes, "codes are cut off, not rounded", "floor(abs(x) + 0.5)", "floor(abs(x))"),
    plant(
        Codes,
        "two words of codes change places",
        "four_codes(values[2], inverse)",
        "four_codes(values[3], inverse)",
    ),
    plant(Special, "the sign decides what is largest", "& vec4<u32>(0x7fffffffu)", ""),
    plant(Special, "small numbers are taken for nothing", "whole <= 1e-37", "whole <= 1e-30"),
];

pub const QUANTIZE_Q8: &[Mutation] = &[
    plant(Tail, "the last block is left out", "index >= params.blocks", "index + 1u >= params.blocks"),
    plant(Bounds, "a block behind the last is written", "index >= params.blocks", "index > params.blocks"),
    plant(
        Address,
        "halves of a block change places",
        "codes[2u * index] = block.first",
        "codes[2u * index] = block.second",
    ),
    plant(Address, "blocks overlap by a vector", "x[index * BLOCK4 + i]", "x[index * (BLOCK4 - 1u) + i]"),
    plant(Scale, "every scale is written to the first", "scales[index] =", "scales[0u * index] ="),
];

pub const RMS_NORM: &[Mutation] = &[
    plant(Address, "every row of texels is the first", "place(base + i)", "place(i)"),
    plant(
        Tail,
        "the last vector is left out of the mean",
        "i < params.dim4; i += WG) {\n        let v",
        "i < params.dim4 - 1u; i += WG) {\n        let v",
    ),
    plant(
        Bounds,
        "a vector behind the last enters the mean",
        "i < params.dim4; i += WG) {\n        let v",
        "i <= params.dim4; i += WG) {\n        let v",
    ),
    plant(
        Tail,
        "the last vector is not written",
        "i < params.dim4; i += WG) {\n        let n",
        "i < params.dim4 - 1u; i += WG) {\n        let n",
    ),
    plant(
        Bounds,
        "a vector behind the last is written",
        "i < params.dim4; i += WG) {\n        let n",
        "i <= params.dim4; i += WG) {\n        let n",
    ),
    plant(Tail, "what a second turn sums replaces the first", "squares += dot(v, v)", "squares = dot(v, v)"),
    plant(Grid, "the grid's second axis is ignored", "wg.y * grid.x + wg.x", "wg.x"),
    plant(Address, "rows are taken to be one vector longer", "row * params.dim4", "row * (params.dim4 + 1u)"),
    plant(Scale, "the mean is the sum", "/ f32(params.dim4 * 4u)", ""),
    plant(Scale, "the mean is taken over vectors, not elements", "f32(params.dim4 * 4u)", "f32(params.dim4)"),
    plant(Scale, "eps is forgotten", "mean + params.eps", "mean"),
    plant(Scale, "eps is added to the root", "1.0 / sqrt(mean + params.eps)", "1.0 / (sqrt(mean) + params.eps)"),
    plant(Scale, "the weight's offset is forgotten", "(weight[i] + params.offset)", "weight[i]"),
    plant(
        Precision,
        "the mean keeps the ten bits of f16",
        "let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);",
        "let mean = bitcast<f32>(bitcast<u32>(workgroup_sum(thread, squares) / f32(params.dim4 * 4u)) & 0xffffe000u);",
    ),
];

pub const HEAD_NORM: &[Mutation] = &[
    plant(Tail, "the last token is left out", "token >= params.tokens", "token + 1u >= params.tokens"),
    plant(
        Tail,
        "the last vector is left out of the mean",
        "i < params.dim4; i += WG) {\n        let v",
        "i < params.dim4 - 1u; i += WG) {\n        let v",
    ),
    plant(
        Tail,
        "the last vector is not normed",
        "i < params.dim4; i += WG) {\n        var",
        "i < params.dim4 - 1u; i += WG) {\n        var",
    ),
    plant(
        Bounds,
        "a vector behind the last is normed",
        "i < params.dim4; i += WG) {\n        var",
        "i <= params.dim4; i += WG) {\n        var",
    ),
    plant(Tail, "what a second turn sums replaces the first", "squares += dot(v, v)", "squares = dot(v, v)"),
    plant(Grid, "the grid's second axis is ignored", "wg.y * grid.x + wg.x", "wg.x"),
    plant(Head, "V's heads are left out of a token's", "token * (normed + params.kv_heads)", "token * normed"),
    plant(Head, "the first head of K has Q's weight", "head < params.heads", "head <= params.heads"),
    plant(Head, "K is not normed", "let normed = params.heads + params.kv_heads;", "let normed = params.heads;"),
    plant(Scale, "the mean is the sum", "/ f32(params.dim4 * 4u)", ""),
    plant(Scale, "eps is forgotten", "mean + params.eps", "mean"),
    plant(Scale, "the weight's offset is forgotten", "(weight + params.offset)", "weight"),
    plant(Start, "the norm replaces what was normed", "] *= scale", "] = scale"),
    plant(
        Precision,
        "the mean keeps the ten bits of f16",
        "let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);",
        "let mean = bitcast<f32>(bitcast<u32>(workgroup_sum(thread, squares) / f32(params.dim4 * 4u)) & 0xffffe000u);",
    ),
];

pub const ROPE: &[Mutation] = &[
    plant(Address, "the turns of all tokens are the first one's", "turns[token * params.dim4 + i]", "turns[i]"),
    plant(
        Address,
        "the turns of all tokens are the first one's, by halves",
        "let turn = token * params.dim4 + 2u",
        "let turn = 2u",
    ),
    plant(Address, "the second half has other turns than the first", "select(i - half, i, first)", "(i / 2u)"),
    plant(Address, "the second half meets what is behind the head", "select(at - half, at + half, first)", "at + half"),
    plant(
        Precision,
        "the turns keep the ten bits of f16",
        "from_four(turns[turn + 1u])",
        "bitcast<vec4<f32>>(bitcast<vec4<u32>>(from_four(turns[turn + 1u])) & vec4<u32>(0xffffe000u))",
    ),
];

pub const ROTATION: &[Mutation] = &[
    plant(Address, "two pairs' turns change places", "vec4<f32>(a.xz, b.xz)", "vec4<f32>(b.xz, a.xz)"),
    plant(Address, "adjacent elements meet themselves", "own.yxwz", "own.xyzw"),
    plant(
        Scale,
        "it turns the other way",
        "vec4<f32>(-turn.y, turn.y, -turn.w, turn.w)",
        "vec4<f32>(turn.y, -turn.y, turn.w, -turn.w)",
    ),
    plant(Scale, "it turns the other way, by halves", "select(sin, -sin, first)", "select(-sin, sin, first)"),
    plant(Scale, "the second pair turns as the first", "turn.xxzz", "turn.xxxx"),
    plant(Scale, "cosine and sine are swapped", "let sin = vec4<f32>(a.yw, b.yw)", "let sin = vec4<f32>(a.xz, b.xz)"),
];

pub const FOUR: &[Mutation] = &[
    plant(Address, "pairs of words are loaded the wrong way round", "words4(four)", "words4(four.yx)"),
    plant(
        Address,
        "pairs of words are stored the wrong way round",
        "return pairs2(bitcast<vec4<u32>>(v))",
        "return pairs2(bitcast<vec4<u32>>(v)).yx",
    ),
];

pub const ROPE_APPEND: &[Mutation] = &[
    plant(Tail, "the last head of V is left out", "head >= heads", "head + 1u >= heads"),
    plant(Tail, "the last token is left out", "token >= params.tokens", "token + 1u >= params.tokens"),
    plant(Bounds, "a token behind the last is written", "token >= params.tokens", "token > params.tokens"),
    plant(Grid, "the grid's third axis is ignored", "wg.z * grid.y + wg.y", "wg.y"),
    plant(Address, "the slot mapping is ignored", "let slot = slot_mapping[token]", "let slot = token"),
    plant(Address, "the next token's slot is taken", "slot_mapping[token]", "slot_mapping[token + 1u]"),
    plant(Address, "Q is stored as it lies, among K and V", "q[token * params.heads * D4 + vector]", "q[at]"),
    plant(Head, "the first head of K is taken for one of Q", "if head < params.heads {", "if head <= params.heads {"),
    plant(Head, "the first head of V is taken for one of K", "if head < end_k {", "if head <= end_k {"),
    plant(Head, "heads of K are counted from Q's first", "head - params.heads, D4", "head, D4"),
    plant(
        Head,
        "V is taken to have Q's heads",
        "let heads = end_k + params.kv_heads",
        "let heads = end_k + params.heads",
    ),
    plant(Start, "V turns, too", "pack(from_four(qkv[at]))", "pack(turned(at, token, i))"),
    plant(Start, "K does not turn", "D4) + i] = pack(turned(at, token, i))", "D4) + i] = pack(from_four(qkv[at]))"),
];

pub const ROPE_APPEND_Q8_0: &[Mutation] = &[
    plant(Tail, "the last token is left out", "token < params.tokens &&", "token + 1u < params.tokens &&"),
    plant(Tail, "the last head is left out", "head < heads", "head + 1u < heads"),
    plant(Bounds, "a token behind the last is taken", "token < params.tokens &&", "token <= params.tokens &&"),
    plant(Grid, "the grid's third axis is ignored", "wg.z * grid.y + wg.y", "wg.y"),
    plant(Address, "the slot mapping is ignored", "slot_mapping[token]", "token"),
    plant(Address, "Q is stored as it lies, among K and V", "q[token * params.heads * D4 + vector]", "q[at]"),
    plant(Head, "V is left out of a token's heads", "token * (heads + params.kv_heads)", "token * heads"),
    plant(Head, "heads of K are counted from Q's first", "head - params.heads, D4", "head, D4"),
    plant(Head, "the first head of K is taken for one of Q", "if head < params.heads {", "if head <= params.heads {"),
    plant(Address, "K goes into the V cache", "from_four(qkv[at + params.kv_heads * D4])", "from_four(qkv[at])"),
    plant(
        Start,
        "V turns, too",
        "from_four(qkv[at + params.kv_heads * D4])",
        "turned(at + params.kv_heads * D4, token, i)",
    ),
    plant(Start, "K does not turn", "key = turned(at, token, i)", "key = from_four(qkv[at])"),
    plant(Tail, "the last vector's largest is not seen", "other < BLOCK4", "other < BLOCK4 - 1u"),
    plant(Address, "the largest is the first block's", "thread / BLOCK4 * BLOCK4 + other", "other"),
    // Not the barrier: the threads of a block are one subgroup of a software adapter.
    plant(Scale, "the largest code is 128", "/ 127.0", "/ 128.0"),
    plant(Scale, "V has the scale of K", "codes(value, inverse.y)", "codes(value, inverse.x)"),
    plant(
        Address,
        "a scale is written to the next block's place",
        "kv_scales[to / BLOCK4]",
        "kv_scales[to / BLOCK4 + 1u]",
    ),
    plant(Codes, "the scales change places", "pack2x16float(scale)", "pack2x16float(scale.yx)"),
];

pub const REDUCE: &[Mutation] = &[
    plant(Tail, "a lane's sum is that of all", "return subgroupAdd(value)", "return value"),
    plant(Tail, "half of the threads are left out", "half = WG / 2u", "half = WG / 4u"),
    plant(Tail, "the last step is left out", "half > 0u", "half > 1u"),
    plant(Address, "a step adds its neighbour", "partials[thread + half]", "partials[thread + 1u]"),
    // Not the barrier behind the loop: a software adapter runs the first subgroup, which makes the sum, first.
    plant(Barrier, "the steps do not wait", "workgroupBarrier();\n        if", "if"),
    plant(
        Precision,
        "partial sums keep the ten bits of f16",
        "partials[thread] = value;",
        "partials[thread] = bitcast<f32>(bitcast<u32>(value) & 0xffffe000u);",
    ),
];
