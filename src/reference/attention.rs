//! The twin of `shaders/attention.wgsl`: the softmax of whole rows, or of a part of their keys, in f64, without tiles of keys.

use std::ops::Range;

use half::f16;
use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, below, constant, params};
use super::dot::dot;
use crate::kernels::attention::{Params, Sequence};
use crate::kernels::attention_tiles::Tile;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let inputs = Inputs {
        q: bindings.read_all(0)?,
        k: bindings.read_all(1)?,
        v: bindings.read_all(2)?,
        page_table: bindings.read_all(3)?,
        sequences: bindings.read_all(4)?,
        tiles: bindings.read(5, dispatch.grid[0] as usize)?,
    };
    attend(dispatch, inputs, bindings)
}

/// What attention takes.
pub(super) struct Inputs<'a> {
    /// `[tokens][heads][head_dim]`, turned.
    pub q: &'a [f32],
    /// The cache's words.
    pub k: &'a [u32],
    pub v: &'a [u32],
    pub page_table: &'a [u32],
    pub sequences: &'a [Sequence],
    pub tiles: &'a [Tile],
}

/// Takes the bindings behind these.
pub(super) fn attend(dispatch: &Dispatch, inputs: Inputs<'_>, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let Inputs { q, k, v, page_table, sequences, tiles } = inputs;
    let p: Params = params(dispatch)?;
    let [heads, kv_heads] = [p.heads, p.kv_heads].map(|v| v as usize);
    let [dim, tile_rows, page_size] = [constant(dispatch, "D")?, constant(dispatch, "R")?, constant(dispatch, "PAGE")?];
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || dim == 0 || tile_rows == 0 || page_size == 0 {
        return Err(TwinError::Shape("the heads must be a multiple of the KV heads, of some elements each"));
    }
    let scales = if dispatch.program.has_flag("kv_q8_0") { Some(bindings.read_all(7)?) } else { None };
    let stored = |words, high| match scales {
        Some(scales) => Stored::Q8 { words, scales, high },
        None if dispatch.program.has_flag("kv_f16") => Stored::Halves(words),
        None => Stored::Floats(words),
    };
    let context = Context {
        k: Cache { stored: stored(k, false), kv_heads, dim },
        v: Cache { stored: stored(v, true), kv_heads, dim },
        page_table,
        page_stride: p.page_stride as usize,
        page_size,
        window: p.window as usize,
        scale: f64::from(p.scale),
    };
    let out = bindings.write_all::<f32>(6)?;

    let mut alone = match dispatch.program.has_flag("alone") {
        true => Some(bindings.write_all::<f32>(8)?),
        false => None,
    };

    let split = dispatch.program.has_flag("split") || dispatch.program.kernel == "attention_key_lanes";
    let vectors = q.len() / dim;
    let ratio = heads / kv_heads;
    let mut queries = Vec::new();
    for (index, tile) in tiles.iter().enumerate() {
        let number = below("a tile's sequence", tile.sequence as usize, sequences.len())?;
        let sequence = &sequences[number];
        let rows = sequence.tokens as usize * ratio;
        let first = below("a tile's first row", tile.row0 as usize, rows)?;
        let (first_key, end_key) = (tile.first_key as usize, tile.end_key as usize);
        for row in first..rows.min(first + tile_rows) {
            let token = row / ratio;
            let position = sequence.position0 as usize + token;
            let keys = context.first_visible(position).max(first_key)..end_key.min(position + 1);
            // Of a part that a row does not see, nothing is left.
            if split && keys.is_empty() {
                continue;
            }
            for kv_head in 0..kv_heads {
                let head = (sequence.row0 as usize + token) * heads + kv_head * ratio + row % ratio;
                let vector = below("a query", head, vectors)?;
                let to = match split {
                    true => ((index * kv_heads + kv_head) * tile_rows + row - first) * (dim + 4),
                    false => head * dim,
                };
                below("an output", to, (out.len() + 1).saturating_sub(if split { dim + 4 } else { dim }))?;
                if let Some(alone) = &alone {
                    below("an output", vector, alone.len() / dim)?;
                }
                queries.push(Query { vector, to, keys: keys.clone(), kv_head, page_row: sequence.page_row as usize });
            }
        }
    }
    let results: Vec<Sums> = queries
        .par_iter()
        .map(|query| context.attend(&q[query.vector * dim..][..dim], query))
        .collect::<Result<_, _>>()?;
    for (query, result) in queries.iter().zip(results) {
        let out = &mut out[query.to..];
        if let Some(alone) = &mut alone {
            let to = &mut alone[query.vector * dim..][..dim];
            to.iter_mut().zip(&result.values).for_each(|(to, value)| *to = (value / result.total) as f32);
        }
        if split {
            let scales = [result.peak, result.total, 0.0, 0.0];
            out.iter_mut().zip(result.values.iter().chain(&scales)).for_each(|(out, value)| *out = *value as f32);
        } else {
            out.iter_mut().zip(&result.values).for_each(|(out, value)| *out = (value / result.total) as f32);
        }
    }
    Ok(())
}

/// One query vector and what it may see.
struct Query {
    /// Which vector of `q`.
    vector: usize,
    /// Its first element of `out`.
    to: usize,
    keys: Range<usize>,
    kv_head: usize,
    page_row: usize,
}

/// What softmax(scale * q K^T) V is made of: the weights are `exp(score - peak)`.
struct Sums {
    /// Of the weighted values.
    values: Vec<f64>,
    peak: f64,
    /// Of the weights.
    total: f64,
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
    /// The first key that a query sees.
    fn first_visible(&self, position: usize) -> usize {
        if self.window == 0 { 0 } else { (position + 1).saturating_sub(self.window) }
    }

    fn attend(&self, q: &[f32], query: &Query) -> Result<Sums, TwinError> {
        let mut vector = vec![0f32; q.len()];
        let mut scores = Vec::with_capacity(query.keys.len());
        for key in query.keys.clone() {
            self.k.load(self.slot(query, key)?, query.kv_head, &mut vector)?;
            scores.push(self.scale * dot(q, &vector));
        }
        let peak = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        let mut values = vec![0f64; q.len()];
        for (score, key) in scores.iter().zip(query.keys.clone()) {
            let p = (score - peak).exp();
            total += p;
            self.v.load(self.slot(query, key)?, query.kv_head, &mut vector)?;
            for (sum, v) in values.iter_mut().zip(&vector) {
                *sum += p * f64::from(*v);
            }
        }
        Ok(Sums { values, peak, total })
    }

    /// The cache slot of a position, through the page table.
    fn slot(&self, query: &Query, position: usize) -> Result<usize, TwinError> {
        let page = below("a position's page", position / self.page_size, self.page_stride)?;
        let entry =
            below("an entry of the page table", query.page_row * self.page_stride + page, self.page_table.len())?;
        Ok(self.page_table[entry] as usize * self.page_size + position % self.page_size)
    }
}

/// How the elements lie in words.
enum Stored<'a> {
    Floats(&'a [u32]),
    Halves(&'a [u32]),
    /// Four signed bytes a word, and a word with two f16 scales for each 32 of them; `high`: the second scale is theirs.
    Q8 {
        words: &'a [u32],
        scales: &'a [u32],
        high: bool,
    },
}

/// `[slots][kv_heads][dim]`.
struct Cache<'a> {
    stored: Stored<'a>,
    kv_heads: usize,
    dim: usize,
}

impl Cache<'_> {
    fn load(&self, slot: usize, kv_head: usize, out: &mut [f32]) -> Result<(), TwinError> {
        let vector = slot * self.kv_heads + kv_head;
        let part = |words: &'_ [u32], count: usize| {
            let at = below("a cached vector", vector, words.len() / count)? * count;
            Ok(at..at + count)
        };
        match self.stored {
            Stored::Floats(words) => {
                out.copy_from_slice(bytemuck::cast_slice(&words[part(words, self.dim)?]));
            }
            Stored::Halves(words) => {
                for (out, word) in out.chunks_exact_mut(2).zip(&words[part(words, self.dim / 2)?]) {
                    out.copy_from_slice(&halves(*word));
                }
            }
            Stored::Q8 { words, scales, high } => {
                let scales = &scales[part(scales, self.dim / 32)?];
                for (at, (out, word)) in out.chunks_exact_mut(4).zip(&words[part(words, self.dim / 4)?]).enumerate() {
                    let scale = halves(scales[at / 8])[usize::from(high)];
                    let codes = word.to_le_bytes().map(|byte| f32::from(byte as i8));
                    out.iter_mut().zip(codes).for_each(|(out, code)| *out = scale * code);
                }
            }
        }
        Ok(())
    }
}

fn halves(word: u32) -> [f32; 2] {
    [word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32())
}

#[cfg(test)]
mod tests;
