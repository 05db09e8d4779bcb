// y = act(gate) * up, where a row of x has the gate's elements and then up's: SwiGLU, or GeGLU with the tanh form of GELU
// (Shazeer 2020). Mirrors kernels/gated_activation.rs.
import package::constants::WG;
import package::shared::activation::activate;
import package::shared::four::{Four, from_four};
@if(texels) import package::shared::texels::place;

struct Params {
    rows: u32,
    dim4: u32, // vectors of four elements in a row of y
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<Four>;
@if(!texels) @group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@if(texels) @group(0) @binding(1) var y: texture_storage_2d<rgba32uint, write>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = wg.z * grid.y + wg.y;
    let column = wg.x * WG + thread;
    if row >= params.rows || column >= params.dim4 {
        return;
    }
    let index = row * params.dim4 + column;
    let gate = index + row * params.dim4;
    let hidden = activate(from_four(x[gate])) * from_four(x[gate + params.dim4]);
    @if(!texels) y[index] = hidden;
    @if(texels) textureStore(y, place(index), bitcast<vec4<u32>>(hidden));
}
