//! Cases of `attention_merge`: sums of parts that are as large as a split kernel's, beside parts and rows that hold none.

use super::attention::{Batch, PLAIN, Path};
use super::{Case, activations};
use crate::kernels::Selection;
use crate::kernels::attention_merge::{Slices, dispatch};
use crate::kernels::attention_tiles::SplitPath;
use crate::recording::{Dispatch, Slice};
use crate::verify::{Elements, Random, Tensor};

/// One batch, and how far its parts' peaks may lie from 0.
#[derive(Clone, Copy)]
struct Parts {
    path: SplitPath,
    batch: Batch,
    peaks: f32,
    /// Whether the attention is left in texels.
    texels: bool,
}

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    for path in selection.split_paths() {
        let sequences: &[(u32, u32)] = &[(255, 1), (128, 1), (3000, 1), (300, 1)];
        let batch = Batch { path: Path::Split(path), sequences, ..PLAIN };
        let plain = Parts { path, batch, peaks: 10.0, texels: false };
        for head_dim in [16, 64, 80, 128, 256] {
            push_case(cases, Parts { batch: Batch { head_dim, ..batch }, ..plain });
        }
        for (heads, kv_heads) in [(1, 1), (9, 3), (14, 2), (12, 1)] {
            push_case(cases, Parts { batch: Batch { heads, kv_heads, ..batch }, ..plain });
        }
        for window in [1, 128, 129, 333, 5000] {
            push_case(cases, Parts { batch: Batch { window, ..batch }, ..plain });
        }
        // One part outweighs the others; peaks that no exp can hold.
        for peaks in [1e-30, 300.0, 1e30] {
            push_case(cases, Parts { peaks, ..plain });
        }
        let most = Batch { sequences: &[(8191, 1), (20_000, 1)], ..batch };
        push_case(cases, Parts { batch: most, ..plain });
        if selection.split_paths().contains(&SplitPath::Lanes) {
            for (heads, kv_heads) in [(1, 1), (9, 3), (14, 2)] {
                push_case(cases, Parts { batch: Batch { heads, kv_heads, ..batch }, texels: true, ..plain });
            }
            push_case(cases, Parts { batch: most, texels: true, ..plain });
        }
    }
}

fn push_case(cases: &mut Vec<Case>, parts: Parts) {
    let Parts { batch, peaks, .. } = parts;
    let contexts: Vec<String> = batch.sequences.iter().map(|(position, _)| (position + 1).to_string()).collect();
    let shape = format!(
        "{}/{} heads of {}, window {}, peaks to {peaks:e}, contexts {}",
        batch.heads,
        batch.kv_heads,
        batch.head_dim,
        batch.window,
        contexts.join(" ")
    );
    cases.push(Case::new(shape, move |random| parts.tensors(random), move |s| parts.dispatch(s)));
}

/// A case of the parts of a batch.
pub(crate) fn push_batch(cases: &mut Vec<Case>, path: SplitPath, batch: Batch) {
    push_case(cases, Parts { path, batch, peaks: 10.0, texels: path == SplitPath::Lanes });
}

impl Parts {
    fn tensors(&self, random: &mut Random) -> Vec<Tensor> {
        let Parts { batch, peaks, .. } = *self;
        let (dim, ratio) = (batch.head_dim as usize, batch.heads / batch.kv_heads);
        let tile_rows = self.path.rows(ratio);
        let (sequences, tiles) = (batch.kernel_sequences(), batch.all_tiles());
        let mut partials = vec![f32::NAN; tiles.parts.len() * (batch.kv_heads * tile_rows) as usize * (dim + 4)];
        for (vector, place) in partials.chunks_exact_mut(dim + 4).enumerate() {
            let (row, vector) = (vector as u32 % tile_rows, vector as u32 / tile_rows);
            let tile = tiles.parts[(vector / batch.kv_heads) as usize];
            let position = sequences[tile.sequence as usize].position0;
            let first = if batch.window == 0 { 0 } else { (position + 1).saturating_sub(batch.window) };
            // Nothing is left of keys that no row sees, nor of rows that there are not.
            if tile.row0 + row >= ratio || tile.first_key > position || tile.end_key <= first {
                continue;
            }
            let total = 1.0 + random.floats(1, 50.0)[0].abs();
            place[..dim].copy_from_slice(&random.floats(dim, total));
            place[dim..].copy_from_slice(&[random.floats(1, peaks)[0], total, 0.0, 0.0]);
        }
        vec![
            Tensor::f32("partials", partials),
            Tensor::u32("sequences", bytemuck::cast_slice(&sequences).to_vec()),
            Tensor::u32("merges", bytemuck::cast_slice(&tiles.merges).to_vec()),
            Tensor::output("out", sequences.len() * batch.heads as usize * dim, Elements::F32).for_product(self.texels),
        ]
    }

    fn dispatch(&self, s: &[Slice]) -> Dispatch {
        let slices = Slices { partials: s[0], sequences: s[1], merges: s[2], out: activations(self.texels, s[3]) };
        dispatch(self.path, self.batch.with(), self.batch.all_tiles().merges.len() as u32, slices)
    }
}
