//! The twin of `shaders/rope_append.wgsl`: turns pairs by tabulated angles, in f64, and puts K and V into their slots of the
//! cache.

use half::f16;

use super::bindings::{Bindings, TwinError, below, params};
use crate::kernels::rope_append::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let Turned { k, v, slots, width } = turn(dispatch, &mut bindings)?;
    let halves = dispatch.program.has_flag("kv_f16");
    let mut caches = Caches { k: bindings.write_all(4)?, v: bindings.write_all(5)?, width, halves };
    for ((k, v), slot) in k.chunks_exact(width).zip(v.chunks_exact(width)).zip(slots) {
        caches.append(*slot as usize, k, v)?;
    }
    Ok(())
}

/// The words of caches of floats.
pub(super) struct Caches<'a> {
    pub k: &'a mut [u32],
    pub v: &'a mut [u32],
    /// Elements of all KV heads.
    pub width: usize,
    /// Two f16 a word.
    pub halves: bool,
}

impl Caches<'_> {
    /// Writes a token's keys and values to a slot.
    pub fn append(&mut self, slot: usize, k: &[f32], v: &[f32]) -> Result<(), TwinError> {
        let slot_words = if self.halves { self.width / 2 } else { self.width };
        for (cache, from) in [(&mut *self.k, k), (&mut *self.v, v)] {
            let slot = below("a slot of the KV cache", slot, cache.len() / slot_words)?;
            let to = &mut cache[slot * slot_words..][..slot_words];
            if self.halves {
                for (to, pair) in to.iter_mut().zip(from.as_chunks::<2>().0) {
                    *to = pack(*pair);
                }
            } else {
                to.copy_from_slice(bytemuck::cast_slice(from));
            }
        }
        Ok(())
    }
}

/// What is to be cached of each token.
pub(super) struct Turned<'a> {
    /// `[tokens][width]`.
    pub k: Vec<f32>,
    /// `[tokens][width]`.
    pub v: Vec<f32>,
    /// `[tokens]`.
    pub slots: &'a [u32],
    /// Elements of all KV heads.
    pub width: usize,
}

/// Turns Q and K, and writes Q. Takes the bindings in front of the cache's.
pub(super) fn turn<'a>(dispatch: &Dispatch, bindings: &mut Bindings<'a>) -> Result<Turned<'a>, TwinError> {
    let p: Params = params(dispatch)?;
    let [tokens, heads, kv_heads, head_dim] = [p.tokens, p.heads, p.kv_heads, 4 * p.dim4].map(|v| v as usize);
    if heads == 0 || kv_heads == 0 || head_dim == 0 || !head_dim.is_multiple_of(8) {
        return Err(TwinError::Shape("a head that turns must be an even number of vectors of four elements"));
    }
    let (q_width, width) = (heads * head_dim, kv_heads * head_dim);
    let qkv = bindings.read::<f32>(0, tokens * (q_width + 2 * width))?;
    let turns = bindings.read::<[f32; 2]>(1, tokens * head_dim / 2)?;
    let slots = bindings.read::<u32>(2, tokens)?;
    let q = bindings.write::<f32>(3, tokens * q_width)?;
    let adjacent = dispatch.program.has_flag("adjacent");
    let (mut k, mut v) = (Vec::new(), Vec::new());
    let rows = qkv.chunks_exact(q_width + 2 * width).zip(turns.chunks_exact(head_dim / 2));
    for ((row, turns), q) in rows.zip(q.chunks_exact_mut(q_width)) {
        let (row_q, row_kv) = row.split_at(q_width);
        let (row_k, row_v) = row_kv.split_at(width);
        q.copy_from_slice(row_q);
        k.extend_from_slice(row_k);
        v.extend_from_slice(row_v);
        let first = k.len() - width;
        let heads = q.chunks_exact_mut(head_dim).chain(k[first..].chunks_exact_mut(head_dim));
        heads.for_each(|head| turn_head(head, turns, adjacent));
    }
    Ok(Turned { k, v, slots, width })
}

pub(super) fn turn_head(head: &mut [f32], turns: &[[f32; 2]], adjacent: bool) {
    for (pair, turn) in turns.iter().enumerate() {
        let (i, j) = if adjacent { (2 * pair, 2 * pair + 1) } else { (pair, pair + turns.len()) };
        let [cos, sin] = turn.map(f64::from);
        let (a, b) = (f64::from(head[i]), f64::from(head[j]));
        head[i] = (a * cos - b * sin) as f32;
        head[j] = (b * cos + a * sin) as f32;
    }
}

/// Two f16 in a word, each rounded to the nearest, ties to even.
pub(super) fn pack([low, high]: [f32; 2]) -> u32 {
    u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16
}
