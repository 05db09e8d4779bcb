//! The twin of `shaders/attention_merge.wgsl`: the parts of each row, weighed in f64.

use super::bindings::{Bindings, TwinError, below, constant, params};
use crate::kernels::attention::{Params, Sequence};
use crate::kernels::attention_tiles::Merge;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let [heads, kv_heads] = [p.heads, p.kv_heads].map(|v| v as usize);
    let [dim, tile_rows] = [constant(dispatch, "D")?, constant(dispatch, "R")?];
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || dim == 0 {
        return Err(TwinError::Shape("the heads must be a multiple of the KV heads, of some elements each"));
    }
    let ratio = heads / kv_heads;
    let partials = bindings.read_all::<f32>(0)?;
    let sequences = bindings.read_all::<Sequence>(4)?;
    let merges = bindings.read::<Merge>(5, dispatch.grid[0] as usize)?;
    let out = bindings.write_all::<f32>(6)?;
    for merge in merges {
        let number = below("a merge's sequence", merge.sequence as usize, sequences.len())?;
        let sequence = &sequences[number];
        let (part_keys, row0) = (merge.part_keys.max(1), merge.row0 as usize);
        for row in row0..(sequence.tokens as usize * ratio).min(row0 + tile_rows) {
            let position = sequence.position0 + (row / ratio) as u32;
            let first = if p.window == 0 { 0 } else { (position + 1).saturating_sub(p.window) / part_keys };
            for kv_head in 0..kv_heads {
                let head = (sequence.row0 as usize + row / ratio) * heads + kv_head * ratio + row % ratio;
                below("an output", head, out.len() / dim)?;
                let parts = (first..=position / part_keys).map(|part| {
                    let tile = merge.first_part as usize + part as usize;
                    let from = (tile * kv_heads + kv_head) * tile_rows + row - row0;
                    below("a part's sums", from, partials.len() / (dim + 4))?;
                    Ok(&partials[from * (dim + 4)..][..dim + 4])
                });
                let parts: Vec<&[f32]> = parts.collect::<Result<_, TwinError>>()?;
                join(&parts, &mut out[head * dim..][..dim]);
            }
        }
    }
    Ok(())
}

/// The average of the parts' values: each is `dim` sums, its peak and its total.
fn join(parts: &[&[f32]], out: &mut [f32]) {
    let dim = out.len();
    let peak = parts.iter().map(|part| f64::from(part[dim])).fold(f64::NEG_INFINITY, f64::max);
    let scales: Vec<f64> = parts.iter().map(|part| (f64::from(part[dim]) - peak).exp()).collect();
    let sum = |element: usize| -> f64 {
        parts.iter().zip(&scales).map(|(part, scale)| scale * f64::from(part[element])).sum()
    };
    let total = sum(dim + 1);
    out.iter_mut().enumerate().for_each(|(element, out)| *out = (sum(element) / total) as f32);
}
