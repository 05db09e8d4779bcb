// What `sample` takes and gives, and the order in which tokens are chosen. Mirrors kernels/sample.rs.
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

const LOWEST: f32 = -80.0; // exp of it is nothing beside exp(0), and still a normal number

// A token that may be chosen. Of equal ranks the lower token comes first.
struct Best {
    rank: u32,
    token: u32,
}

fn comes_before(a: Best, b: Best) -> bool {
    return a.rank > b.rank || (a.rank == b.rank && a.token < b.token);
}

fn earlier(a: Best, b: Best) -> Best {
    if comes_before(b, a) {
        return b;
    }
    return a;
}

fn weight(logit: f32, peak: f32, temperature: f32) -> f32 {
    return exp(max((logit - peak) / temperature, LOWEST));
}
