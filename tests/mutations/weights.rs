//! Faults in how weights are read from their storage types.

use super::{Kind::*, Mutation, plant};

pub const WEIGHTS8: &[Mutation] = &[
    plant(
        Codes,
        "the high bit of low nibbles is dropped",
        "unpack4xU8(word & 0x0f0f0f0fu)",
        "unpack4xU8(word & 0x07070707u)",
    ),
    plant(
        Codes,
        "high nibbles are the low ones",
        "unpack4xU8((word >> 4u) & 0x0f0f0f0fu)",
        "unpack4xU8(word & 0x0f0f0f0fu)",
    ),
    plant(Codes, "low codes lose their high bits", "(word & 0x0f0f0f0fu) | high", "(word & 0x0f0f0f0fu) | (high & 0u)"),
    plant(
        Codes,
        "high codes lose their high bits",
        "((word >> 4u) & 0x0f0f0f0fu) | high",
        "((word >> 4u) & 0x0f0f0f0fu) | (high & 0u)",
    ),
    plant(Scale, "the scales of two groups are swapped", "(index & 1u) == 1u", "(index & 1u) == 0u"),
    plant(Address, "rows of an odd number of groups are not padded", "((groups + 1u) & 0xfffffffeu)", "groups"),
];

pub const K_SCALES: &[Mutation] = &[
    plant(
        Scale,
        "the scales of scale and minimum are swapped",
        "let d = unpack2x16float(header)",
        "let d = unpack2x16float(header).yx",
    ),
    plant(Scale, "the minimum is forgotten", "-d.y * f32", "-0.0 * d.y * f32"),
    plant(Scale, "the minimum is added", "-d.y * f32", "d.y * f32"),
    plant(Scale, "odd groups take the minimum for the scale", "16u * (group & 1u)", "8u * (group & 1u)"),
    plant(Codes, "the scale's high bit is dropped", "d.x * f32(pair & 0xffu)", "d.x * f32(pair & 0x1fu)"),
    plant(Codes, "the minimum's high bit is dropped", "(pair >> 8u) & 0xffu", "(pair >> 8u) & 0x1fu"),
];

pub const BF16: &[Mutation] = &[
    plant(
        Codes,
        "the two of a word are swapped",
        "bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)",
        "bitcast<f32>(word & 0xffff0000u), bitcast<f32>(word << 16u)",
    ),
    plant(Precision, "the last bit is dropped", "word & 0xffff0000u", "word & 0xfffe0000u"),
    plant(Address, "rows are one group longer", "(row, group, groups)", "(row, group, groups + 1u)"),
];

pub const F16: &[Mutation] = &[
    plant(
        Codes,
        "two pairs are swapped",
        "unpack2x16float(w.x), unpack2x16float(w.y)",
        "unpack2x16float(w.y), unpack2x16float(w.x)",
    ),
    plant(Codes, "the two of a word are swapped", "unpack2x16float(w.w)", "unpack2x16float(w.w).yx"),
    plant(Address, "the part of the group is ignored", "g.base + part", "g.base"),
];

pub const F32: &[Mutation] = &[
    plant(Address, "the second vector is the first", "codes[g.base + part * 2u + 1u]", "codes[g.base + part * 2u]"),
    plant(Address, "groups are half as long", ") * 8u)", ") * 4u)"),
    plant(
        Precision,
        "weights keep the ten bits of f16",
        "return Weights8(codes[g.base + part * 2u], ",
        "let v = codes[g.base + part * 2u];\n    return Weights8(bitcast<vec4<f32>>(bitcast<vec4<u32>>(v) & vec4<u32>(0xffffe000u)), ",
    ),
];

pub const Q4_0: &[Mutation] = &[
    plant(Scale, "codes are centred at 7", "low_nibbles(q) - 8.0", "low_nibbles(q) - 7.0"),
    plant(
        Codes,
        "the nibbles are swapped",
        "low_nibbles(q) - 8.0), g.d * (high_nibbles(q)",
        "high_nibbles(q) - 8.0), g.d * (low_nibbles(q)",
    ),
    plant(Address, "a row of an odd number of scales is not padded", "(groups + 1u) / 2u", "groups / 2u"),
    plant(Scale, "groups take their neighbour's scale", "select_half(word, group)", "select_half(word, group + 1u)"),
];

pub const Q4_1: &[Mutation] = &[
    plant(Scale, "the minimum is forgotten", "g.dm.x * high_nibbles(q) + g.dm.y", "g.dm.x * high_nibbles(q)"),
    plant(
        Scale,
        "scale and minimum are swapped",
        "unpack2x16float(scales[index])",
        "unpack2x16float(scales[index]).yx",
    ),
    plant(Scale, "all rows take the first row's scales", "scales[index]", "scales[group]"),
    plant(Codes, "the nibbles are swapped", "g.dm.x * low_nibbles(q)", "g.dm.x * high_nibbles(q)"),
];

pub const Q4_K: &[Mutation] = &[
    plant(Address, "superblocks of scales are a word apart too few", "(index / 8u) * 5u", "(index / 8u) * 4u"),
    plant(Scale, "the second half of a superblock takes the first's scales", "(group & 7u) / 2u", "(group & 3u) / 2u"),
    plant(Scale, "all rows take the first row's scales", "(index / 8u) * 5u", "(group / 8u) * 5u"),
    plant(Scale, "the minimum is forgotten", "g.dm.x * low_nibbles(q) + g.dm.y", "g.dm.x * low_nibbles(q)"),
];

pub const Q5_0: &[Mutation] = &[
    plant(
        Codes,
        "the fifth bit of low codes is dropped",
        "(2u * part)) & 0x01010101u) << 4u",
        "(2u * part)) & 0x01010101u) << 8u",
    ),
    plant(Codes, "high codes take the low ones' fifth bit", "2u * part + 1u", "2u * part"),
    plant(Scale, "codes are centred at 15", "(hi - 16.0)", "(hi - 15.0)"),
    plant(Address, "all rows take the first row's fifth bits", "high_bits[index]", "high_bits[group]"),
    plant(Address, "a row of an odd number of scales is not padded", "(groups + 1u) / 2u", "groups / 2u"),
];

pub const Q5_1: &[Mutation] = &[
    plant(
        Codes,
        "the fifth bit of high codes is dropped",
        "(2u * part + 1u)) & 0x01010101u) << 4u",
        "(2u * part + 1u)) & 0x01010101u) << 8u",
    ),
    plant(Codes, "the fifth bit counts 8", "(2u * part)) & 0x01010101u) << 4u", "(2u * part)) & 0x01010101u) << 3u"),
    plant(Scale, "the minimum is forgotten", "g.dm.x * lo + g.dm.y", "g.dm.x * lo"),
    plant(
        Scale,
        "scale and minimum are swapped",
        "unpack2x16float(scales[index])",
        "unpack2x16float(scales[index]).yx",
    ),
];

pub const Q5_K: &[Mutation] = &[
    plant(
        Codes,
        "the fifth bit of low codes is the next part's",
        "(2u * part)) & 0x01010101u",
        "(2u * part + 2u)) & 0x01010101u",
    ),
    plant(Codes, "the fifth bits are those of the next group", "high_bits[index]", "high_bits[index ^ 1u]"),
    plant(Scale, "the second half of a superblock takes the first's scales", "(group & 7u) / 2u", "(group & 3u) / 2u"),
    plant(Scale, "the minimum is forgotten", "g.dm.x * hi + g.dm.y", "g.dm.x * hi"),
];

pub const Q6_K: &[Mutation] = &[
    plant(Scale, "scales are taken to be unsigned", "unpack4xI8(", "unpack4xU8("),
    plant(Scale, "a group's second scale is its first", "select(g.d.x, g.d.y, part >= 2u)", "g.d.x"),
    plant(
        Scale,
        "the second scale begins one part early",
        "select(g.d.x, g.d.y, part >= 2u)",
        "select(g.d.x, g.d.y, part >= 1u)",
    ),
    plant(Scale, "groups take their neighbour's scales", "(group & 1u) == 1u", "(group & 1u) == 0u"),
    plant(Codes, "high codes take the low ones' upper bits", "(bits >> 2u) & 0x03030303u", "bits & 0x03030303u"),
    plant(
        Codes,
        "the sixth bit of low codes is dropped",
        "low_codes(q, (bits & 0x03030303u) << 4u)",
        "low_codes(q, (bits & 0x01010101u) << 4u)",
    ),
    plant(Codes, "odd parts take the even ones' upper bits", ">> (4u * (part & 1u))", ""),
    plant(Scale, "codes are centred at 31", "(lo - 32.0)", "(lo - 31.0)"),
];

pub const Q8_0: &[Mutation] = &[
    plant(Codes, "codes are taken to be unsigned", "unpack4xI8(q.x)", "unpack4xU8(q.x)"),
    plant(
        Codes,
        "the two words are swapped",
        "unpack4xI8(q.x)), g.d * vec4<f32>(unpack4xI8(q.y)",
        "unpack4xI8(q.y)), g.d * vec4<f32>(unpack4xI8(q.x)",
    ),
    plant(Address, "a row of an odd number of scales is not padded", "(groups + 1u) / 2u", "groups / 2u"),
    plant(Scale, "all groups take the first one's scale", "+ group / 2u]", "]"),
];
