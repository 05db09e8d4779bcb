use super::*;
use crate::kernels::attention::{Heads, Slices, dispatch};
use crate::kernels::attention_tiles::AttentionPath;
use crate::kernels::kv_cache::{CacheSlices, KvType, PAGE_SIZE};
use crate::recording::{Executor, Slice};
use crate::reference::ReferenceExecutor;

fn upload<T: bytemuck::NoUninit>(executor: &mut ReferenceExecutor, values: &[T]) -> Slice {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let size = bytes.len() as u64;
    let slice = Slice { buffer: executor.allocate("test", size).unwrap(), offset: 0, size };
    executor.write(slice, bytes).unwrap();
    slice
}

/// Two queries over three keys whose scores are logarithms, so that the softmax is a fraction.
#[test]
fn outputs_are_averages_that_the_scores_weigh() {
    let (ln2, ln5) = (2f32.ln(), 5f32.ln());
    // Page 0 holds nothing; page 1 the sequence. Keys score q[0] * (0, ln 2, ln 5).
    let empty = vec![f32::NAN; 4 * PAGE_SIZE as usize];
    let k = [empty.clone(), [[0.0; 4], [ln2, 0.0, 0.0, 0.0], [ln5, 0.0, 0.0, 0.0]].concat()].concat();
    let v = [empty, [[8.0, 1.0, 0.0, 0.0], [0.0, 1.0, 16.0, 0.0], [0.0, 1.0, 0.0, 24.0]].concat()].concat();
    for (window, expected) in [
        (0, [[8.0 / 3.0, 1.0, 32.0 / 3.0, 0.0], [1.0, 1.0, 4.0, 15.0]]),
        (1, [[0.0, 1.0, 16.0, 0.0], [0.0, 1.0, 0.0, 24.0]]),
        (2, [[8.0 / 3.0, 1.0, 32.0 / 3.0, 0.0], [0.0, 1.0, 32.0 / 7.0, 120.0 / 7.0]]),
    ] {
        let mut executor = ReferenceExecutor::new();
        let slices = Slices {
            q: upload(&mut executor, &[[2f32, 0.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0]]),
            cache: CacheSlices { k: upload(&mut executor, &k), v: upload(&mut executor, &v), scales: None },
            page_table: upload(&mut executor, &[1u32]),
            sequences: upload(&mut executor, &[Sequence { row0: 0, tokens: 2, position0: 1, page_row: 0 }]),
            tiles: upload(&mut executor, &[Tile { sequence: 0, row0: 0, first_key: 0, end_key: u32::MAX }]),
            out: upload(&mut executor, &[[f32::NAN; 4]; 2]),
        };
        let heads = Heads { heads: 1, kv_heads: 1, head_dim: 4, kv_type: KvType::F32, window, scale: 0.5 };
        executor.dispatch(&dispatch(AttentionPath::Tile, heads, 1, 1, slices)).unwrap();
        let mut out = [[0f32; 4]; 2];
        executor.read(slices.out, bytemuck::cast_slice_mut(&mut out)).unwrap();
        for (actual, expected) in out.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((actual - expected).abs() < 1e-5, "window {window}: {out:?}");
        }
    }
}
