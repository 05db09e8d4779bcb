//! Faults in how lanes read weights from their storage types, a block at a time.

use super::{Kind::*, Mutation, plant};

pub const WORDS8: &[Mutation] = &[
    plant(Address, "the words of a pair are one", "u32(pair >> 32u)", "u32(pair)"),
    plant(Address, "the second four words are the first", "words4(pairs.zw)", "words4(pairs.xy)"),
    plant(Address, "the words of a pair change places", "(vec2<u64>(words.yw) <<", "(vec2<u64>(words.wy) <<"),
    plant(Address, "the upper four words are the lower", "index >= 4u", "index >= 8u"),
    plant(Codes, "the third byte loses its high bits", "0xff0000u,", "0x0f0000u,"),
    plant(Scale, "the uppermost byte is taken to be the one below", "1.0 / 16777216.0", "1.0 / 65536.0"),
];

pub const TEXELS: &[Mutation] = &[
    plant(Address, "rows of a texture are half as long", "2048u", "1024u"),
    plant(Address, "every row is the first", "index / PER_ROW", "0u * index"),
];

pub const PLANES: &[Mutation] = &[
    plant(
        Address,
        "a row's pieces are as far apart as a buffer's",
        "(row / TOGETHER * count + i) * TOGETHER +",
        "(row / TOGETHER * count * TOGETHER + i) +",
    ),
    plant(Address, "rows that lie together are one", "+ row % TOGETHER;", ";"),
    plant(Address, "four rows that lie together are the first", " + row % TOGETHER / 4u", ""),
    plant(Address, "a piece begins where a texel does", " - index % TOGETHER", ""),
    plant(
        Address,
        "four words of two texels are the same",
        "place(index));\n}\n\n// Eight",
        "place(index & ~1u));\n}\n\n// Eight",
    ),
    plant(Address, "a piece's second texel is its first", "place(first + TOGETHER)", "place(first)"),
    plant(Scale, "every block of a superblock takes the first's scales", "1u + (block & 3u)", "1u + (block & 0u)"),
    plant(Scale, "superblocks are half as long", "let first = block / 4u", "let first = block / 2u"),
    plant(Scale, "rows have as many superblocks as blocks", "blocks / 4u * 5u", "blocks * 5u"),
    plant(Address, "a texel of scales is its neighbour", "scales, place(index)", "scales, place(index ^ 1u)"),
    plant(
        Address,
        "two rows' pairs of scales are one texel's",
        "scales, place(2u * index + 1u)",
        "scales, place(2u * index)",
    ),
    plant(Address, "the pairs of two rows change places", "two.xy, two.zw", "two.zw, two.xy"),
    plant(
        Address,
        "the fifth bits of two texels change places",
        "high_bits, place(2u * index))",
        "high_bits, place(2u * index + 1u))",
    ),
    plant(
        Address,
        "the sixth bits of a texel change places",
        "high_bits, place(index))",
        "high_bits, place(index)).yxzw",
    ),
];

pub const BLOCK_WEIGHTS: &[Mutation] = &[
    plant(Scale, "the minimum is forgotten", "d * codes.hi + scale.y", "d * codes.hi"),
    plant(Scale, "codes keep their places", "scale.x * PLACES", "vec4<f32>(scale.x)"),
];

pub const BF16: &[Mutation] = &[
    plant(
        Address,
        "the parts of a block are one",
        "four_code_words(b.base + part * TOGETHER)",
        "four_code_words(b.base + (part & 6u) * TOGETHER)",
    ),
    plant(Address, "blocks are one part shorter", "piece(row, block * 8u,", "piece(row, block * 7u,"),
    plant(Codes, "the low half keeps the high one's bits", "word & 0xffff0000u", "word << 16u"),
];

pub const F16: &[Mutation] = &[
    plant(
        Address,
        "the parts of a block are one",
        "four_code_words(b.base + part * TOGETHER)",
        "four_code_words(b.base + (part & 6u) * TOGETHER)",
    ),
    plant(Address, "blocks are one part shorter", "piece(row, block * 8u,", "piece(row, block * 7u,"),
    plant(
        Address,
        "two words are swapped",
        "unpack2x16float(w.x), unpack2x16float(w.y)",
        "unpack2x16float(w.y), unpack2x16float(w.x)",
    ),
];

pub const F32: &[Mutation] = &[
    plant(
        Address,
        "the parts of a block are one",
        "eight_code_words(b.base + part * TOGETHER)",
        "eight_code_words(b.base + (part & 6u) * TOGETHER)",
    ),
    plant(Address, "blocks are one part shorter", "piece(row, block * 8u,", "piece(row, block * 7u,"),
    plant(
        Address,
        "the halves are swapped",
        "bitcast<vec4<f32>>(w.lo), bitcast<vec4<f32>>(w.hi)",
        "bitcast<vec4<f32>>(w.hi), bitcast<vec4<f32>>(w.lo)",
    ),
];

pub const Q4_0: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Scale, "the second group takes the first's scale", "select(b.d.x, b.d.y, part >= 4u)", "b.d.x"),
    plant(Scale, "codes are centred one below", "-8.0 * d", "-7.0 * d"),
    plant(
        Scale,
        "of rounded x, the second group takes the first's scale",
        "select(b.d.x, b.d.y, group == 1u)",
        "b.d.x",
    ),
    plant(Scale, "products are not scaled by those of x", "x.scale * select", "select"),
];

pub const Q4_1: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Scale, "the second group takes the first's scale", "part >= 4u)", "part >= 8u)"),
    plant(Scale, "scale and minimum are swapped", "part >= 4u));", "part >= 4u)).yx;"),
    plant(Scale, "of rounded x, the minimum is forgotten", " + (scale.y + 8.0 * scale.x) * f32(sum_of(x))", ""),
    plant(Scale, "of rounded x, codes are centred one below", "8.0 * scale.x", "7.0 * scale.x"),
];

pub const Q4_K: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Scale, "the second group takes the first's scale", "part / 4u", "0u * part"),
    plant(Scale, "of rounded x, the minimum is forgotten", " + (scale.y + 8.0 * scale.x) * f32(sum_of(x))", ""),
    plant(Scale, "of rounded x, codes are centred one below", "8.0 * scale.x", "7.0 * scale.x"),
];

pub const Q5_0: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Codes, "the fifth bits are the next part's", ">> (2u * (part & 3u))", ">> (2u * (part & 3u) + 2u)"),
    plant(Codes, "high codes take the low ones' fifth bits", "(high >> 1u) & 0x01010101u", "high & 0x01010101u"),
    plant(Codes, "the second group takes the first's fifth bits", "select(b.high.x, b.high.y, part >= 4u)", "b.high.x"),
    plant(Scale, "the second group takes the first's scale", "select(b.d.x, b.d.y, part >= 4u)", "b.d.x"),
    plant(Scale, "codes are centred one below", "-16.0 * d", "-15.0 * d"),
    plant(
        Codes,
        "of rounded x, the second group takes the first's fifth bits",
        "select(b.high.x, b.high.y, group == 1u)",
        "b.high.x",
    ),
    plant(
        Scale,
        "of rounded x, the second group takes the first's scale",
        "select(b.d.x, b.d.y, group == 1u)",
        "b.d.x",
    ),
];

pub const Q5_1: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Codes, "the fifth bits are the next part's", ">> (2u * (part & 3u))", ">> (2u * (part & 3u) + 2u)"),
    plant(Codes, "high codes take the low ones' fifth bits", "(high >> 1u) & 0x01010101u", "high & 0x01010101u"),
    plant(Codes, "the second group takes the first's fifth bits", "select(b.high.x, b.high.y, part >= 4u)", "b.high.x"),
    plant(Scale, "the second group takes the first's scale", "select(b.dm.x, b.dm.y, part >= 4u)", "b.dm.x"),
    plant(
        Codes,
        "of rounded x, the second group takes the first's fifth bits",
        "select(b.high.x, b.high.y, group == 1u)",
        "b.high.x",
    ),
    plant(Scale, "of rounded x, the minimum is forgotten", " + (scale.y + 16.0 * scale.x) * f32(sum_of(x))", ""),
    plant(Scale, "of rounded x, codes are centred one below", "16.0 * scale.x", "15.0 * scale.x"),
];

pub const Q5_K: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Codes, "the fifth bits are the next part's", ">> (2u * (part & 3u))", ">> (2u * (part & 3u) + 2u)"),
    plant(Codes, "high codes take the low ones' fifth bits", "(high >> 1u) & 0x01010101u", "high & 0x01010101u"),
    plant(Codes, "the second group takes the first's fifth bits", "select(b.high.x, b.high.y, part >= 4u)", "b.high.x"),
    plant(Scale, "the second group takes the first's scale", "part / 4u", "0u * part"),
    plant(
        Codes,
        "of rounded x, the second group takes the first's fifth bits",
        "select(b.high.x, b.high.y, group == 1u)",
        "b.high.x",
    ),
    plant(Scale, "of rounded x, the minimum is forgotten", " + (scale.y + 16.0 * scale.x) * f32(sum_of(x))", ""),
    plant(Scale, "of rounded x, codes are centred one below", "16.0 * scale.x", "15.0 * scale.x"),
];

pub const Q6_K: &[Mutation] = &[
    plant(Codes, "high codes are the low ones", "(q >> 4u) & 0x0f0f0f0fu", "q & 0x0f0f0f0fu"),
    plant(Scale, "scales are taken to be unsigned", "unpack4xI8(", "unpack4xU8("),
    plant(Scale, "a group's second scale is its first", "b.d[part / 2u]", "b.d[part / 4u * 2u]"),
    plant(Codes, "high codes take the low ones' upper bits", "(high >> 2u) & 0x03030303u", "high & 0x03030303u"),
    plant(Codes, "odd parts take the even ones' upper bits", ">> (4u * (part & 1u))", ""),
    plant(Codes, "the upper bits are another part's", "b.high[part / 2u]", "b.high[part / 4u]"),
    plant(Scale, "codes are centred at 31", "-32.0 * d", "-31.0 * d"),
    plant(
        Codes,
        "of rounded x, the second group takes the first's upper bits",
        "b.high.zw, group == 1u",
        "b.high.xy, group == 1u",
    ),
    plant(Scale, "of rounded x, a group's second scale is its first", "d.y * f32(second)", "d.x * f32(second)"),
    plant(Scale, "of rounded x, a part's codes are centred by another's sum", "x.d, x.sums.w", "x.d, x.sums.z"),
];

pub const Q8_0: &[Mutation] = &[
    plant(Codes, "codes are taken to be unsigned", "unpack4xI8(hi)", "unpack4xU8(hi)"),
    plant(Address, "the second half of a block is the first", "word(b.second, at), part", "word(b.first, at), part"),
    plant(Address, "parts are one word apart", "2u * (part & 3u)", "part & 3u"),
    plant(Scale, "the second group takes the first's scale", "select(b.d.x, b.d.y, part >= 4u)", "b.d.x"),
    plant(
        Address,
        "of rounded x, the second group is the first",
        "select(b.first.hi, b.second.hi, group == 1u)",
        "b.first.hi",
    ),
    plant(Address, "of rounded x, two words change places", "dot_8_bits(lo.y, x.a.zw)", "dot_8_bits(lo.y, x.b.zw)"),
    plant(
        Scale,
        "of rounded x, the second group takes the first's scale",
        "select(b.d.x, b.d.y, group == 1u)",
        "b.d.x",
    ),
];
