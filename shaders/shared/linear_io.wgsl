// What the matrix kernels take and give, beside the weights. With `gated` the first half of W's rows makes a gate and the second
// what goes through it, and a row of y has half as many elements. `wide` is for lanes, whose rows are stored four columns at a
// time. Mirrors kernels/linear.rs.
import package::shared::activation::activate;
@if(wide && !texels) import package::shared::four::{Four, from_four, to_four};
@if(texels) import package::shared::texels::place;

struct Params {
    m: u32,
    n: u32,
    k: u32,
    y_stride: u32,
    y_column: u32,
    // Of a norm whose halves are two products: see split_norm.
    part: u32,
    eps: f32,
    offset: f32,
}
var<immediate> params: Params;

@if(!texels && !wide) @group(0) @binding(4) var<storage, read_write> y: array<f32>;
@if(!texels && wide) @group(0) @binding(4) var<storage, read_write> y: array<Four>;
@if(texels) @group(0) @binding(4) var y: texture_storage_2d<rgba32uint, write>;
@if(bias && !wide) @group(0) @binding(5) var<storage, read> bias: array<f32>;
@if(bias && wide) @group(0) @binding(5) var<storage, read> bias: array<Four>;

// The elements of a row of y that W makes.
fn columns() -> u32 {
    @if(gated) return params.n / 2u;
    @if(!gated) return params.n;
}

// Whether a tile that reaches beyond the edges of y has the element there.
fn is_within(row: u32, column: u32) -> bool {
    return row < params.m && column < columns();
}

fn y_index(row: u32, column: u32) -> u32 {
    return row * params.y_stride + params.y_column + column;
}

// y[row][column] = value (+ bias)
@if(!texels && !wide)
fn store(row: u32, column: u32, value: f32) {
    if is_within(row, column) {
        var sum = value;
        @if(bias) {
            sum += bias[params.y_column + column];
        }
        y[y_index(row, column)] = sum;
    }
}

// y[row][column] = act(gate) * up
@if(gated && !texels && !wide)
fn store_gated(row: u32, column: u32, gate: f32, up: f32) {
    if is_within(row, column) {
        y[y_index(row, column)] = activate(vec4<f32>(gate)).x * up;
    }
}

// Four columns (+ bias), the first of them a multiple of four, as all sizes are.
@if(texels || wide)
fn store_four(row: u32, column: u32, values: vec4<f32>) {
    if is_within(row, column) {
        var sums = values;
        @if(bias) {
            sums += from_four(bias[(params.y_column + column) / 4u]);
        }
        let at = y_index(row, column) / 4u;
        @if(texels) textureStore(y, place(at), bitcast<vec4<u32>>(sums));
        @if(!texels) y[at] = to_four(sums);
    }
}
