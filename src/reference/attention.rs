//! The twin of `shaders/attention.wgsl`: the softmax of whole rows in f64, without tiles of keys.

use half::f16;
use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, below, constant, params};
use super::dot::dot;
use crate::kernels::attention::{Params, Sequence, Tile};
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let [heads, kv_heads] = [p.heads, p.kv_heads].map(|v| v as usize);
    let [dim, tile_rows, page_size] = [constant(dispatch, "D")?, constant(dispatch, "R")?, constant(dispatch, "PAGE")?];
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || dim == 0 || tile_rows == 0 || page_size == 0 {
        return Err(TwinError::Shape("the heads must be a multiple of the KV heads, of some elements each"));
    }
    let q = bindings.read_all::<f32>(0)?;
    let halves = dispatch.program.has_flag("kv_f16");
    let context = Context {
        k: Cache { words: bindings.read_all(1)?, halves, kv_heads, dim },
        v: Cache { words: bindings.read_all(2)?, halves, kv_heads, dim },
        page_table: bindings.read_all(3)?,
        page_stride: p.page_stride as usize,
        page_size,
        window: p.window as usize,
        scale: f64::from(p.scale),
    };
    let sequences = bindings.read_all::<Sequence>(4)?;
    let tiles = bindings.read::<Tile>(5, dispatch.grid[0] as usize)?;
    let out = bindings.write_all::<f32>(6)?;

    let vectors = q.len().min(out.len()) / dim;
    let ratio = heads / kv_heads;
    let mut queries = Vec::new();
    for tile in tiles {
        let number = below("a tile's sequence", tile.sequence as usize, sequences.len())?;
        let sequence = &sequences[number];
        let rows = sequence.tokens as usize * ratio;
        let first = below("a tile's first row", tile.row0 as usize, rows)?;
        for row in first..rows.min(first + tile_rows) {
            let token = row / ratio;
            let position = sequence.position0 as usize + token;
            for kv_head in 0..kv_heads {
                let head = (sequence.row0 as usize + token) * heads + kv_head * ratio + row % ratio;
                let vector = below("a query", head, vectors)?;
                queries.push(Query { vector, position, kv_head, page_row: sequence.page_row as usize });
            }
        }
    }
    let results: Vec<Vec<f32>> = queries
        .par_iter()
        .map(|query| context.attend(&q[query.vector * dim..][..dim], query))
        .collect::<Result<_, _>>()?;
    for (query, result) in queries.iter().zip(results) {
        out[query.vector * dim..][..dim].copy_from_slice(&result);
    }
    Ok(())
}

/// One query vector and what it may see.
struct Query {
    /// Which vector of `q` and of `out`.
    vector: usize,
    position: usize,
    kv_head: usize,
    page_row: usize,
}

/// What all queries share.
struct Context<'a> {
    k: Cache<'a>,
    v: Cache<'a>,
    page_table: &'a [u32],
    page_stride: usize,
    page_size: usize,
    window: usize,
    scale: f64,
}

impl Context<'_> {
    /// softmax(scale * q K^T) V over the keys that the query sees.
    fn attend(&self, q: &[f32], query: &Query) -> Result<Vec<f32>, TwinError> {
        let first = if self.window == 0 { 0 } else { (query.position + 1).saturating_sub(self.window) };
        let mut vector = vec![0f32; q.len()];
        let mut scores = Vec::with_capacity(query.position + 1 - first);
        for key in first..=query.position {
            self.k.load(self.slot(query, key)?, query.kv_head, &mut vector)?;
            scores.push(self.scale * dot(q, &vector));
        }
        let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        let mut sums = vec![0f64; q.len()];
        for (score, key) in scores.iter().zip(first..) {
            let p = (score - peak).exp();
            total += p;
            self.v.load(self.slot(query, key)?, query.kv_head, &mut vector)?;
            for (sum, v) in sums.iter_mut().zip(&vector) {
                *sum += p * f64::from(*v);
            }
        }
        Ok(sums.iter().map(|sum| (sum / total) as f32).collect())
    }

    /// The cache slot of a position, through the page table.
    fn slot(&self, query: &Query, position: usize) -> Result<usize, TwinError> {
        let page = below("a position's page", position / self.page_size, self.page_stride)?;
        let entry =
            below("an entry of the page table", query.page_row * self.page_stride + page, self.page_table.len())?;
        Ok(self.page_table[entry] as usize * self.page_size + position % self.page_size)
    }
}

/// `[slots][kv_heads][dim]`, in f32 or in pairs of f16.
struct Cache<'a> {
    words: &'a [u32],
    halves: bool,
    kv_heads: usize,
    dim: usize,
}

impl Cache<'_> {
    fn load(&self, slot: usize, kv_head: usize, out: &mut [f32]) -> Result<(), TwinError> {
        let words = if self.halves { self.dim / 2 } else { self.dim };
        let vector = slot * self.kv_heads + kv_head;
        let at = below("a cached vector", vector, self.words.len() / words)? * words;
        let words = &self.words[at..at + words];
        if self.halves {
            for (out, word) in out.chunks_exact_mut(2).zip(words) {
                out[0] = f16::from_bits(*word as u16).to_f32();
                out[1] = f16::from_bits((word >> 16) as u16).to_f32();
            }
        } else {
            out.copy_from_slice(bytemuck::cast_slice(words));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
