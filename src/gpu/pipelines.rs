//! Pipelines, each made once from its program.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::device::Device;
use crate::kernels::shader::Library;
use crate::recording::{Access, Dispatch, ExecutionError, Program};

pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

#[derive(Default)]
pub(super) struct Pipelines {
    shaders: Library,
    made: HashMap<Program, Pipeline>,
}

impl Pipelines {
    pub fn from_shaders(shaders: Library) -> Pipelines {
        Pipelines { shaders, made: HashMap::new() }
    }

    /// The pipeline that a dispatch needs, made at its first use.
    pub fn get(&mut self, device: &Device, dispatch: &Dispatch) -> Result<&Pipeline, ExecutionError> {
        match self.made.entry(dispatch.program) {
            Entry::Occupied(made) => Ok(made.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(make(device, &self.shaders, dispatch)?)),
        }
    }
}

fn make(device: &Device, shaders: &Library, dispatch: &Dispatch) -> Result<Pipeline, ExecutionError> {
    let name = dispatch.program.to_string();
    let rejected = |message: String| ExecutionError::Rejected { what: name.clone(), message };
    let source = shaders.wgsl(&dispatch.program).map_err(rejected)?;
    let started = std::time::Instant::now();
    let scope = device.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.device.push_error_scope(wgpu::ErrorFilter::Internal);
    let descriptor =
        wgpu::ShaderModuleDescriptor { label: Some(&name), source: wgpu::ShaderSource::Wgsl(source.into()) };
    let module = if shaders.is_embedded() {
        // SAFETY: the indices in our shaders follow from the parameters and from the step's arrays, which the host has
        // checked (`Model::write_inputs`), and no loop runs without end; the parity tests place sentinels around each output.
        unsafe { device.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
    } else {
        device.device.create_shader_module(descriptor)
    };
    let entries: Vec<_> = dispatch
        .bindings()
        .iter()
        .map(|binding| wgpu::BindGroupLayoutEntry {
            binding: binding.index,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: binding.access == Access::Read },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let layout = device
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&name), entries: &entries });
    let pipeline_layout = device.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&name),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: dispatch.param_bytes().len() as u32,
    });
    let pipeline = device.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&name),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[],
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    let (internal, validation) = (pollster::block_on(internal.pop()), pollster::block_on(scope.pop()));
    if let Some(error) = internal.or(validation) {
        return Err(rejected(error.to_string()));
    }
    tracing::debug!(program = %name, elapsed = ?started.elapsed(), "made a pipeline");
    Ok(Pipeline { pipeline, layout })
}
