//! Runs recordings on a GPU: one compute pass a step, with pipelines and bind groups made once.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use super::adapter::{AdapterError, DeviceInfo, DeviceSelector, select};
use super::device::{Device, Part, Purpose};
use super::memory::Memory;
use super::pace::{Pace, SUBMIT_BUDGET};
use super::pipeline_cache::PipelineCache;
use super::pipelines::{Pipeline, Pipelines};
use super::recorded::{self, Recorded, Step};
use super::texels::{self, Texels};
use super::timing::DeviceClock;
use crate::kernels::Selection;
use crate::kernels::shader::Library;
use crate::recording::{
    Binding, BufferId, ExecutionError, Executor, Load, MemoryLimits, Prepared, Recording, Slice, Texel,
};

/// A device with its buffers, pipelines and prepared recordings.
pub struct GpuExecutor {
    pub(super) device: Device,
    memory: Vec<Memory>,
    pipelines: Pipelines,
    /// Shared between recordings: most of them differ in their parameters and grids only.
    bind_groups: HashMap<Vec<Binding>, wgpu::BindGroup>,
    pub(super) prepared: HashMap<Prepared, Recorded>,
    next_prepared: u64,
    readback: Option<wgpu::Buffer>,
    /// Made when something is timed first.
    pub(super) clock: Option<DeviceClock>,
    kept: VecDeque<Kept>,
    /// What slices were kept in, free again.
    spare: Vec<wgpu::Buffer>,
    notices: Vec<String>,
    submit_budget: Duration,
    /// Of the recording that was measured last: what one that was not is taken to run at.
    pace: Pace,
    /// Of the last runs, the oldest first.
    loads: VecDeque<Load>,
}

/// Loads that are kept for whoever asks: of as many runs as are in flight at a time, and more.
const MOST_LOADS: usize = 8;

/// A slice's contents on their way to the host.
struct Kept {
    buffer: wgpu::Buffer,
    size: u64,
    /// The number of submits up to its own.
    submits: u64,
}

/// Bytes of the smallest buffer that slices are kept in: a token each of 64 sequences.
const SMALLEST_KEPT: u64 = 256;

impl GpuExecutor {
    /// Opens the device that the selector names.
    ///
    /// # Errors
    /// When there is no such adapter, or its driver is known to be wrong or refuses.
    pub fn open(selector: &DeviceSelector) -> Result<GpuExecutor, AdapterError> {
        GpuExecutor::open_for(Purpose::Inference, selector, None)
    }

    /// The same with what benchmarks ask of a device, where it has that: its clock.
    ///
    /// # Errors
    /// As of [`GpuExecutor::open`].
    pub fn open_for_benchmarks(selector: &DeviceSelector) -> Result<GpuExecutor, AdapterError> {
        GpuExecutor::open_for(Purpose::Benchmarks, selector, None)
    }

    /// As [`GpuExecutor::open`], with a folder in which compiled pipelines are kept for later processes where the backend
    /// gives them. What is wrong with a file there is no error: see [`GpuExecutor::notices`].
    ///
    /// # Errors
    /// As there.
    pub fn open_keeping(selector: &DeviceSelector, folder: Option<&Path>) -> Result<GpuExecutor, AdapterError> {
        GpuExecutor::open_for(Purpose::Inference, selector, folder)
    }

    fn open_for(
        purpose: Purpose,
        selector: &DeviceSelector,
        folder: Option<&Path>,
    ) -> Result<GpuExecutor, AdapterError> {
        let device = Device::open(select(selector)?, purpose)?;
        let (cache, notice) =
            folder.map_or((None, None), |folder| PipelineCache::open(&device.device, &device.info, folder));
        let pipelines = Pipelines::new(device.device.clone(), Library::default(), cache);
        Ok(GpuExecutor {
            submit_budget: SUBMIT_BUDGET,
            pace: Pace::unmeasured(device.info.is_software()),
            loads: VecDeque::new(),
            notices: notice.into_iter().collect(),
            device,
            memory: Vec::new(),
            pipelines,
            bind_groups: HashMap::new(),
            prepared: HashMap::new(),
            next_prepared: 0,
            readback: None,
            clock: None,
            kept: VecDeque::new(),
            spare: Vec::new(),
        })
    }

    pub fn info(&self) -> &DeviceInfo {
        &self.device.info
    }

    /// Whether shaders may compute in f16.
    pub fn computes_in_f16(&self) -> bool {
        self.device.device.features().contains(wgpu::Features::SHADER_F16)
    }

    /// What the user should know of how the device was opened: files that were ignored.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Sets how long the device may take for one submit, after which it counts as hung ([`ExecutionError::Stalled`]). Unless
    /// set, a minute, or twenty on a software device, which is slow and has no watchdog.
    pub fn set_stall_limit(&mut self, limit: Duration) {
        self.device.stall_limit = limit;
    }

    /// Sets how long a submit should take at most, as far as can be told from those before it. Unless set, 100 ms.
    ///
    /// Recordings are handed over in as many submits as that takes. A single dispatch is not divided.
    pub fn set_submit_budget(&mut self, budget: Duration) {
        self.submit_budget = budget;
    }

    /// How many submits there have been.
    pub fn submits(&self) -> u64 {
        self.device.submits()
    }

    /// Frees what the device holds, once it has ended what it is doing; all that is asked of it later fails with
    /// [`ExecutionError::DeviceLost`], as after a reset.
    pub fn destroy(&mut self) {
        self.device.destroy();
    }

    /// Makes pipelines from these shaders from now on, with wgpu's runtime checks unless they are those that were compiled
    /// in; recordings that are prepared keep theirs.
    pub fn use_shaders(&mut self, shaders: Library) {
        self.pipelines = Pipelines::new(self.device.device.clone(), shaders, None);
    }

    /// The kernel variants that suit this adapter by default; see [`DeviceInfo::choices`] for more.
    pub fn selection(&self) -> Selection {
        Selection::for_adapter(&self.device.info.facts())
    }

    /// Hands a recording over, in submits that are likely to end within the budget; `close` adds to the last. Gives their
    /// number.
    fn hand_over(
        &mut self,
        prepared: Prepared,
        close: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<usize, ExecutionError> {
        self.learn();
        let began = Instant::now();
        let recorded = recorded::find(&self.prepared, prepared)?;
        let pace = recorded.pace.unwrap_or(self.pace);
        let mut submits = recorded.submits(pace, self.submit_budget).peekable();
        let mut close = Some(close);
        let mut count = 0;
        while let Some(steps) = submits.next() {
            let mut encoder = recorded::encoded(&self.device, steps);
            let last = submits.peek().is_none();
            if let Some(close) = close.take_if(|_| last) {
                close(&mut encoder);
            }
            let part = if last { Part::Last { prepared, began } } else { Part::Open };
            self.device.submit(Some(encoder.finish()), part)?;
            count += 1;
        }
        Ok(count)
    }

    /// Takes in how long recordings took that have ended.
    fn learn(&mut self) {
        for (prepared, time) in self.device.ended.drain(..) {
            let general = self.pace;
            let learned = self.prepared.get_mut(&prepared).and_then(|recorded| recorded.has_taken(&time, general));
            if let Some((pace, longest)) = learned {
                self.pace = pace;
                if self.loads.len() == MOST_LOADS {
                    self.loads.pop_front();
                }
                let of_budget = longest.as_secs_f64() / self.submit_budget.as_secs_f64().max(f64::MIN_POSITIVE);
                self.loads.push_back(Load { prepared, of_budget });
            }
        }
    }

    fn memory(&self, slice: Slice) -> Result<&Memory, ExecutionError> {
        self.memory.get(slice.buffer.0 as usize).ok_or(ExecutionError::BadSlice(slice.buffer.0))
    }

    fn bind_group(
        &mut self,
        layout: &wgpu::BindGroupLayout,
        bindings: &[Binding],
    ) -> Result<wgpu::BindGroup, ExecutionError> {
        if let Some(made) = self.bind_groups.get(bindings) {
            return Ok(made.clone());
        }
        let mut entries = Vec::with_capacity(bindings.len());
        for binding in bindings {
            let resource = self.memory(binding.slice)?.resource(binding)?;
            entries.push(wgpu::BindGroupEntry { binding: binding.index, resource });
        }
        let made =
            self.device.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
        self.bind_groups.insert(bindings.to_vec(), made.clone());
        Ok(made)
    }

    /// Forgets the bind groups that no prepared recording holds, for whoever prepares recordings without end.
    pub fn forget_bind_groups(&mut self) {
        self.bind_groups.clear();
    }

    /// Somewhere for the host to read `size` bytes from, out of those that are free again if one is large enough.
    fn readback(&self, free: Option<wgpu::Buffer>, size: u64) -> Result<wgpu::Buffer, ExecutionError> {
        match free.filter(|buffer| buffer.size() >= size) {
            Some(buffer) => Ok(buffer),
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                self.make_buffer("reading back", size, usage)
            }
        }
    }

    fn keep(&mut self, memory: Memory) -> BufferId {
        self.memory.push(memory);
        BufferId(self.memory.len() as u32 - 1)
    }

    /// Makes a buffer, turning an allocation failure into an error instead of a lost device.
    fn make_buffer(&self, what: &str, size: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer, ExecutionError> {
        let limit = self.device.info.limits.max_buffer_size;
        if size > limit {
            return Err(ExecutionError::BufferTooLarge { what: what.to_owned(), size, limit });
        }
        self.device.allocating(what, size, || {
            self.device.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(what),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }
}

impl Drop for GpuExecutor {
    fn drop(&mut self) {
        if self.device.comes_to_rest() {
            if self.device.check("its pipelines").is_ok() {
                self.pipelines.keep();
            }
            return;
        }
        // wgpu waits for the queue when it destroys it, and some drivers (lavapipe) when they destroy a pipeline, both
        // without a limit. What the submit may use is leaked instead, so that this thread can go on.
        let unused = Pipelines::new(self.device.device.clone(), Library::default(), None);
        std::mem::forget((
            self.device.queue.clone(),
            std::mem::take(&mut self.memory),
            std::mem::replace(&mut self.pipelines, unused),
            std::mem::take(&mut self.bind_groups),
            std::mem::take(&mut self.prepared),
            self.readback.take(),
            self.clock.take(),
            std::mem::take(&mut self.kept),
            std::mem::take(&mut self.spare),
        ));
    }
}

/// Copies out what is mapped, but for what is skipped, and unmaps it.
fn take_mapped(buffer: &wgpu::Buffer, skip: u64, out: &mut [u8]) -> Result<(), ExecutionError> {
    let mapped = buffer
        .get_mapped_range(..skip + out.len() as u64)
        .map_err(|e| ExecutionError::DeviceLost(format!("its memory could not be read: {e}")))?;
    out.copy_from_slice(&mapped[skip as usize..]);
    drop(mapped);
    buffer.unmap();
    Ok(())
}

impl Executor for GpuExecutor {
    fn memory_limits(&self) -> MemoryLimits {
        let limits = &self.device.info.limits;
        // Shaders index words with 32 bits, and Metal miscomputes silently above 4 GiB: stay below.
        let max_binding = limits.max_storage_binding.min(limits.max_buffer_size).min(u64::from(u32::MAX)) / 256 * 256;
        let max_texels = texels::most(&self.device.device.limits());
        MemoryLimits { max_buffer: limits.max_buffer_size, max_binding, max_texels }
    }

    fn allocate(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = self.make_buffer(what, size.next_multiple_of(4).max(4), usage)?;
        Ok(self.keep(Memory::Buffer(buffer)))
    }

    fn allocate_texels(&mut self, what: &str, size: u64, texel: Texel) -> Result<BufferId, ExecutionError> {
        let limit = self.memory_limits().most(Some(texel));
        if size > limit {
            return Err(ExecutionError::BufferTooLarge { what: what.to_owned(), size, limit });
        }
        let texels = self.device.allocating(what, size, || Texels::new(&self.device.device, what, size, texel))?;
        Ok(self.keep(Memory::Texels(texels)))
    }

    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError> {
        if bytes.len() as u64 > slice.size {
            return Err(ExecutionError::BadSlice(slice.buffer.0));
        }
        let memory = self.memory(slice)?;
        self.device.allocating("a write", bytes.len() as u64, || memory.write(&self.device.queue, slice, bytes))?
    }

    fn flush(&mut self) -> Result<(), ExecutionError> {
        self.device.submit(None, Part::Other)?;
        self.device.wait(0)
    }

    fn compile_ahead(&mut self, recordings: &[Recording]) {
        // A context of GL is one thread's at a time: a link holds it, and wgpu panics in another thread that has waited for it
        // for some seconds.
        if self.info().is_gl() {
            return;
        }
        self.pipelines.make_ahead(recordings.iter().flat_map(|recording| &recording.dispatches));
    }

    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutionError> {
        // Several at a time, where there are several.
        self.compile_ahead(std::slice::from_ref(recording));
        let mut steps = Vec::with_capacity(recording.dispatches.len());
        for dispatch in &recording.dispatches {
            let Pipeline { pipeline, layout } = self.pipelines.get(dispatch)?;
            let bind_group = self.bind_group(&layout, dispatch.bindings())?;
            let params = dispatch.param_bytes().to_vec();
            steps.push(Step { pipeline, bind_group, params, grid: dispatch.grid, cost: dispatch.cost });
        }
        self.device.check("a recording")?;
        let prepared = Prepared(self.next_prepared);
        self.next_prepared += 1;
        self.prepared.insert(prepared, Recorded::new(steps));
        Ok(prepared)
    }

    fn run(&mut self, prepared: Prepared) -> Result<(), ExecutionError> {
        let submits = self.hand_over(prepared, |_| {})?;
        // The host may be one recording ahead and no more: a stop should not wait for a queue of them.
        self.device.wait(submits)
    }

    fn run_keeping(&mut self, prepared: Prepared, slice: Slice) -> Result<(), ExecutionError> {
        let size = slice.size;
        let free = self.spare.pop();
        let buffer = self.readback(free, size.max(SMALLEST_KEPT))?;
        let source = self.memory(slice)?.buffer(slice)?.clone();
        // In the submit that computes it: handing over another one would cost the host as much as half of the step.
        self.hand_over(prepared, |encoder| {
            encoder.copy_buffer_to_buffer(&source, slice.offset, &buffer, 0, size);
            encoder.map_buffer_on_submit(&buffer, wgpu::MapMode::Read, ..size, |_| {});
        })?;
        self.kept.push_back(Kept { buffer, size, submits: self.device.submits() });
        Ok(())
    }

    fn collect(&mut self, out: &mut [u8]) -> Result<(), ExecutionError> {
        let nothing =
            || ExecutionError::Rejected { what: "a collection".to_owned(), message: "so much is not kept".to_owned() };
        let kept = self.kept.pop_front().filter(|kept| out.len() as u64 <= kept.size).ok_or_else(nothing)?;
        let behind = self.device.submits() - kept.submits;
        self.device.wait(behind as usize)?;
        take_mapped(&kept.buffer, 0, out)?;
        self.spare.push(kept.buffer);
        Ok(())
    }

    fn forget_kept(&mut self) {
        // Not to be used again: the mapping of a buffer whose submit still runs would fall on its next use.
        self.kept.clear();
    }

    fn discard(&mut self, prepared: Prepared) {
        self.prepared.remove(&prepared);
    }

    fn read(&mut self, slice: Slice, out: &mut [u8]) -> Result<(), ExecutionError> {
        let size = out.len() as u64;
        if size > slice.size || !size.is_multiple_of(4) {
            return Err(ExecutionError::BadSlice(slice.buffer.0));
        }
        // Put back only when it is free again: one that a failure left mapped is of no use.
        let free = self.readback.take();
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let (readback, skip) = match self.memory(slice)? {
            Memory::Texels(texels) => {
                let copied = texels.copied(slice.offset, size).ok_or(ExecutionError::BadSlice(slice.buffer.0))?;
                let readback = self.readback(free, copied.size)?;
                texels.copy(&copied, &readback, &mut encoder);
                (readback, copied.skip)
            }
            memory => {
                let readback = self.readback(free, size)?;
                encoder.copy_buffer_to_buffer(memory.buffer(slice)?, slice.offset, &readback, 0, size);
                (readback, 0)
            }
        };
        encoder.map_buffer_on_submit(&readback, wgpu::MapMode::Read, ..skip + size, |_| {});
        self.device.submit(Some(encoder.finish()), Part::Other)?;
        self.device.wait(0)?;
        take_mapped(&readback, skip, out)?;
        self.readback = Some(readback);
        Ok(())
    }

    fn take_load(&mut self) -> Option<Load> {
        self.learn();
        // A CPU that emulates a GPU has no watchdog.
        self.loads.pop_front().filter(|_| !self.device.info.is_software())
    }

    fn time_waited(&self) -> Duration {
        self.device.time_waited()
    }
}
