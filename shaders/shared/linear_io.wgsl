// What the matrix kernels take and give, beside the weights. Mirrors kernels/linear.rs.
struct Params {
    m: u32,
    n: u32,
    k: u32,
    y_stride: u32,
    y_column: u32,
}
var<immediate> params: Params;

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@if(bias) @group(0) @binding(5) var<storage, read> bias: array<f32>;

// y[row][column], and the bias, unless the tile reaches beyond either edge.
fn store(row: u32, column: u32, value: f32) {
    if row < params.m && column < params.n {
        var sum = value;
        @if(bias) {
            sum += bias[params.y_column + column];
        }
        y[row * params.y_stride + params.y_column + column] = sum;
    }
}
