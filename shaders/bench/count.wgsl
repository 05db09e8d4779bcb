// Next to nothing, of which each dispatch needs the one before: counts dispatches. Mirrors bench/probes.rs.
struct Params {
    step: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read_write> count: array<u32>;

@compute @workgroup_size(1)
fn main() {
    count[0] += params.step;
}
