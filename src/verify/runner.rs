//! Runs cases on an executor and on the reference.

use super::case::{Case, Tensor};
use super::compare::{Fault, Outcome};
use crate::recording::{BufferId, ExecutionError, Executor, Label, Recording, Slice, Texel};
use crate::reference::ReferenceExecutor;

/// Sentinel words behind each tensor, within its binding: bounds checks of the backend do not save a kernel from those.
/// What lies in front of it, outside of the binding, is full of them too.
const GUARD_WORDS: usize = 64;

/// The smallest buffer of the pool, in bytes.
const SMALLEST_BUFFER: u64 = 64 << 10;

/// Runs cases one after the other, reusing buffers.
pub struct Runner<'e> {
    executor: &'e mut dyn Executor,
    pool: Pool,
    reference: ReferenceExecutor,
    reference_pool: Pool,
}

impl<'e> Runner<'e> {
    pub fn new(executor: &'e mut dyn Executor) -> Runner<'e> {
        let (pool, reference_pool) = Default::default();
        Runner { executor, pool, reference: ReferenceExecutor::new(), reference_pool }
    }

    /// Runs a case on both sides and compares.
    ///
    /// # Errors
    /// When one side cannot run it at all, such as for buffers that its device does not allow. A wrong result is no error but an [`Outcome`] with faults.
    pub fn run(&mut self, case: &Case) -> Result<Outcome, ExecutionError> {
        let tensors = case.tensors();
        let actual = execute(self.executor, &mut self.pool, case, &tensors)?;
        let expected = execute(&mut self.reference, &mut self.reference_pool, case, &tensors)?;
        let mut outcome = Outcome::default();
        for ((tensor, actual), expected) in tensors.iter().zip(&actual).zip(&expected) {
            let front = front(case, tensor) as usize / 4;
            let body = front..front + tensor.words.len();
            match tensor.output {
                Some(elements) => outcome.compare(
                    tensor.name,
                    elements,
                    &actual[body.clone()],
                    &expected[body.clone()],
                    case.tolerance_of(elements),
                ),
                None => {
                    let changed = actual[body.clone()].iter().zip(&tensor.words).position(|(a, b)| a != b);
                    outcome.faults.extend(changed.map(|word| Fault::Input { tensor: tensor.name, word }));
                }
            }
            let guards = (0..body.start).chain(body.end..actual.len());
            let overwritten = guards.into_iter().find(|word| actual[*word] != tensor.guard());
            outcome.faults.extend(
                overwritten.map(|word| Fault::Sentinel { tensor: tensor.name, word: word as i64 - body.start as i64 }),
            );
        }
        Ok(outcome)
    }

    /// Whether the device can still be used after an error.
    pub(super) fn device_answers(&mut self) -> bool {
        self.executor.flush().is_ok()
    }
}

/// Runs a case on one executor; returns every tensor with its guards.
fn execute(
    executor: &mut dyn Executor,
    pool: &mut Pool,
    case: &Case,
    tensors: &[Tensor],
) -> Result<Vec<Vec<u32>>, ExecutionError> {
    let mut contents = Vec::with_capacity(tensors.len());
    let mut wholes = Vec::with_capacity(tensors.len());
    pool.release();
    for tensor in tensors {
        let mut words = vec![tensor.guard(); front(case, tensor) as usize / 4];
        words.extend_from_slice(&tensor.words);
        words.extend([tensor.guard(); GUARD_WORDS]);
        let size = words.len() as u64 * 4;
        let limit = executor.memory_limits().most(tensor.texel);
        if size > limit {
            return Err(ExecutionError::BufferTooLarge { what: tensor.name.to_owned(), size, limit });
        }
        let whole = Slice { buffer: pool.take(executor, size, tensor.texel)?, offset: 0, size };
        executor.write(whole, bytemuck::cast_slice(&words))?;
        contents.push(words);
        wholes.push(whole);
    }
    executor.flush()?;
    let body = |(whole, tensor): (&Slice, &Tensor)| {
        let front = front(case, tensor);
        Slice { offset: front, size: whole.size - front, ..*whole }
    };
    let slices: Vec<Slice> = wholes.iter().zip(tensors).map(body).collect();
    let mut recording = Recording::default();
    recording.push(Label { layer: None, what: "a case" }, case.dispatch(&slices));
    executor.run_once(&recording)?;
    for (whole, words) in wholes.iter().zip(&mut contents) {
        executor.read(*whole, bytemuck::cast_slice_mut(words))?;
    }
    Ok(contents)
}

/// Bytes of sentinels in front of a tensor. What is bound as texels begins with the first of them.
fn front(case: &Case, tensor: &Tensor) -> u64 {
    if tensor.texel.is_some() { 0 } else { case.offset() }
}

/// Buffers that cases use in turn, since executors do not free any.
#[derive(Default)]
pub(crate) struct Pool {
    buffers: Vec<Pooled>,
    taken: Vec<BufferId>,
}

#[derive(Clone, Copy)]
struct Pooled {
    id: BufferId,
    capacity: u64,
    texel: Option<Texel>,
}

impl Pool {
    /// Lets every buffer be taken again.
    pub(crate) fn release(&mut self) {
        self.taken.clear();
    }

    /// The smallest free buffer that is large enough and of such texels, or a new one.
    pub(crate) fn take(
        &mut self,
        executor: &mut dyn Executor,
        size: u64,
        texel: Option<Texel>,
    ) -> Result<BufferId, ExecutionError> {
        let serves = |of: &&Pooled| of.capacity >= size && of.texel == texel && !self.taken.contains(&of.id);
        let id = match self.buffers.iter().filter(serves).min_by_key(|of| of.capacity) {
            Some(free) => free.id,
            None => {
                let capacity = size.max(SMALLEST_BUFFER).next_power_of_two();
                let id = match texel {
                    Some(texel) => executor.allocate_texels("the case list", capacity, texel)?,
                    None => executor.allocate("the case list", capacity)?,
                };
                self.buffers.push(Pooled { id, capacity, texel });
                id
            }
        };
        self.taken.push(id);
        Ok(id)
    }
}
