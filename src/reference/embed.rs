//! The twin of `shaders/embed.wgsl`: rows of the embedding table, scaled.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, below, params};
use super::weights::Weights;
use crate::kernels::embed::Params;
use crate::recording::Dispatch;
use crate::schedule::SAMPLED;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (tokens, dim) = (p.tokens as usize, p.dim as usize);
    if dim == 0 {
        return Err(TwinError::Shape("an embedding of no elements cannot be looked up"));
    }
    let weights = Weights::new(dispatch, &mut bindings, p.rows as usize, dim)?;
    let ids = bindings.read::<u32>(3, tokens)?;
    let sampled = bindings.read_all::<u32>(5)?;
    if let Some(place) = ids.iter().filter(|id| **id & SAMPLED != 0).map(|id| (id & !SAMPLED) as usize).max() {
        below("the place of a sampled token", place, sampled.len())?;
    }
    let x = bindings.write::<f32>(4, tokens * dim)?;
    x.par_chunks_exact_mut(dim).zip(ids).for_each(|(x, id)| {
        let id = if id & SAMPLED != 0 { sampled[(id & !SAMPLED) as usize] } else { *id };
        // A token of another shard is that shard's to write.
        let Some(row) = id.checked_sub(p.row0).filter(|row| *row < p.rows) else { return };
        weights.row(row as usize, x);
        x.iter_mut().for_each(|x| *x *= p.scale);
    });
    Ok(())
}
