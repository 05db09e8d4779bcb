//! Runs a large case on the reference in part: all of a small one, rows or tiles here and there of a large one.

use crate::kernels::attention_tiles::Tile;
use crate::kernels::weight_layout::{PLANES, ROWS_AT_ONCE, dtype_of_shader, row_words};
use crate::kernels::{attention, linear};
use crate::recording::{Binding, Dispatch, ExecutionError, Executor, Slice};
use crate::reference::ReferenceExecutor;

/// Operations that the reference may take: a fraction of a second.
const AFFORDABLE: u64 = 100_000_000;
/// Windows of rows: at the start, in the middle and near the end.
const WINDOWS: u64 = 3;
/// Bindings start at multiples of this many bytes.
const ALIGNMENT: u32 = 256;

/// How much of a dispatch's outputs was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    Whole,
    /// What was not computed is as it was before.
    Part,
}

/// Runs a dispatch of `flops` operations on the reference, all of it if that is affordable. Of a large attention, the table
/// of tiles is overwritten.
///
/// # Errors
/// As of [`ReferenceExecutor::dispatch`].
pub fn run(reference: &mut ReferenceExecutor, dispatch: &Dispatch, flops: u64) -> Result<Extent, ExecutionError> {
    let parts = match dispatch.program.kernel {
        _ if flops <= AFFORDABLE => None,
        // A gate's two halves lie apart, and sums of squares are of rows that lie together.
        _ if dispatch.program.has_flag("gated") || dispatch.program.has_flag("residual") => None,
        // Where its sums go depends on the place in the table.
        _ if dispatch.program.has_flag("split") || dispatch.program.kernel == "attention_key_lanes" => None,
        "attention" | "attention_lanes" => Some(vec![some_tiles(reference, dispatch, flops)?]),
        "matmul" | "matmul_coop" | "matmul_dot4" | "matmul_f16" | "matmul_lanes" | "matvec" | "matvec_dot4"
        | "matvec_lanes" => some_rows(dispatch, flops),
        _ => None,
    };
    match parts {
        Some(parts) => parts.iter().try_for_each(|part| reference.dispatch(part)).map(|()| Extent::Part),
        None => reference.dispatch(dispatch).map(|()| Extent::Whole),
    }
}

/// Windows of rows of the weights, as if they were shards of their own. The grids are those of the whole: the reference does
/// not look at them.
fn some_rows(dispatch: &Dispatch, flops: u64) -> Option<Vec<Dispatch>> {
    let whole: linear::Params = dispatch.params();
    let words = row_words(dtype_of_shader(dispatch.program.weights)?, whole.k as usize);
    let together = if dispatch.loads_texels(0) { ROWS_AT_ONCE as u32 } else { 1 };
    let window = |(first, rows): (u32, u32)| {
        let params = linear::Params { n: rows, y_column: whole.y_column + first, ..whole };
        rebound(dispatch, &params, dispatch.grid, |binding| match binding.index as usize {
            plane @ 0..PLANES => part(binding.slice, first, rows.next_multiple_of(together), 4 * words[plane] as u64),
            _ => binding.slice,
        })
    };
    Some(windows(whole.n, flops).into_iter().map(window).collect())
}

/// The first row and the number of rows of each window.
fn windows(rows: u32, flops: u64) -> Vec<(u32, u32)> {
    // So many rows fill whole steps of the alignment, whatever a row's length.
    const STEP: u32 = ALIGNMENT / 4;
    let count = (AFFORDABLE * u64::from(rows) / flops / WINDOWS).clamp(1, u64::from(rows)) as u32;
    let last = (rows - count) / STEP * STEP;
    let mut firsts = vec![0, last / 2 / STEP * STEP, last];
    firsts.dedup();
    firsts.into_iter().map(|first| (first, count)).collect()
}

/// Tiles of queries from the first to the last, in even steps; they are moved to the front of their table.
fn some_tiles(reference: &mut ReferenceExecutor, dispatch: &Dispatch, flops: u64) -> Result<Dispatch, ExecutionError> {
    let [tiles, kv_heads, _] = dispatch.grid;
    let count = (AFFORDABLE * u64::from(tiles) / flops).clamp(1, u64::from(tiles)) as u32;
    let Some(binding) = dispatch.bindings().iter().find(|binding| binding.index == 5) else {
        return Ok(dispatch.clone());
    };
    let mut table: Vec<Tile> = vec![bytemuck::Zeroable::zeroed(); tiles as usize];
    reference.read(binding.slice, bytemuck::cast_slice_mut(&mut table))?;
    let steps = u64::from(count.max(2) - 1);
    let place = |i: u32| u64::from(count - 1 - i) * u64::from(tiles - 1) / steps;
    // From the last one down, so that a single tile is the one with the longest context.
    let picked: Vec<Tile> =
        (0..count).map(|i| table[if count == 1 { tiles as usize - 1 } else { place(i) as usize }]).collect();
    reference.write(binding.slice, bytemuck::cast_slice(&picked))?;
    let params: attention::Params = dispatch.params();
    Ok(rebound(dispatch, &params, [count, kv_heads, 1], |binding| binding.slice))
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
    let bindings = dispatch.bindings().iter().map(|binding| Binding { slice: slice(binding), ..*binding });
    bindings.fold(empty, Dispatch::bind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::{Choice, groups};
    use crate::kernels::Selection;
    use crate::verify::{Case, UNTOUCHED};

    /// The output of a case, and how much of it was computed.
    fn output(case: &Case, flops: u64) -> (Vec<u32>, Extent) {
        let mut reference = ReferenceExecutor::new();
        let tensors = case.tensors();
        let mut slices = Vec::new();
        for tensor in &tensors {
            let size = 4 * tensor.words.len() as u64;
            let slice = Slice { buffer: reference.allocate(tensor.name, size).expect("memory"), offset: 0, size };
            reference.write(slice, bytemuck::cast_slice(&tensor.words)).expect("written");
            slices.push(slice);
        }
        let extent = run(&mut reference, &case.dispatch(&slices), flops).expect("valid");
        let output = tensors.iter().position(|tensor| tensor.output.is_some()).expect("an output");
        let mut words = tensors[output].words.clone();
        reference.read(slices[output], bytemuck::cast_slice_mut(&mut words)).expect("read");
        (words, extent)
    }

    #[test]
    fn gates_and_products_onto_the_residual_stream_are_computed_whole() {
        for case in ["ffn_gate_up with gate", "ffn_gate_up with norm, gate", "ffn_down with residual, norm"] {
            let choice = Choice { case: Some(format!("{case} q8_0")), rows: vec![1], ..Choice::default() };
            let (groups, _) = groups(&choice, &Selection::BASELINE);
            let [group] = &groups[..] else { panic!("{} groups of {case}", groups.len()) };
            let (whole, _) = output(&group.variants[0], group.work.flops);
            assert!(whole.iter().all(|word| *word != UNTOUCHED));
            assert_eq!(output(&group.variants[0], 5 * AFFORDABLE), (whole, Extent::Whole), "{case}");
        }
    }

    #[test]
    fn a_part_is_what_the_whole_has_there_and_nothing_else() {
        for (case, kernel) in [("attn_output q8_0 m32", "matmul"), ("attention f16 m128 context 512", "attention")] {
            let choice = Choice {
                case: Some(case.into()),
                kernel: Some(kernel.into()),
                rows: vec![32, 128],
                ..Choice::default()
            };
            let (groups, _) = groups(&choice, &Selection::BASELINE);
            let [group] = &groups[..] else { panic!("{} groups of {case}", groups.len()) };
            let case = &group.variants[0];
            let (whole, extent) = output(case, group.work.flops.min(AFFORDABLE));
            assert_eq!(extent, Extent::Whole);
            assert!(whole.iter().all(|word| *word != UNTOUCHED));
            // As if the case were five times what is affordable.
            let (some, extent) = output(case, 5 * AFFORDABLE);
            assert_eq!(extent, Extent::Part);
            let made = some.iter().filter(|word| **word != UNTOUCHED).count();
            assert!(made > whole.len() / 12 && made < whole.len() / 3, "{made} of {}", whole.len());
            assert!(some.iter().zip(&whole).all(|(some, whole)| *some == UNTOUCHED || some == whole), "{}", group.name);
            let (first, second) = some.split_at(some.len() / 2);
            for half in [first, second] {
                assert!(half.iter().any(|word| *word != UNTOUCHED), "nothing of one half of {}", group.name);
            }
        }
    }

    #[test]
    fn windows_lie_within_the_rows_and_cost_what_is_affordable() {
        for (rows, flops) in [(192, 500_000_000), (100_000, 3_000_000_000), (5, 1 << 40)] {
            let windows = windows(rows, flops);
            assert!(windows.iter().all(|(first, count)| first % 64 == 0 && *count > 0 && first + count <= rows));
            let cost: u64 = windows.iter().map(|(_, count)| u64::from(*count) * flops / u64::from(rows)).sum();
            assert!(cost <= AFFORDABLE || windows.iter().all(|(_, count)| *count == 1), "{cost}");
        }
    }
}
