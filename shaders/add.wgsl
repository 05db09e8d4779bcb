// x += y, in place. Mirrors kernels/add.rs.
import package::constants::WG;

struct Params {
    count4: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    if index >= params.count4 {
        return;
    }
    x[index] += y[index];
}
