//! The twin of `shaders/rope.wgsl`: turns pairs by tabulated angles, in f64.

use super::bindings::{Bindings, TwinError, params};
use crate::kernels::rope::Params;
use crate::recording::Dispatch;

pub(super) fn run(dispatch: &Dispatch, mut bindings: Bindings<'_>) -> Result<(), TwinError> {
    let p: Params = params(dispatch)?;
    let [tokens, heads, kv_heads, head_dim, rotary] =
        [p.tokens, p.heads, p.kv_heads, p.head_dim, p.rotary].map(|v| v as usize);
    if heads == 0 || kv_heads == 0 || rotary < 2 || rotary > head_dim {
        return Err(TwinError::Shape("a head must hold the elements that turn"));
    }
    let pairs = rotary / 2;
    let turns = bindings.read::<[f32; 2]>(0, tokens * pairs)?;
    let adjacent = dispatch.program.has_flag("adjacent");
    for (binding, heads) in [(1, heads), (2, kv_heads)] {
        let x = bindings.write::<f32>(binding, tokens * heads * head_dim)?;
        for (token, turns) in x.chunks_exact_mut(heads * head_dim).zip(turns.chunks_exact(pairs)) {
            token.chunks_exact_mut(head_dim).for_each(|head| turn(head, turns, adjacent));
        }
    }
    Ok(())
}

fn turn(head: &mut [f32], turns: &[[f32; 2]], adjacent: bool) {
    for (pair, turn) in turns.iter().enumerate() {
        let (i, j) = if adjacent { (2 * pair, 2 * pair + 1) } else { (pair, pair + turns.len()) };
        let [cos, sin] = turn.map(f64::from);
        let (a, b) = (f64::from(head[i]), f64::from(head[j]));
        head[i] = (a * cos - b * sin) as f32;
        head[j] = (b * cos + a * sin) as f32;
    }
}
