//! Faults of the products of packed bytes, and of how weights are read for them.

use super::{Kind::*, Mutation, plant};

pub const MATVEC_DOT4: &[Mutation] = &[
    plant(Tail, "the last turn is left out if not full", "half0 < groups * 2u;", "half0 + WG <= groups * 2u;"),
    plant(Tail, "the last half of a group is left out", "half >= groups * 2u", "half + 1u >= groups * 2u"),
    plant(Bounds, "half a group too many is summed", "half >= groups * 2u", "half > groups * 2u"),
    plant(Loop, "only the first turn is taken", "half0 += WG", "half0 += groups * 2u"),
    plant(Grid, "the grid's third axis is ignored", "(wg.z * grid.y + wg.y)", "wg.y"),
    plant(Address, "every row of x is the first", "min(m0 + m, params.m - 1u) * groups * 2u", "0u"),
    plant(Address, "groups take another's scale", "x_scales[at / 2u]", "x_scales[(at / 2u) ^ 1u]"),
    plant(Address, "a row of W is another", "weight_row(column0, r)", "weight_row(column0, r ^ 1u)"),
    plant(Scale, "the minimum is forgotten", " + w.min * totals[m]", ""),
    plant(Scale, "the minimum meets the sum of another row", "w.min * totals[m]", "w.min * totals[0]"),
    plant(Scale, "sums are scaled by the weights alone", "scales[m] * sum", "sum"),
];

pub const MATMUL_DOT4: &[Mutation] = &[
    plant(Tail, "the last two groups are left out", "group0 < groups;", "group0 + 2u < groups;"),
    plant(Tail, "the second group is left out", "turn < depth", "turn + 1u < depth"),
    plant(Address, "both groups are the first", "let g = turn & 1u", "let g = turn & 0u"),
    plant(
        Address,
        "the second group of x is the first",
        "min(group0 + half / 2u, groups - 1u)",
        "min(group0, groups - 1u)",
    ),
    plant(
        Address,
        "every row of x is the first of its tile",
        "min(row0 + row, params.m - 1u)",
        "min(row0, params.m - 1u)",
    ),
    plant(
        Address,
        "every tile has the weights of the first",
        "min(column0 + column, params.n - 1u)",
        "min(column, params.n - 1u)",
    ),
    plant(
        Address,
        "the halves of x change places",
        "x_codes[half * STRIDE_M + row] = codes",
        "x_codes[(half ^ 1u) * STRIDE_M + row] = codes",
    ),
    plant(
        Address,
        "groups take their neighbour's scale",
        "x_scale[half / 2u * BM + row]",
        "x_scale[(1u - half / 2u) * BM + row]",
    ),
    plant(
        Address,
        "columns change places with their neighbours",
        "let column = local.x + 16u * j",
        "let column = (local.x ^ 1u) + 16u * j",
    ),
    plant(
        Address,
        "outputs are stored as if they were neighbours",
        "row0 + local.y + 16u * i;",
        "row0 + local.y * TM + i;",
    ),
    plant(Scale, "codes are centred by one too few", "128u - CENTRE", "129u - CENTRE"),
    plant(Scale, "the minimum is forgotten", " + least * a_sum[i]", ""),
    plant(Scale, "the minimum meets half of the sum", " + x_sum[(2u * g + 1u) * BM + row]", ""),
    plant(Scale, "the second half takes the first's scale", "scale1 * f32", "scale0 * f32"),
    plant(
        Scale,
        "one scale stands for the group",
        "w_scale[half * BN + column] = w.scale",
        "w_scale[(half & 2u) * BN + column] = w.scale",
    ),
    plant(Scale, "x is not scaled", "a_scale[i] * product", "product"),
    plant(Barrier, "sums do not wait for the tile", "workgroupBarrier();\n        for (var turn", "for (var turn"),
    plant(Barrier, "the tile is replaced before it is used", "workgroupBarrier();\n    }\n", "}\n"),
    plant(
        Precision,
        "sums keep the ten bits of f16",
        "store(row, column0 + local.x + 16u * j, sums[i * TN + j])",
        "store(row, column0 + local.x + 16u * j, bitcast<f32>(bitcast<u32>(sums[i * TN + j]) & 0xffffe000u))",
    ),
];

pub const SIXTEEN: &[Mutation] = &[
    plant(Codes, "the words of codes change places", "low.x, high.x, low.y, high.y", "low.x, low.y, high.x, high.y"),
    plant(Codes, "high nibbles are the low ones", "words >> vec2<u32>(4u)", "words"),
    plant(Codes, "both halves take the first's fifth bits", "high >> (4u * (half & 1u))", "high"),
    plant(Tail, "four products are left out", " + dot4I8Packed(a.w, b.w)", ""),
    plant(Start, "what was summed before is forgotten", "return sum + dot4", "return dot4"),
    plant(Codes, "codes are taken to be unsigned", "dot4I8Packed(a.x, b.x)", "bitcast<i32>(dot4U8Packed(a.x, b.x))"),
    plant(
        Scale,
        "every second code is left out of the sum",
        "dot16(codes, vec4<u32>(0x01010101u))",
        "dot16(codes, vec4<u32>(0x01000100u))",
    ),
];

pub const Q4_0: &[Mutation] = &[
    plant(Scale, "codes are centred at 7", "-8.0 * d", "-7.0 * d"),
    plant(Scale, "the tiles' codes are centred at 7", "CENTRE: u32 = 8u", "CENTRE: u32 = 7u"),
    plant(Address, "both halves are the first", "* 2u + (half & 1u)", "* 2u"),
    plant(Address, "a row of an odd number of scales is not padded", "(groups + 1u) / 2u", "groups / 2u"),
    plant(Scale, "groups take their neighbour's scale", "group / 2u], group)", "group / 2u], group + 1u)"),
];

pub const Q4_1: &[Mutation] = &[
    plant(Scale, "scale and minimum are swapped", "dm.x, dm.y", "dm.y, dm.x"),
    plant(Address, "both halves are the first", "* 2u + (half & 1u)", "* 2u"),
];

pub const Q5_0: &[Mutation] = &[
    plant(Scale, "codes are centred at 15", "-16.0 * d", "-15.0 * d"),
    plant(Scale, "the tiles' codes are centred at 15", "CENTRE: u32 = 16u", "CENTRE: u32 = 15u"),
    plant(Codes, "fifth bits are dropped", " | fifth_bits(high_bits[index], half)", ""),
    plant(Address, "all rows take the first row's fifth bits", "high_bits[index]", "high_bits[group]"),
];

pub const Q5_1: &[Mutation] = &[
    plant(Scale, "the minimum is forgotten", "dm.x, dm.y", "dm.x, 0.0"),
    plant(Codes, "the fifth bits are those of the next group", "high_bits[index]", "high_bits[index ^ 1u]"),
];

pub const Q4_K: &[Mutation] = &[
    plant(Address, "superblocks of scales are a word apart too few", "(index / 8u) * 5u", "(index / 8u) * 4u"),
    plant(Scale, "the second half of a superblock takes the first's scales", "(group & 7u) / 2u", "(group & 3u) / 2u"),
    plant(Scale, "groups take their neighbour's scales", "/ 2u], group)", "/ 2u], group + 1u)"),
];

pub const Q5_K: &[Mutation] = &[
    plant(Scale, "all rows take the first row's scales", "(index / 8u) * 5u", "(group / 8u) * 5u"),
    plant(Codes, "codes are left out where the fifth bit is none", ") | fifth_bits(", ") & fifth_bits("),
];

pub const Q6_K: &[Mutation] = &[
    plant(
        Scale,
        "scales are taken to be unsigned",
        "bitcast<i32>(four << (24u - 8u * (index & 3u)))",
        "(four << (24u - 8u * (index & 3u)))",
    ),
    plant(Scale, "a group's second scale is its first", "8u * (index & 3u)", "8u * (index & 2u)"),
    plant(Scale, "codes are centred at 31", "-32.0 * d", "-31.0 * d"),
    plant(Scale, "the tiles' codes are centred at 31", "CENTRE: u32 = 32u", "CENTRE: u32 = 31u"),
    plant(Codes, "two words change their upper bits", "high << 2u, high,", "high, high << 2u,"),
    plant(Codes, "the sixth bit is dropped", "0x30303030u", "0x10101010u"),
];

pub const Q8_0: &[Mutation] = &[
    plant(Address, "both halves are the first", "* 2u + (half & 1u)", "* 2u"),
    plant(Scale, "all groups take the first one's scale", "+ group / 2u]", "]"),
    plant(Address, "a row of an odd number of scales is not padded", "(groups + 1u) / 2u", "groups / 2u"),
];
