//! An executor that shows its calls to a probe, which may let them fail or change what they give.

use std::ops::DerefMut;

use wgpt::recording::{BufferId, ExecutionError, Executor, Load, MemoryLimits, Prepared, Recording, Slice, Texel};

/// A call of an executor that may fail.
#[derive(Clone, Copy)]
pub enum Call<'a> {
    Allocate { what: &'a str, size: u64 },
    Write,
    Flush,
    Prepare(&'a Recording),
    Run(Prepared),
    Read,
    Collect,
}

/// What happens around the calls of an [`Instrumented`] executor of the kind `E`: nothing, unless it is written.
pub trait Probe<E: Executor + ?Sized> {
    fn limits(&self, limits: MemoryLimits) -> MemoryLimits {
        limits
    }

    /// An error takes the place of the call.
    fn before(&mut self, _call: Call<'_>, _inner: &mut E) -> Result<(), ExecutionError> {
        Ok(())
    }

    /// Comes after a call that did not fail.
    fn after(&mut self, _call: Call<'_>, _inner: &mut E) -> Result<(), ExecutionError> {
        Ok(())
    }

    /// Of a run that has ended.
    fn load(&mut self) -> Option<Load> {
        None
    }

    /// Sees, and may change, what was read.
    fn has_read(&mut self, _out: &mut [u8]) {}
}

/// An executor and its probe.
pub struct Instrumented<I, P> {
    pub inner: I,
    pub probe: P,
}

impl<I, P> Instrumented<I, P>
where
    I: DerefMut<Target: Executor>,
    P: Probe<I::Target>,
{
    fn around<T>(
        &mut self,
        call: Call<'_>,
        act: impl FnOnce(&mut I::Target) -> Result<T, ExecutionError>,
    ) -> Result<T, ExecutionError> {
        self.probe.before(call, &mut self.inner)?;
        let done = act(&mut self.inner)?;
        self.probe.after(call, &mut self.inner)?;
        Ok(done)
    }
}

impl<I, P> Executor for Instrumented<I, P>
where
    I: DerefMut<Target: Executor>,
    P: Probe<I::Target>,
{
    fn memory_limits(&self) -> MemoryLimits {
        self.probe.limits(self.inner.memory_limits())
    }

    fn allocate(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError> {
        self.around(Call::Allocate { what, size }, |inner| inner.allocate(what, size))
    }

    fn allocate_texels(&mut self, what: &str, size: u64, texel: Texel) -> Result<BufferId, ExecutionError> {
        self.around(Call::Allocate { what, size }, |inner| inner.allocate_texels(what, size, texel))
    }

    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError> {
        self.around(Call::Write, |inner| inner.write(slice, bytes))
    }

    fn flush(&mut self) -> Result<(), ExecutionError> {
        self.around(Call::Flush, |inner| inner.flush())
    }

    fn compile_ahead(&mut self, recordings: &[Recording]) {
        self.inner.compile_ahead(recordings);
    }

    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutionError> {
        self.around(Call::Prepare(recording), |inner| inner.prepare(recording))
    }

    fn run(&mut self, prepared: Prepared) -> Result<(), ExecutionError> {
        self.around(Call::Run(prepared), |inner| inner.run(prepared))
    }

    fn run_keeping(&mut self, prepared: Prepared, slice: Slice) -> Result<(), ExecutionError> {
        self.around(Call::Run(prepared), |inner| inner.run_keeping(prepared, slice))
    }

    fn collect(&mut self, out: &mut [u8]) -> Result<(), ExecutionError> {
        self.around(Call::Collect, |inner| inner.collect(out))?;
        self.probe.has_read(out);
        Ok(())
    }

    fn forget_kept(&mut self) {
        self.inner.forget_kept();
    }

    fn take_load(&mut self) -> Option<Load> {
        self.probe.load().or_else(|| self.inner.take_load())
    }

    fn discard(&mut self, prepared: Prepared) {
        self.inner.discard(prepared);
    }

    fn read(&mut self, slice: Slice, out: &mut [u8]) -> Result<(), ExecutionError> {
        self.around(Call::Read, |inner| inner.read(slice, out))?;
        self.probe.has_read(out);
        Ok(())
    }
}
