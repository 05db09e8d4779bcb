//! The twin of `shaders/embed.wgsl`: rows of the embedding table, scaled.

use rayon::prelude::*;

use super::bindings::{Bindings, TwinError, params};
use super::weights::Weights;
use crate::kernels::embed::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let (tokens, dim) = (p.tokens as usize, p.dim as usize);
    if dim == 0 {
        return Err(TwinError::Shape("an embedding of no elements cannot be looked up"));
    }
    let weights = Weights::new(dispatch, &mut bindings, p.rows as usize, dim)?;
    let ids = bindings.read::<u32>(3, tokens)?;
    let x = bindings.write::<f32>(4, tokens * dim)?;
    x.par_chunks_exact_mut(dim).zip(ids).for_each(|(x, id)| {
        // A token of another shard is that shard's to write.
        let Some(row) = id.checked_sub(p.row0).filter(|row| *row < p.rows) else { return };
        weights.row(row as usize, x);
        x.iter_mut().for_each(|x| *x *= p.scale);
    });
    Ok(())
}
