// Rounds activations to blocks of q8_0, for products of packed bytes: codes in one plane, f32 scales in another. A thread
// a block. Mirrors kernels/quantize_q8.rs.
import package::constants::WG;
import package::shared::q8_block::{BLOCK4, quantize_block};

struct Params {
    blocks: u32,
}
var<immediate> params: Params;

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> codes: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;

@compute @workgroup_size(WG)
fn main(
    @builtin(workgroup_id) wg: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let index = (wg.y * grid.x + wg.x) * WG + thread;
    if index >= params.blocks {
        return;
    }
    var values: array<vec4<f32>, BLOCK4>;
    for (var i = 0u; i < BLOCK4; i++) {
        values[i] = x[index * BLOCK4 + i];
    }
    let block = quantize_block(values);
    codes[2u * index] = block.first;
    codes[2u * index + 1u] = block.second;
    scales[index] = block.scale;
}
