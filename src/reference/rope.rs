//! The twin of `shaders/rope.wgsl`: turns pairs by tabulated angles, in f64.

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::rope::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let [tokens, heads, head_dim, rotary] = [p.tokens, p.heads, p.head_dim, p.rotary].map(|v| v as usize);
    if heads == 0 || rotary < 2 || rotary > head_dim {
        return Err(TwinError::Shape("a head must hold the elements that turn"));
    }
    let pairs = rotary / 2;
    let turns = bindings.read::<[f32; 2]>(0, tokens * pairs)?;
    let x = bindings.write::<f32>(1, tokens * heads * head_dim)?;
    let adjacent = dispatch.program.has_flag("adjacent");
    for (token, turns) in x.chunks_exact_mut(heads * head_dim).zip(turns.chunks_exact(pairs)) {
        for head in token.chunks_exact_mut(head_dim) {
            for (pair, turn) in turns.iter().enumerate() {
                let (i, j) = if adjacent { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
                let [cos, sin] = turn.map(f64::from);
                let (a, b) = (f64::from(head[i]), f64::from(head[j]));
                head[i] = (a * cos - b * sin) as f32;
                head[j] = (b * cos + a * sin) as f32;
            }
        }
    }
    Ok(())
}
