//! Finds where a step first computes NaN or infinity: by running it again, a dispatch at a time.

use std::collections::HashSet;
use std::fmt;

use super::{Model, ModelError};
use crate::kernels::Elements;
use crate::kernels::kv_cache::{CacheSlices, PAGE_SIZE};
use crate::recording::{Dispatch, ExecutionError, Executor, Label, Program, Recording, Slice};
use crate::schedule::Batch;

/// The first dispatch of a step whose output is not all finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonFinite {
    pub label: Label,
    pub program: Program,
    /// The first such number: NaN or an infinity.
    pub value: f32,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.value.is_nan() { "NaN" } else { "infinity" };
        write!(f, "{value} first in {} ({})", self.label, self.program)
    }
}

impl Model {
    /// Runs a step again, a dispatch at a time, and names the first that writes a number that is not finite; `None`: none
    /// does. What the step appends to the cache is what it appended before.
    ///
    /// What earlier steps left in the cache is taken as it is: where that is not finite, the attention that reads it is named.
    pub fn find_non_finite(
        &mut self,
        executor: &mut dyn Executor,
        batch: &Batch,
    ) -> Result<Option<NonFinite>, ModelError> {
        let shape = self.write_inputs(executor, batch, false)?;
        let recording = self.record(shape);
        let cached: HashSet<Slice> = self.kv_cache().iter().flat_map(CacheSlices::all).collect();
        clear_activations(executor, &recording, &cached)?;
        for (index, dispatch) in recording.dispatches.iter().enumerate() {
            executor.run_once(&recording.part(index..index + 1))?;
            for (number, output) in dispatch.outputs().enumerate() {
                let parts = if cached.contains(&output) {
                    slots(output, self.pages(), &batch.slot_mapping)
                } else {
                    vec![output]
                };
                if let Some(value) = first_non_finite(executor, Elements::of(&dispatch.program, number), &parts)? {
                    return Ok(Some(NonFinite { label: dispatch.label, program: dispatch.program, value }));
                }
            }
        }
        Ok(None)
    }
}

/// A longer step before this one may have left anything behind the rows that this one writes.
fn clear_activations(
    executor: &mut dyn Executor,
    recording: &Recording,
    cached: &HashSet<Slice>,
) -> Result<(), ExecutionError> {
    let activations: HashSet<Slice> =
        recording.dispatches.iter().flat_map(Dispatch::outputs).filter(|slice| !cached.contains(slice)).collect();
    activations.into_iter().try_for_each(|slice| executor.write(slice, &vec![0; slice.size as usize]))
}

/// The parts of a layer's K or V that hold these slots, neighbours together.
fn slots(cache: Slice, pages: u32, slot_mapping: &[u32]) -> Vec<Slice> {
    let bytes = cache.size / (u64::from(pages) * u64::from(PAGE_SIZE));
    let mut sorted = slot_mapping.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| b - a <= 1);
    runs.map(|run| {
        let (first, last) = (u64::from(run[0]), u64::from(run[run.len() - 1]));
        Slice { offset: cache.offset + first * bytes, size: (last + 1 - first) * bytes, ..cache }
    })
    .collect()
}

fn first_non_finite(
    executor: &mut dyn Executor,
    elements: Elements,
    parts: &[Slice],
) -> Result<Option<f32>, ExecutionError> {
    for part in parts {
        let mut words = vec![0; (part.size / 4) as usize];
        executor.read(*part, bytemuck::cast_slice_mut(&mut words))?;
        if let Some(value) = elements.first_non_finite(&words) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
