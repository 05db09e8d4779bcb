// The residual connection and the norm of the next block in one pass, a workgroup a row: x += delta in place, then
// h = x / sqrt(mean(x^2) + eps) * (weight + offset). With `post_norm` delta is normed first, with a weight of its own (Gemma).
// Sums as rms_norm.wgsl does. Mirrors kernels/residual_norm.rs.
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

@group(0) @binding(0) var<storage, read> delta: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;
@if(!texels) @group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@if(texels) @group(0) @binding(3) var h: texture_storage_2d<rgba32uint, write>;
@if(post_norm) @group(0) @binding(4) var<storage, read> post_weight: array<vec4<f32>>;

// 1 / rms of a row, from each thread's part of its sum of squares.
fn inverse_rms(thread: u32, squares: f32) -> f32 {
    let mean = workgroup_sum(thread, squares) / f32(params.dim4 * 4u);
    return 1.0 / sqrt(mean + params.eps);
}

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
    @if(post_norm) var delta_squares = 0.0;
    @if(post_norm)
    for (var i = thread; i < params.dim4; i += WG) {
        let v = delta[base + i];
        delta_squares += dot(v, v);
    }
    @if(post_norm) let delta_scale = inverse_rms(thread, delta_squares);
    @if(post_norm) workgroupBarrier(); // the next sum overwrites what this one is read from

    var squares = 0.0;
    for (var i = thread; i < params.dim4; i += WG) {
        @if(!post_norm) let v = x[base + i] + delta[base + i];
        @if(post_norm) let v = x[base + i] + delta[base + i] * delta_scale * (post_weight[i] + params.offset);
        x[base + i] = v;
        squares += dot(v, v);
    }
    let scale = inverse_rms(thread, squares);
    for (var i = thread; i < params.dim4; i += WG) {
        let normed = x[base + i] * scale * (weight[i] + params.offset);
        @if(!texels) h[base + i] = normed;
        @if(texels) textureStore(h, place(base + i), bitcast<vec4<u32>>(normed));
    }
}
