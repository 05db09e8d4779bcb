//! Finds the first wrong dispatch of a step.
//!
//! Both sides run the recording dispatch by dispatch, and before each one the device is given the reference's values of all
//! that the dispatch works on. So nothing accumulates: what is wrong afterwards, that dispatch did, and it is held to the
//! bounds that its kernel has in the case list. Cutting the recording in halves instead would run the reference several
//! times, and would have to tell a fault from rounding that has grown over the layers.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::ModelCheckError;
use super::side::Side;
use crate::kernels::Elements;
use crate::recording::{BufferId, Dispatch, Recording};
use crate::schedule::LogitsWanted;
use crate::verify::compare::{Fault, Outcome};
use crate::verify::tolerances::{self, Tolerance};

/// Stands for a word that neither side has changed: NaN as an f32 and, twice over, as an f16, so that it has no part in any
/// error.
const UNCHANGED: u32 = 0x7fff_7fff;

/// The first dispatch whose output differs although its inputs were the same.
#[derive(Clone, Debug, Serialize)]
pub struct Culprit {
    /// Its place in the recording, from 0.
    pub index: usize,
    /// How many dispatches the recording has.
    pub dispatches: usize,
    /// Where it stands in the model, such as `layer 3 ffn_down`.
    pub label: String,
    /// Kernel, variant and what its shader was compiled with.
    pub program: String,
    pub fault: String,
    /// Of its outputs, the worst.
    pub nmse: f64,
    /// In units of the reference's root mean square.
    pub max_error: f64,
    /// Of its first wrong output.
    pub tolerance: &'static Tolerance,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, all) = (self.index + 1, self.dispatches);
        write!(f, "{} ({}), dispatch {number} of {all}: {}", self.label, self.program, self.fault)
    }
}

/// Whether two recordings do the same, apart from where their buffers are.
pub(super) fn check_alike(ours: &Recording, theirs: &Recording) -> Result<(), ModelCheckError> {
    let (a, b) = (&ours.dispatches, &theirs.dispatches);
    let alike = |a: &Dispatch, b: &Dispatch| {
        let sizes = |d: &Dispatch| d.outputs().map(|slice| slice.size).collect::<Vec<_>>();
        a.program == b.program && a.label == b.label && a.param_bytes() == b.param_bytes() && sizes(a) == sizes(b)
    };
    match a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)) {
        true => Ok(()),
        false => Err(ModelCheckError::Unlike("the types of their tensors")),
    }
}

/// The first wrong dispatch of the step that computes these tokens; `None`: each of them is right by itself.
pub(super) fn first_wrong(
    device: &mut Side<'_>,
    reference: &mut Side<'_>,
    tokens: &[u32],
    first: usize,
) -> Result<Option<Culprit>, ModelCheckError> {
    let ours = device.record(tokens, first, LogitsWanted::Last)?;
    let theirs = reference.record(tokens, first, LogitsWanted::Last)?;
    let state: HashSet<BufferId> =
        theirs.dispatches.iter().flat_map(Dispatch::outputs).map(|slice| slice.buffer).collect();
    for (index, (our, their)) in ours.dispatches.iter().zip(&theirs.dispatches).enumerate() {
        let mut before = Vec::new();
        for (a, b) in our.bindings().iter().zip(their.bindings()) {
            // Weights stay: each side has its own.
            if state.contains(&b.slice.buffer) {
                let words = reference.read(b.slice)?;
                device.write(a.slice, &words)?;
                before.push((b.slice, words));
            }
        }
        device.run(&ours.part(index..index + 1))?;
        reference.run(&theirs.part(index..index + 1))?;
        let mut outcome = Outcome::default();
        let mut missed = None;
        for (number, (a, b)) in our.outputs().zip(their.outputs()).enumerate() {
            let (mut actual, mut expected) = (device.read(a)?, reference.read(b)?);
            if let Some((_, before)) = before.iter().find(|(slice, _)| *slice == b) {
                leave_out_unchanged(before, &mut actual, &mut expected);
            }
            let elements = Elements::of(&their.program, number);
            let tolerance = tolerances::in_model(&their.program, elements);
            outcome.compare(their.label.what, elements, &actual, &expected, tolerance);
            if !outcome.passed() {
                missed.get_or_insert(tolerance);
            }
        }
        if let Some(tolerance) = missed {
            let faults: Vec<String> = outcome.faults.iter().map(Fault::to_string).collect();
            return Ok(Some(Culprit {
                index,
                dispatches: ours.dispatches.len(),
                label: their.label.to_string(),
                program: our.program.to_string(),
                fault: faults.join("; "),
                nmse: outcome.nmse,
                max_error: outcome.max_error,
                tolerance,
            }));
        }
    }
    Ok(None)
}

/// What a dispatch leaves alone, such as the rest of the cache, would make its errors look smaller.
fn leave_out_unchanged(before: &[u32], actual: &mut [u32], expected: &mut [u32]) {
    for ((before, actual), expected) in before.iter().zip(actual).zip(expected) {
        if before == actual && before == expected {
            (*actual, *expected) = (UNCHANGED, UNCHANGED);
        }
    }
}
