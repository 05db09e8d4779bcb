// Sums a buffer: neighbouring threads read neighbouring vectors, READS of them each. Mirrors bench/probes.rs.
import package::constants::{READS, WG};

struct Params {
    // Threads of the whole grid.
    threads: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let thread = (wg.y * grid.x + wg.x) * WG + lane;
    if thread >= params.threads {
        return;
    }
    var sum = vec4(0u);
    for (var i = 0u; i < READS; i++) {
        sum += data[thread + i * params.threads];
    }
    sums[thread] = sum.x + sum.y + sum.z + sum.w;
}
