//! Pipelines, each made once from its program: ahead of its first use by worker threads, or else at it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::pipeline_cache::PipelineCache;
use super::texels;
use crate::kernels::shader::Library;
use crate::recording::{Access, Dispatch, ExecutionError, Program};

#[derive(Clone)]
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// What a pipeline is made from. All dispatches of a program have the same bindings and as many parameters.
#[derive(Clone, Debug)]
struct Order {
    program: Program,
    bindings: Vec<(u32, Access)>,
    param_bytes: u32,
}

impl From<&Dispatch> for Order {
    fn from(dispatch: &Dispatch) -> Order {
        Order {
            program: dispatch.program,
            bindings: dispatch.bindings().iter().map(|binding| (binding.index, binding.access)).collect(),
            param_bytes: dispatch.param_bytes().len() as u32,
        }
    }
}

/// The pipelines of a device.
pub(super) struct Pipelines {
    workshop: Arc<Workshop>,
    workers: Vec<JoinHandle<()>>,
}

/// What the workers and whoever needs a pipeline share.
struct Workshop {
    maker: Maker,
    orders: Mutex<Orders>,
    /// A pipeline has been made, or its maker has failed.
    progress: Condvar,
}

#[derive(Default)]
struct Orders {
    states: HashMap<Program, State>,
    /// Those that nobody has begun, in the order in which they were asked for.
    waiting: VecDeque<Order>,
}

enum State {
    Waiting,
    Making,
    /// The pipeline, or why the device rejected it.
    Made(Result<Pipeline, String>),
}

impl Pipelines {
    pub fn new(device: wgpu::Device, shaders: Library, cache: Option<PipelineCache>) -> Pipelines {
        let maker = Maker { device, shaders, cache };
        let workshop = Workshop { maker, orders: Mutex::default(), progress: Condvar::new() };
        Pipelines { workshop: Arc::new(workshop), workers: Vec::new() }
    }

    /// Has the pipelines of the dispatches made, as many at a time as there are cores, while the caller does something else.
    /// What goes wrong shows when they are needed.
    pub fn make_ahead<'a>(&mut self, dispatches: impl IntoIterator<Item = &'a Dispatch>) {
        let added = self.workshop.enqueue(dispatches);
        self.workers.retain(|worker| !worker.is_finished());
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let missing = added.min(cores.saturating_sub(self.workers.len()));
        for _ in 0..missing {
            let workshop = Arc::clone(&self.workshop);
            // Without a worker, the pipelines are made when they are needed.
            let spawned = thread::Builder::new().name("pipelines".to_owned()).spawn(move || workshop.work());
            self.workers.extend(spawned);
        }
    }

    /// Ends the workers with the pipelines that they have begun: a process must not end inside of a driver's compiler.
    fn stop(&mut self) {
        self.workshop.cancel();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
    }

    /// Writes what was compiled to the cache's file, where there is one.
    pub fn keep(&mut self) {
        self.stop();
        if let Some(cache) = &self.workshop.maker.cache {
            cache.keep();
        }
    }

    /// The pipeline that a dispatch needs. If a worker is making it, waits for that; if none has begun, makes it here.
    pub fn get(&self, dispatch: &Dispatch) -> Result<Pipeline, ExecutionError> {
        self.workshop
            .get(dispatch)
            .map_err(|message| ExecutionError::Rejected { what: dispatch.program.to_string(), message })
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Workshop {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts those that are new to the others that wait, and says how many.
    fn enqueue<'a>(&self, dispatches: impl IntoIterator<Item = &'a Dispatch>) -> usize {
        let mut orders = self.orders();
        let Orders { states, waiting } = &mut *orders;
        let before = waiting.len();
        for dispatch in dispatches {
            if let Entry::Vacant(unknown) = states.entry(dispatch.program) {
                unknown.insert(State::Waiting);
                waiting.push_back(dispatch.into());
            }
        }
        waiting.len() - before
    }

    /// Forgets what nobody has begun.
    fn cancel(&self) {
        let mut orders = self.orders();
        for order in std::mem::take(&mut orders.waiting) {
            orders.states.remove(&order.program);
        }
    }

    /// Makes what waits, until nothing does.
    fn work(&self) {
        while let Some(order) = self.begin_next() {
            // An error is for those who need the pipeline.
            let _ = self.make(&order);
        }
    }

    fn begin_next(&self) -> Option<Order> {
        let mut orders = self.orders();
        let order = orders.waiting.pop_front()?;
        orders.states.insert(order.program, State::Making);
        Some(order)
    }

    fn get(&self, dispatch: &Dispatch) -> Result<Pipeline, String> {
        let mut orders = self.orders();
        loop {
            match orders.states.get(&dispatch.program) {
                Some(State::Made(made)) => return made.clone(),
                Some(State::Making) => {
                    orders = self.progress.wait(orders).unwrap_or_else(PoisonError::into_inner);
                }
                Some(State::Waiting) | None => break,
            }
        }
        orders.waiting.retain(|order| order.program != dispatch.program);
        orders.states.insert(dispatch.program, State::Making);
        drop(orders);
        self.make(&dispatch.into())
    }

    /// Makes what this thread has begun.
    fn make(&self, order: &Order) -> Result<Pipeline, String> {
        let begun = Begun { workshop: self, program: order.program };
        let made = self.maker.make(order);
        self.orders().states.insert(begun.program, State::Made(made.clone()));
        made
    }
}

/// A pipeline that this thread is making.
struct Begun<'a> {
    workshop: &'a Workshop,
    program: Program,
}

impl Drop for Begun<'_> {
    /// Wakes those who wait for it; where the maker has panicked, the next one makes it again.
    fn drop(&mut self) {
        let mut orders = self.workshop.orders();
        if matches!(orders.states.get(&self.program), Some(State::Making)) {
            orders.states.remove(&self.program);
        }
        self.workshop.progress.notify_all();
    }
}

/// Turns programs into pipelines.
struct Maker {
    device: wgpu::Device,
    shaders: Library,
    cache: Option<PipelineCache>,
}

impl Maker {
    fn make(&self, order: &Order) -> Result<Pipeline, String> {
        let name = order.program.to_string();
        let started = Instant::now();
        let source = self.shaders.wgsl(&order.program)?;
        let resolved = started.elapsed();
        // Scopes are this thread's own.
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let module = self.module(&name, source);
        let translated = started.elapsed();
        let layout = self.bind_group_layout(&name, &order.bindings);
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: order.param_bytes,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[],
                zero_initialize_workgroup_memory: false,
            },
            cache: self.cache.as_ref().map(|cache| &cache.cache),
        });
        let (internal, validation) = (pollster::block_on(internal.pop()), pollster::block_on(validation.pop()));
        if let Some(error) = internal.or(validation) {
            return Err(error.to_string());
        }
        let (parse, compile) = (translated - resolved, started.elapsed() - translated);
        tracing::debug!(program = %name, wesl = ?resolved, ?parse, ?compile, "made a pipeline");
        Ok(Pipeline { pipeline, layout })
    }

    fn module(&self, name: &str, source: String) -> wgpu::ShaderModule {
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        if self.shaders.is_embedded() {
            // SAFETY: the indices in our shaders follow from the parameters and from the step's arrays, which the host has
            // checked (`Model::write_inputs`), and no loop runs without end; the parity tests place sentinels around each output.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        } else {
            self.device.create_shader_module(descriptor)
        }
    }

    fn bind_group_layout(&self, name: &str, bindings: &[(u32, Access)]) -> wgpu::BindGroupLayout {
        let entry = |&(binding, access): &(u32, Access)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: match access {
                Access::LoadTexels(texel) => texels::binding_type(wgpu::StorageTextureAccess::ReadOnly, texel),
                Access::StoreTexels(texel) => texels::binding_type(wgpu::StorageTextureAccess::WriteOnly, texel),
                Access::Read | Access::ReadWrite => wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
            },
            count: None,
        };
        let entries: Vec<_> = bindings.iter().map(entry).collect();
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries };
        self.device.create_bind_group_layout(&descriptor)
    }
}
