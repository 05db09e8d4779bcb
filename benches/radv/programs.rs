//! The programs that a GPU with subgroups may be given, and their SPIR-V.

use std::collections::HashSet;

use anyhow::{Context, Result, anyhow};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpt::kernels::{AdapterFacts, AdapterKind, Selection, shader};
use wgpt::recording::{BufferId, Dispatch, MAX_BINDINGS, Slice};
use wgpt::verify::cases;

/// A dispatch of each program of the case list that is not for software adapters only, in the list's order; those for matrix
/// units only where there are some.
pub fn dispatches(matrix_units: bool) -> Vec<Dispatch> {
    let facts = AdapterFacts {
        kind: AdapterKind::Discrete,
        subgroups: true,
        subgroup_sizes: (32, 64),
        int64: true,
        texels: true,
        f16: true,
        packed_dot: true,
        matrices: [false, matrix_units],
    };
    let nowhere = Slice { buffer: BufferId(0), offset: 0, size: 0 };
    let mut seen = HashSet::new();
    cases(&Selection::for_adapter(&facts))
        .iter()
        .filter(|case| seen.insert(case.program))
        .map(|case| case.dispatch(&[nowhere; MAX_BINDINGS]))
        .collect()
}

/// A program's shader as wgpu hands it to a Vulkan 1.3 driver: unchecked, as the engine's pipelines are.
pub fn spirv(dispatch: &Dispatch) -> Result<Vec<u32>> {
    let program = dispatch.program;
    let source = shader::wgsl(&program).map_err(|e| anyhow!(e))?;
    let module = naga::front::wgsl::parse_str(&source).map_err(|e| anyhow!(e.emit_to_string(&source)))?;
    let capabilities = Capabilities::IMMEDIATES
        | Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | Capabilities::SUBGROUP
        | Capabilities::SHADER_FLOAT16
        | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| anyhow!(e.emit_to_string(&source)))?;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS,
        bounds_check_policies: BoundsCheckPolicies {
            index: BoundsCheckPolicy::Unchecked,
            buffer: BoundsCheckPolicy::Unchecked,
            image_load: BoundsCheckPolicy::Unchecked,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".to_owned() };
    spv::write_vec(&module, &info, &options, Some(&entry)).with_context(|| format!("{program}: no SPIR-V"))
}
