// y = x / sqrt(mean(x^2) + eps) * (weight + offset), a workgroup a row (Zhang & Sennrich 2019).
// The offset is 1 where a checkpoint stores the weight less one (Gemma). Mirrors kernels/rms_norm.rs.
import package::constants::WG;
import package::shared::reduce::workgroup_sum;
@if(texels) import package::shared::texels::place;

struct Params {
    rows: u32,
    dim4: u32,
    eps: f32,
    offset: f32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@if(!texels) @group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
@if(texels) @group(0) @binding(2) var y: texture_storage_2d<rgba32uint, write>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = wg.y * grid.x + wg.x;
    if row >= params.rows {
        return;
    }
    let base = row * params.dim4;
    var squares = 0.0;
    for (var i = thread; i < params.dim4; i += WG) {
        let v = x[base + i];
        squares += dot(v, v);
    }
    let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);
    let scale = 1.0 / sqrt(mean + params.eps);
    for (var i = thread; i < params.dim4; i += WG) {
        let normed = x[base + i] * scale * (weight[i] + params.offset);
        @if(!texels) y[base + i] = normed;
        @if(texels) textureStore(y, place(base + i), bitcast<vec4<u32>>(normed));
    }
}
