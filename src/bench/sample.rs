//! Which outputs of a large case the reference computes: all of a small one, windows of a large one.

use crate::kernels::attention;
use crate::kernels::linear;
use crate::kernels::weight_layout::{PLANES, dtype_of_shader, row_words};
use crate::recording::{Access, Binding, Dispatch, Slice};

/// Operations that the reference may take: a fraction of a second.
const AFFORDABLE: u64 = 100_000_000;
/// At the start, in the middle and near the end.
const WINDOWS: u64 = 3;
/// Bindings start at multiples of this many bytes.
const ALIGNMENT: u32 = 256;

/// Dispatches that make some outputs of a dispatch of `flops` operations, all of them if that is affordable. They work on the
/// same slices, and only the reference can run them: their grids are those of the whole.
pub fn windows(dispatch: &Dispatch, flops: u64) -> Vec<Dispatch> {
    if flops <= AFFORDABLE {
        return vec![dispatch.clone()];
    }
    match dispatch.program.kernel {
        "attention" | "attention_lanes" => attention_windows(dispatch, flops),
        "matmul" | "matmul_lanes" | "matvec" | "matvec_lanes" => linear_windows(dispatch, flops),
        _ => vec![dispatch.clone()],
    }
}

/// Rows of the weights, as if they were shards of their own.
fn linear_windows(dispatch: &Dispatch, flops: u64) -> Vec<Dispatch> {
    let whole: linear::Params = dispatch.params();
    let Some(dtype) = dtype_of_shader(dispatch.program.weights) else { return vec![dispatch.clone()] };
    let words = row_words(dtype, whole.k as usize);
    let window = |first: u32, rows: u32| {
        let params = linear::Params { n: rows, y_column: whole.y_column + first, ..whole };
        rebound(dispatch, &params, dispatch.grid, |binding| match binding.index as usize {
            plane @ 0..PLANES => part(binding.slice, first, rows, 4 * words[plane] as u64),
            _ => binding.slice,
        })
    };
    // So many rows fill whole steps of the alignment, whatever a row's length.
    starts(whole.n, ALIGNMENT / 4, flops).map(|(first, rows)| window(first, rows)).collect()
}

/// Tiles of queries.
fn attention_windows(dispatch: &Dispatch, flops: u64) -> Vec<Dispatch> {
    const TILE: u64 = size_of::<attention::Tile>() as u64;
    let params: attention::Params = dispatch.params();
    let [tiles, kv_heads, _] = dispatch.grid;
    let window = |first: u32, count: u32| {
        rebound(dispatch, &params, [count, kv_heads, 1], |binding| match binding.index {
            5 => part(binding.slice, first, count, TILE),
            _ => binding.slice,
        })
    };
    starts(tiles, ALIGNMENT / TILE as u32, flops).map(|(first, count)| window(first, count)).collect()
}

/// The first and the number of parts of each window, of a whole of `parts` parts; a window begins at a multiple of `step`, so
/// that the last one may end a little before the whole does.
fn starts(parts: u32, step: u32, flops: u64) -> impl Iterator<Item = (u32, u32)> {
    let affordable = AFFORDABLE * u64::from(parts) / flops / WINDOWS;
    let count = (affordable.max(1) as u32).min(parts);
    let last = (parts - count) / step * step;
    let mut firsts = vec![0, last / 2 / step * step, last];
    firsts.dedup();
    firsts.into_iter().map(move |first| (first, count))
}

/// `count` items of `size` bytes from a slice.
fn part(slice: Slice, first: u32, count: u32, size: u64) -> Slice {
    Slice { offset: slice.offset + u64::from(first) * size, size: u64::from(count) * size, ..slice }
}

fn rebound<P: bytemuck::Pod>(
    dispatch: &Dispatch,
    params: &P,
    grid: [u32; 3],
    slice: impl Fn(&Binding) -> Slice,
) -> Dispatch {
    let empty = Dispatch::new(dispatch.program, params, grid);
    dispatch.bindings().iter().fold(empty, |made, binding| match binding.access {
        Access::Read => made.read(binding.index, slice(binding)),
        Access::ReadWrite => made.read_write(binding.index, slice(binding)),
    })
}
