// A row of x as the lanes of a subgroup hold and share it, in floats, and its products with a block's weights.
import package::blocks::{Block, eight_codes, scale_and_min, PLACES};

// What a lane holds of 64 elements: eight, in the places of the codes that they meet, and their sum.
struct Own {
    lo: vec4<f32>,
    hi: vec4<f32>,
    sum: f32,
}

// Sixteen elements and their sum, for all lanes.
struct Sixteen {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    sum: f32,
}

// The elements that meet a group of weights.
struct Group {
    first: Sixteen,
    second: Sixteen,
}

fn own(lo: vec4<f32>, hi: vec4<f32>) -> Own {
    return Own(lo * PLACES, hi * PLACES, dot(lo, vec4<f32>(1.0)) + dot(hi, vec4<f32>(1.0)));
}

fn sixteen_of(own: Own, lane: u32) -> Sixteen {
    return Sixteen(
        subgroupShuffle(own.lo, lane),
        subgroupShuffle(own.hi, lane),
        subgroupShuffle(own.lo, lane + 1u),
        subgroupShuffle(own.hi, lane + 1u),
        subgroupShuffle(own.sum, lane) + subgroupShuffle(own.sum, lane + 1u),
    );
}

// Group 0 or 1 of the 64 elements that the lanes hold.
fn share(own: Own, group: u32) -> Group {
    return Group(sixteen_of(own, 4u * group), sixteen_of(own, 4u * group + 2u));
}

fn multiply(w: Block, part: u32, x: Sixteen) -> f32 {
    let p = eight_codes(w, part);
    let q = eight_codes(w, part + 1u);
    let sum = dot(x.a, p.lo) + dot(x.b, p.hi) + dot(x.c, q.lo) + dot(x.d, q.hi);
    let scale = scale_and_min(w, part);
    return scale.x * sum + scale.y * x.sum;
}

// Of group 0 or 1 of a block with the elements that it meets.
fn product(w: Block, group: u32, x: Group) -> f32 {
    return multiply(w, 4u * group, x.first) + multiply(w, 4u * group + 2u, x.second);
}
