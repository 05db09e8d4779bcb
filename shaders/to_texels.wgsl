// Copies activations into texels, for products that load each many times. A thread a pair of texels. Mirrors
// kernels/to_texels.rs.
import package::constants::WG;
import package::shared::texels::place;
import package::shared::words8::words8;

struct Params {
    pairs: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<u64>>;
@group(0) @binding(1) var texels: texture_storage_2d<rgba32uint, write>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    if index >= params.pairs {
        return;
    }
    let words = words8(x[index]);
    textureStore(texels, place(2u * index), words.lo);
    textureStore(texels, place(2u * index + 1u), words.hi);
}
