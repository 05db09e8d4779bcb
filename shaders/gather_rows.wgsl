// y[i] = x[rows[i]]: the rows whose logits somebody wants. Mirrors kernels/gather_rows.rs.
import package::constants::WG;

struct Params {
    count: u32,
    dim4: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    if index >= params.count * params.dim4 {
        return;
    }
    y[index] = x[rows[index / params.dim4] * params.dim4 + index % params.dim4];
}
