//! Faults of the kernels that compute `y = x W^T (+ bias)`.

use super::{Kind::*, Mutation, plant};

pub const MATMUL: &[Mutation] = &[
    plant(Tail, "the last group is left out", "group < groups", "group + 1u < groups"),
    plant(Bounds, "a group too many is summed", "group < groups", "group <= groups"),
    plant(Tail, "the last vector of a group is left out", "k4 < depth", "k4 < depth - 1u"),
    plant(Tail, "the last turn of loads is left out", "turn < BM * BK4 / WG", "turn < BM * BK4 / WG - 1u"),
    plant(Address, "x does not lie where it is looked for", "x_tile[place(i / BK4, i % BK4)]", "x_tile[i]"),
    plant(
        Address,
        "rows of x are one group longer",
        "(row * groups + group) * BK4",
        "(row * (groups + 1u) + group) * BK4",
    ),
    plant(Address, "the halves of eight weights are swapped", "2u * part)] = w.lo", "2u * part)] = w.hi"),
    plant(
        Address,
        "every tile has the weights of the first",
        "min(column0 + column, params.n - 1u)",
        "min(column, params.n - 1u)",
    ),
    plant(Address, "columns change places with their neighbours", "place(local.x, k4)", "place(local.x ^ 1u, k4)"),
    plant(Address, "an element of x meets another's weight", "fma(a[i].y, b.y,", "fma(a[i].y, b.x,"),
    plant(
        Address,
        "outputs are stored as if they were neighbours",
        "row0 + local.y + 16u * i;",
        "row0 + local.y * TM + i;",
    ),
    plant(Address, "the second columns' tile is the first", "let column0 = wg.y * BN", "let column0 = 0u * wg.y"),
    plant(Barrier, "sums do not wait for the tile", "workgroupBarrier();\n        for (var k4", "for (var k4"),
    plant(Barrier, "the tile is replaced before it is used", "workgroupBarrier();\n    }\n", "}\n"),
    plant(
        Precision,
        "x keeps the ten bits of f16",
        "a[i] = x_tile[a0 + 16u * BK4 * i];",
        "a[i] = bitcast<vec4<f32>>(bitcast<vec4<u32>>(x_tile[a0 + 16u * BK4 * i]) & vec4<u32>(0xffffe000u));",
    ),
];

pub const MATMUL_COOP: &[Mutation] = &[
    plant(Tail, "the last group is left out", "group < groups", "group + 1u < groups"),
    plant(Bounds, "a group too many is summed", "group < groups", "group <= groups"),
    plant(Tail, "the last matrices of a group are left out", "k < BK;", "k < BK - SIDE;"),
    plant(
        Tail,
        "the last turn of loads is left out",
        "load < BLOCK * BK / 4u / WG",
        "load < BLOCK * BK / 4u / WG - 1u",
    ),
    plant(
        Address,
        "rows of x are one group longer",
        "params.m - 1u) * groups + group)",
        "params.m - 1u) * (groups + 1u) + group)",
    ),
    plant(
        Address,
        "every tile has the weights of the first",
        "min(column0 + column, params.n - 1u)",
        "min(column, params.n - 1u)",
    ),
    plant(Address, "the halves of eight weights are swapped", "k8 + 4u, w.hi", "k8 + 4u, w.lo"),
    plant(Address, "a vector's last element lies beside its place", "x_tile[at + 3u]", "x_tile[at + 4u]"),
    plant(Address, "W is taken for its transpose", "coopLoad<Columns>", "coopLoadT<Columns>"),
    plant(Address, "every part has the first rows", "(part_row + i * SIDE) * STRIDE", "(i * SIDE) * STRIDE"),
    plant(Address, "two parts have the same columns", "(subgroup % 2u) * PART", "(subgroup / 2u) * PART"),
    plant(Address, "rows of matrices meet the columns of others", "coopMultiplyAdd(a[i],", "coopMultiplyAdd(a[0],"),
    plant(Address, "a matrix is stored on its side", "coopStoreT(sums", "coopStore(sums"),
    plant(
        Tail,
        "the last elements of a matrix are not stored",
        "e < SIDE * SIDE; e += lanes",
        "e < SIDE * SIDE - lanes; e += lanes",
    ),
    plant(Start, "a second attempt goes on with the first one's sums", "sums[i] = coopLoadT", "let unused = coopLoadT"),
    plant(Start, "sums begin with what a matrix of another tile has left", "matrices[i] = 0.0", "matrices[i] = 4096.0"),
    plant(Special, "there is no second attempt", "min(params.k, 2u)", "min(params.k, 1u)"),
    plant(Scale, "what x was multiplied with is what W was", "values * factors.x", "values * factors.y"),
    plant(Scale, "the factor of W is not taken back", " * inverse(factors.y)", ""),
    plant(
        Barrier,
        "products do not wait for the tile",
        "workgroupBarrier();\n            // What is no loop",
        "// What is no loop",
    ),
    plant(
        Precision,
        "x keeps seven bits",
        "values * factors.x",
        "bitcast<vec4<f32>>(bitcast<vec4<u32>>(values * factors.x) & vec4<u32>(0xffff0000u))",
    ),
];

pub const MATMUL_F16: &[Mutation] = &[
    plant(Tail, "the last group is left out", "group < groups", "group + 1u < groups"),
    plant(Bounds, "a group too many is summed", "group < groups", "group <= groups"),
    plant(Tail, "the last vector of a group is left out", "k4 < depth", "k4 < depth - 1u"),
    plant(Tail, "the last turn of loads is left out", "turn < BM * BK4 / WG", "turn < BM * BK4 / WG - 1u"),
    plant(Address, "x does not lie where it is looked for", "x_tile[place(i / BK4, i % BK4)]", "x_tile[i]"),
    plant(Address, "the halves of eight weights are swapped", "vec4<f16>(w.lo", "vec4<f16>(w.hi"),
    plant(
        Address,
        "every tile has the weights of the first",
        "min(column0 + column, params.n - 1u)",
        "min(column, params.n - 1u)",
    ),
    plant(Address, "columns change places with their neighbours", "place(local.x, k4)", "place(local.x ^ 1u, k4)"),
    plant(Address, "an element of x meets another's weight", "a[i].xy, b.xy", "a[i].xy, b.yx"),
    plant(Tail, "one of a pair of sums is left out", "sums[i] += f32(pairs[i].y);", ""),
    plant(Start, "a second attempt goes on with the first one's sums", "sums[i] = 0.0;", ""),
    plant(Special, "there is no second attempt", "min(params.k, 2u)", "min(params.k, 1u)"),
    plant(Special, "the largest weight is not looked for", "max(peak_w, max(abs(w.lo), abs(w.hi)))", "peak_w"),
    plant(
        Special,
        "the larger half of weights is not looked at",
        "max(abs(w.lo), abs(w.hi))",
        "min(abs(w.lo), abs(w.hi))",
    ),
    plant(Scale, "the factor of W is not taken back", " * inverse(factors.y)", ""),
    plant(Barrier, "sums do not wait for the tile", "workgroupBarrier();\n            var pairs", "var pairs"),
    plant(
        Precision,
        "x keeps seven bits",
        "vec4<f16>(values * factors.x)",
        "vec4<f16>(bitcast<vec4<f32>>(bitcast<vec4<u32>>(values * factors.x) & vec4<u32>(0xffff0000u)))",
    ),
];

pub const HALF_RANGE: &[Mutation] = &[
    plant(Special, "values too large are left as they are", "scaled <= highest && ", ""),
    plant(Special, "values too small are left as they are", " && scaled >= highest - span", ""),
    plant(Special, "what is too large is made larger", "127 + highest - exponent", "127 + exponent - highest"),
    plant(Scale, "an inverse is half of what it should be", "254 << 23u", "253 << 23u"),
    plant(Special, "the last element is not looked at", "max(magnitudes.z, magnitudes.w)", "magnitudes.z"),
];

pub const MATMUL_LANES: &[Mutation] = &[
    plant(
        Tail,
        "a row of half a block too many ends before its last block",
        "(params.k + 63u) / 64u",
        "params.k / 64u",
    ),
    plant(Tail, "the last block is left out", "block < blocks", "block + 1u < blocks"),
    plant(Tail, "the last part of a block is left out", "block * 8u + 8u, parts)", "block * 8u + 7u, parts)"),
    plant(Bounds, "x is read half a block beyond its row", "min(block * 8u + 8u, parts)", "block * 8u + 8u"),
    plant(
        Tail,
        "the last row of a tile is not stored",
        "min(row0 + ROWS, params.m)",
        "min(row0 + ROWS - 1u, params.m)",
    ),
    plant(Address, "the second eight rows of x are the first", "row0 + LANES + lane", "row0 + lane"),
    plant(Address, "one row takes another lane's x", "add(s3, own0, 3u, w)", "add(s3, own0, 2u, w)"),
    plant(Address, "one row takes another eight's x", "add(s12, own1, 4u, w)", "add(s12, own0, 4u, w)"),
    plant(Address, "the sums of one row are another's", "s5 = s6;", "s5 = s7;"),
    plant(Address, "the halves of x are swapped", "lo * w.lo_b + hi * w.hi_b", "hi * w.lo_b + lo * w.hi_b"),
    plant(Address, "two columns are swapped", "column + 2u * LANES, s0.a.z", "column + 2u * LANES, s0.a.y"),
    plant(
        Address,
        "one column takes another's weights",
        "min(column + 6u * LANES, last)",
        "min(column + 5u * LANES, last)",
    ),
    plant(Address, "a workgroup is one column's lanes narrower", "wg.y * 8u * LANES", "wg.y * 7u * LANES"),
    plant(Address, "a workgroup makes the rows of the one before", "wg.x * ROWS", "wg.x * 8u"),
    plant(Address, "every second part is the one before", "dequantize(b7, part & 7u)", "dequantize(b7, part & 6u)"),
    plant(Scale, "the minimum is forgotten", "d * codes.hi + scale.y", "d * codes.hi"),
    plant(Scale, "codes keep their places", "scale.x * PLACES", "vec4<f32>(scale.x)"),
    plant(
        Precision,
        "x keeps the ten bits of f16",
        "bitcast<vec4<f32>>(words.hi)",
        "bitcast<vec4<f32>>(words.hi & vec4<u32>(0xffffe000u))",
    ),
];

pub const MATVEC: &[Mutation] = &[
    plant(Tail, "the last turn is left out if not full", "part0 < groups * 4u;", "part0 + WG <= groups * 4u;"),
    plant(Tail, "the last part is left out", "part >= groups * 4u", "part + 1u >= groups * 4u"),
    plant(Bounds, "a part too many is summed", "part >= groups * 4u", "part > groups * 4u"),
    plant(Loop, "only the first turn is taken", "part0 += WG", "part0 += groups * 4u"),
    plant(Grid, "the grid's third axis is ignored", "(wg.z * grid.y + wg.y)", "wg.y"),
    plant(Address, "every row of x is the first", "min(m0 + m, params.m - 1u) * (params.k / 4u)", "0u"),
    plant(
        Address,
        "the halves of x are swapped",
        "dot(w.lo, lo[m]) + dot(w.hi, hi[m])",
        "dot(w.lo, hi[m]) + dot(w.hi, lo[m])",
    ),
    plant(Address, "every block reads the first rows of x", "min(m0 + m,", "min(m,"),
];

pub const MATVEC_SUMS: &[Mutation] = &[
    plant(Tail, "the last partial sum is left out", "p < count", "p + 1u < count"),
    plant(Tail, "the last outputs are left out", "i < OUTPUTS; i += WG", "i < OUTPUTS - 1u; i += WG"),
    plant(Address, "partial sums are read with another stride", "partials[p * OUTPUTS + i]", "partials[p * ROWS + i]"),
    plant(
        Address,
        "rows and columns of y change places",
        "store(m0 + i % M, row0 + i / M, sum)",
        "store(i / M, row0 + i % M, sum)",
    ),
    plant(Scale, "a subgroup's sum is its first lane's", "subgroupAdd(sums[i])", "sums[i]"),
    plant(Address, "every block writes the first rows of y", "store(m0 + i % M,", "store(i % M,"),
    plant(Barrier, "the partial sums are not waited for", "workgroupBarrier();", ""),
    plant(
        Precision,
        "sums keep the ten bits of f16",
        "sum += partials[p * OUTPUTS + i];",
        "sum = bitcast<f32>(bitcast<u32>(sum + partials[p * OUTPUTS + i]) & 0xffffe000u);",
    ),
];

pub const MATVEC_LANES: &[Mutation] = &[
    plant(
        Tail,
        "a row of half a block too many ends before its last block",
        "(params.k + 63u) / 64u",
        "params.k / 64u",
    ),
    plant(Tail, "the last block is left out", "block < blocks", "block + 1u < blocks"),
    plant(Bounds, "a block too many is summed", "block < blocks", "block <= blocks"),
    plant(Bounds, "x is read beyond its last row", "min(block * 8u + lane, parts - 1u)", "block * 8u + lane"),
    plant(Grid, "the grid's third axis is ignored", "(wg.z * grid.y + wg.y)", "wg.y"),
    plant(Address, "a workgroup is one row's lanes narrower", "LANES * 2u + lane", "LANES + lane"),
    plant(Address, "every row of x is the first", "x[m * parts +", "x[0u * parts +"),
    plant(Address, "every row of y is the first", "store(m, row + LANES, sum1)", "store(0u, row + LANES, sum1)"),
    plant(Address, "one x is another lane's", "subgroupShuffle(hi, lane + 1u)", "subgroupShuffle(hi, lane)"),
    plant(
        Address,
        "the halves of eight are swapped",
        "dot(x.c, q.lo) + dot(x.d, q.hi)",
        "dot(x.d, q.lo) + dot(x.c, q.hi)",
    ),
    plant(Address, "sixteen weights meet the x of others", "multiply(w1, 2u, x2)", "multiply(w1, 2u, x3)"),
    plant(Address, "two rows of W are one", "min(row + LANES, last)", "min(row, last)"),
    plant(Scale, "half of the sum for the minimum is left out", " + subgroupShuffle(sum, lane + 1u)", ""),
    plant(Scale, "the minimum is forgotten", " + scale.y * x.sum", ""),
    plant(
        Scale,
        "x is not in the places of the codes",
        "lo * PLACES, hi * PLACES, sum, 3u",
        "lo, hi * PLACES, sum, 3u",
    ),
    plant(
        Precision,
        "x keeps the ten bits of f16",
        "bitcast<vec4<f32>>(words.lo)",
        "bitcast<vec4<f32>>(words.lo & vec4<u32>(0xffffe000u))",
    ),
];

pub const LINEAR_IO: &[Mutation] = &[
    plant(Bounds, "a row behind the last is written", "row < params.m &&", "row <= params.m &&"),
    plant(Bounds, "a column behind the last is written", "column < params.n {", "column <= params.n {"),
    plant(Tail, "the last row is not written", "row < params.m &&", "row + 1u < params.m &&"),
    plant(Tail, "the last column is not written", "column < params.n {", "column + 1u < params.n {"),
    plant(Address, "rows of y are as wide as the shard", "row * params.y_stride", "row * params.n"),
    plant(Address, "the shard's first column is ignored", "params.y_column + column] = sum", "column] = sum"),
    plant(Scale, "the bias is that of another shard", "bias[params.y_column + column]", "bias[column]"),
    plant(
        Scale,
        "the bias is forgotten",
        "sum += bias[params.y_column + column]",
        "sum += 0.0 * bias[params.y_column + column]",
    ),
    plant(
        Scale,
        "the bias is added to the first row only",
        "sum += bias[params.y_column + column]",
        "sum += select(0.0, bias[params.y_column + column], row == 0u)",
    ),
];
