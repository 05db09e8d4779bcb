//! The twin of `shaders/attention_key_lanes.wgsl`: who loads what changes nothing in what a part comes to. With `appends`, what
//! `rope_append` does is done first.

use super::attention::{self, Inputs, attend};
use super::bindings::{Bindings, TwinError, below, constant, params};
use super::rope_append::{Caches, turn_head};
use crate::kernels::attention::{Params, Sequence};
use crate::kernels::attention_tiles::Tile;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    if !dispatch.program.has_flag("appends") {
        return attention::run(dispatch, bindings);
    }
    let p: Params = params(dispatch)?;
    let [heads, kv_heads] = [p.heads, p.kv_heads].map(|heads| heads as usize);
    let [dim, page_size] = [constant(dispatch, "D")?, constant(dispatch, "PAGE")?];
    if heads == 0 || kv_heads == 0 || dim == 0 || !dim.is_multiple_of(8) || page_size == 0 {
        return Err(TwinError::Shape("there must be heads of whole pairs of vectors, and pages of some keys"));
    }
    let (q_width, width) = (heads * dim, kv_heads * dim);
    let qkv = bindings.read_all::<f32>(0)?;
    let (k, v) = (bindings.write_all::<u32>(1)?, bindings.write_all::<u32>(2)?);
    let page_table = bindings.read_all::<u32>(3)?;
    let sequences = bindings.read_all::<Sequence>(4)?;
    let tiles = bindings.read::<Tile>(5, dispatch.grid[0] as usize)?;
    let turns = bindings.read_all::<[f32; 2]>(7)?;
    let adjacent = dispatch.program.has_flag("adjacent");

    let mut q = vec![0.0; qkv.len() / (q_width + 2 * width) * q_width];
    let mut caches = Caches { k, v, width, halves: dispatch.program.has_flag("kv_f16") };
    let has_own = |tile: &&Tile| {
        let position = sequences.get(tile.sequence as usize).map_or(0, |sequence| sequence.position0);
        (tile.first_key..tile.end_key).contains(&position)
    };
    for tile in tiles {
        let sequence = &sequences[below("a tile's sequence", tile.sequence as usize, sequences.len())?];
        let row = below("a sequence's row", sequence.row0 as usize, (q.len() / q_width).min(turns.len() / (dim / 2)))?;
        let turns = &turns[row * dim / 2..][..dim / 2];
        let mut own = qkv[row * (q_width + 2 * width)..][..q_width + 2 * width].to_vec();
        own[..q_width + width].chunks_exact_mut(dim).for_each(|head| turn_head(head, turns, adjacent));
        q[row * q_width..][..q_width].copy_from_slice(&own[..q_width]);
        if has_own(&tile) {
            let position = sequence.position0 as usize;
            let entry = sequence.page_row as usize * p.page_stride as usize + position / page_size;
            let page = page_table[below("an entry of the page table", entry, page_table.len())?] as usize;
            let (key, value) = own[q_width..].split_at(width);
            caches.append(page * page_size + position % page_size, key, value)?;
        }
    }
    attend(dispatch, Inputs { q: &q, k: caches.k, v: caches.v, page_table, sequences, tiles }, bindings)
}
