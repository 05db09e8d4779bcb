// Copies a buffer, a vector a thread. Mirrors bench/probes.rs.
import package::constants::WG;

struct Params {
    // Vectors to copy.
    count4: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> destination: array<vec4<u32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + lane;
    if index < params.count4 {
        destination[index] = source[index];
    }
}
