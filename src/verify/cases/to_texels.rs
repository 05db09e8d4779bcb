//! Cases of `to_texels`.

use super::{Case, ELEMENT_THREADS};
use crate::kernels::Selection;
use crate::kernels::to_texels::{PAIR, dispatch};
use crate::recording::TEXELS_PER_ROW;
use crate::verify::{Elements, Tensor};

pub(super) fn push(selection: &Selection, cases: &mut Vec<Case>) {
    let pair = PAIR as usize;
    // One pair, a workgroup's and one more, and more than a row of the texture.
    for pairs in [1, ELEMENT_THREADS, ELEMENT_THREADS + 1, 2 * TEXELS_PER_ROW as usize + 5] {
        cases.extend(Some(case(pairs * pair)).filter(|case| selection.runs(&case.program)));
    }
}

/// `elements` numbers.
pub(crate) fn case(elements: usize) -> Case {
    Case::new(
        format!("{elements} elements"),
        move |random| {
            let texels = Tensor::output("texels", elements, Elements::F32).for_product(true);
            vec![Tensor::f32("x", random.floats(elements, 8.0)), texels]
        },
        move |s| dispatch(s[0], s[1], elements as u32),
    )
}
