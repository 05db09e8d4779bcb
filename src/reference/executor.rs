//! Runs recordings on host memory, one dispatch after the other.

use std::collections::{HashMap, VecDeque};

use crate::recording::{BufferId, Dispatch, ExecutionError, Executor, MemoryLimits, Prepared, Recording, Slice, Texel};

use super::{bindings, twin};

/// The alignment that bindings need on every GPU: wgpu's default limit.
const BINDING_ALIGNMENT: u64 = 256;

/// An executor whose buffers are vectors. `read` and `write` may address any slice between two runs, so that a wrong
/// dispatch can be found by running a prefix here and the rest elsewhere, or the other way round.
pub struct ReferenceExecutor {
    limits: MemoryLimits,
    buffers: Vec<Vec<u32>>,
    /// Of those that were allocated as texels, what they are made of.
    texels: HashMap<BufferId, Texel>,
    prepared: HashMap<u64, Recording>,
    next: u64,
    kept: VecDeque<Vec<u8>>,
}

impl ReferenceExecutor {
    /// Without limits but the address space's.
    pub fn new() -> Self {
        Self::with_limits(MemoryLimits {
            max_buffer: u64::MAX,
            max_binding: u64::MAX / BINDING_ALIGNMENT * BINDING_ALIGNMENT,
            max_texels: u64::MAX,
        })
    }

    /// With the limits of some GPU, so that weights are sharded as they are there.
    pub fn with_limits(limits: MemoryLimits) -> Self {
        Self {
            limits,
            buffers: Vec::new(),
            texels: HashMap::new(),
            prepared: HashMap::new(),
            next: 0,
            kept: VecDeque::new(),
        }
    }

    /// Runs one dispatch now, without preparing a recording: the step of a bisection.
    ///
    /// # Errors
    /// As for [`Executor::prepare`], and where an index table names something that does not exist.
    pub fn dispatch(&mut self, dispatch: &Dispatch) -> Result<(), ExecutionError> {
        self.check(dispatch)?;
        let rejected = |message: String| ExecutionError::Rejected {
            what: format!("{} ({})", dispatch.label, dispatch.program),
            message,
        };
        let twin = twin(dispatch.program.kernel).ok_or_else(|| rejected("it has no reference".into()))?;
        let bindings = bindings::resolve(&mut self.buffers, dispatch).map_err(|e| rejected(e.to_string()))?;
        twin(dispatch, bindings).map_err(|e| rejected(e.to_string()))
    }

    /// Checks what needs no data: the kernel exists and every slice lies, aligned, within its buffer.
    fn check(&self, dispatch: &Dispatch) -> Result<(), ExecutionError> {
        let what = || format!("{} ({})", dispatch.label, dispatch.program);
        if twin(dispatch.program.kernel).is_none() {
            return Err(ExecutionError::Rejected { what: what(), message: "it has no reference".into() });
        }
        for binding in dispatch.bindings() {
            self.range(binding.slice)?;
            let (size, limit) = (binding.slice.size, self.limits.max_binding);
            let texel = binding.access.texel();
            if texel != self.texels.get(&binding.slice.buffer).copied() {
                return Err(ExecutionError::BadSlice(binding.slice.buffer.0));
            }
            // What lies in texels was limited when it was allocated.
            if texel.is_none() && size > limit {
                return Err(ExecutionError::BufferTooLarge { what: what(), size, limit });
            }
            if !binding.slice.offset.is_multiple_of(BINDING_ALIGNMENT) {
                let message = format!(
                    "binding {} starts at byte {}, which is not a multiple of {BINDING_ALIGNMENT}",
                    binding.index, binding.slice.offset
                );
                return Err(ExecutionError::Rejected { what: what(), message });
            }
        }
        Ok(())
    }

    /// Zeros in so many words.
    fn make(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError> {
        let failed = || ExecutionError::OutOfMemory { what: what.to_owned(), size };
        let words = usize::try_from(size.div_ceil(4)).map_err(|_| failed())?;
        let id = u32::try_from(self.buffers.len()).map_err(|_| failed())?;
        let mut buffer = Vec::new();
        buffer.try_reserve_exact(words).map_err(|_| failed())?;
        buffer.resize(words, 0);
        self.buffers.push(buffer);
        Ok(BufferId(id))
    }

    /// The words of a slice that `bytes` bytes are copied to or from: of texels there are whole ones.
    fn copied(&self, slice: Slice, bytes: usize) -> Result<std::ops::Range<usize>, ExecutionError> {
        let range = self.range(slice)?;
        let piece = self.texels.get(&slice.buffer).map_or(4, |texel| texel.bytes());
        let whole = slice.offset.is_multiple_of(piece) && bytes.is_multiple_of(piece as usize);
        let within = whole && bytes / 4 <= range.len();
        within.then_some(range.start..range.start + bytes / 4).ok_or(ExecutionError::BadSlice(slice.buffer.0))
    }

    /// The words of a slice, as a range of its buffer.
    fn range(&self, slice: Slice) -> Result<std::ops::Range<usize>, ExecutionError> {
        let bad = ExecutionError::BadSlice(slice.buffer.0);
        let Some(buffer) = self.buffers.get(slice.buffer.0 as usize) else { return Err(bad) };
        let end = slice.offset.checked_add(slice.size);
        match end {
            Some(end)
                if end <= buffer.len() as u64 * 4 && slice.offset.is_multiple_of(4) && slice.size.is_multiple_of(4) =>
            {
                Ok((slice.offset / 4) as usize..(end / 4) as usize)
            }
            _ => Err(bad),
        }
    }
}

impl Default for ReferenceExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for ReferenceExecutor {
    fn memory_limits(&self) -> MemoryLimits {
        self.limits
    }

    fn allocate(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError> {
        let limit = self.limits.max_buffer;
        if size > limit {
            return Err(ExecutionError::BufferTooLarge { what: what.to_owned(), size, limit });
        }
        self.make(what, size)
    }

    fn allocate_texels(&mut self, what: &str, size: u64, texel: Texel) -> Result<BufferId, ExecutionError> {
        let limit = self.limits.most(Some(texel));
        if size > limit {
            return Err(ExecutionError::BufferTooLarge { what: what.to_owned(), size, limit });
        }
        let id = self.make(what, size)?;
        self.texels.insert(id, texel);
        Ok(id)
    }

    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError> {
        let range = self.copied(slice, bytes.len())?;
        bytemuck::cast_slice_mut(&mut self.buffers[slice.buffer.0 as usize][range]).copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ExecutionError> {
        Ok(())
    }

    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutionError> {
        recording.dispatches.iter().try_for_each(|dispatch| self.check(dispatch))?;
        self.next += 1;
        self.prepared.insert(self.next, recording.clone());
        Ok(Prepared(self.next))
    }

    fn run(&mut self, prepared: Prepared) -> Result<(), ExecutionError> {
        // Taken out for the run, since a dispatch borrows the executor.
        let Some(recording) = self.prepared.remove(&prepared.0) else {
            let message = "it was never prepared, or has been discarded".into();
            return Err(ExecutionError::Rejected { what: "a recording".into(), message });
        };
        let result = recording.dispatches.iter().try_for_each(|dispatch| self.dispatch(dispatch));
        self.prepared.insert(prepared.0, recording);
        result
    }

    fn run_keeping(&mut self, prepared: Prepared, slice: Slice) -> Result<(), ExecutionError> {
        self.run(prepared)?;
        let mut kept = vec![0; slice.size as usize];
        self.read(slice, &mut kept)?;
        self.kept.push_back(kept);
        Ok(())
    }

    fn collect(&mut self, out: &mut [u8]) -> Result<(), ExecutionError> {
        let kept = self.kept.pop_front().unwrap_or_default();
        let message = "so much is not kept".to_owned();
        let nothing = ExecutionError::Rejected { what: "a collection".to_owned(), message };
        out.copy_from_slice(kept.get(..out.len()).ok_or(nothing)?);
        Ok(())
    }

    fn forget_kept(&mut self) {
        self.kept.clear();
    }

    fn discard(&mut self, prepared: Prepared) {
        self.prepared.remove(&prepared.0);
    }

    fn read(&mut self, slice: Slice, out: &mut [u8]) -> Result<(), ExecutionError> {
        let range = self.copied(slice, out.len())?;
        out.copy_from_slice(bytemuck::cast_slice(&self.buffers[slice.buffer.0 as usize][range]));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
