// An RMS norm without a dispatch of its own, in the products on both of its sides. The one before (`residual`) adds to the
// residual stream, leaves its elements times the norm's weights, and of each `part` columns of a row the sum of their squares;
// the one behind (`unscaled`) multiplies those elements and divides its sums by the root of their mean square:
// W (x / rms(x) * weight) = (W (x * weight)) / rms(x). Mirrors kernels/linear.rs.
@if(residual) import package::shared::linear_io::{columns, is_within, y_index};
@if(residual && !texels) import package::shared::linear_io::y;
@if(residual && texels) import package::shared::linear_io::store_four;
@if(residual && texels) import package::shared::four::{Four, from_four, to_four};
import package::shared::linear_io::params;

@if(residual && !texels) @group(0) @binding(5) var<storage, read_write> stream: array<f32>;
@if(residual && texels) @group(0) @binding(5) var<storage, read_write> stream: array<Four>;
@if(residual && !texels) @group(0) @binding(6) var<storage, read> norm_weight: array<f32>;
@if(residual && texels) @group(0) @binding(6) var<storage, read> norm_weight: array<Four>;
@if(residual) @group(0) @binding(7) var<storage, read_write> squares: array<f32>;

// stream[row][column] += value, and y[row][column]. Gives the square of the sum.
@if(residual && !texels)
fn add_to_stream(row: u32, column: u32, value: f32) -> f32 {
    if !is_within(row, column) {
        return 0.0;
    }
    let at = y_index(row, column);
    let sum = stream[at] + value;
    stream[at] = sum;
    y[at] = sum * (norm_weight[column] + params.offset);
    return sum * sum;
}

// The same for four columns, the first of them a multiple of four; of their squares the sum.
@if(residual && texels)
fn add_four_to_stream(row: u32, column: u32, values: vec4<f32>) -> f32 {
    if !is_within(row, column) {
        return 0.0;
    }
    let at = y_index(row, column) / 4u;
    let sums = from_four(stream[at]) + values;
    stream[at] = to_four(sums);
    store_four(row, column, sums * (from_four(norm_weight[column / 4u]) + params.offset));
    return dot(sums, sums);
}

// Part `part` of a row that is within.
@if(residual)
fn store_squares(row: u32, part: u32, sum: f32) {
    squares[row * squares_stride(columns()) + part] = sum;
}

// The sums of squares of a row of so many elements.
fn parts_of(elements: u32) -> u32 {
    return (elements + params.part - 1u) / params.part;
}

// From a row's sums to the next one's: whole loads of the kernels, which take four or eight at once.
fn squares_stride(elements: u32) -> u32 {
    return (parts_of(elements) + 7u) / 8u * 8u;
}

// The sum of four sums, the first of them number `part` of a row's; behind the last one may lie anything.
@if(unscaled)
fn add_parts(four: vec4<f32>, part: u32, parts: u32) -> f32 {
    let is_part = vec4<u32>(part) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(parts);
    return dot(select(vec4<f32>(), four, is_part), vec4<f32>(1.0));
}

// What a row of x still lacks.
@if(unscaled)
fn inverse_rms(sum_of_squares: f32) -> f32 {
    return 1.0 / sqrt(sum_of_squares / f32(params.k) + params.eps);
}
