//! Cases of `add`.

use super::{Case, ELEMENT_THREADS, FOLDED_WORKGROUPS};
use crate::kernels::add;
use crate::verify::Tensor;

pub(super) fn push(cases: &mut Vec<Case>) {
    for count in [4, 252, 256, 260, 576 * 7, 4 * ELEMENT_THREADS * FOLDED_WORKGROUPS] {
        cases.push(case(count));
    }
}

pub(crate) fn case(count: usize) -> Case {
    Case::new(
        format!("{count} elements"),
        move |random| {
            vec![Tensor::in_place("x", random.floats(count, 8.0)), Tensor::f32("y", random.floats(count, 8.0))]
        },
        move |s| add::dispatch(s[0], s[1], count as u32),
    )
}
