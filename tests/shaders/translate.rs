//! Writes a program's shader in a backend's language with the options that wgpu-hal 30.0.1 gives naga for the way in which
//! `gpu::pipelines` makes pipelines: no runtime checks, no zeroed workgroup memory, immediates.

use std::sync::LazyLock;

use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ResourceBinding, ShaderStage, StorageAccess, TypeInner};
use wgpt::kernels::{AdapterFacts, AdapterKind, Selection, shader};
use wgpt::recording::{Program, Requirement};
use wgpt::verify::cases;

const ENTRY: &str = "main";

const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// A program's shader, parsed and validated.
pub struct Shader {
    pub program: Program,
    pub module: Module,
    pub info: ModuleInfo,
}

/// The shader of every program of the case list.
pub fn shaders() -> &'static [Shader] {
    static SHADERS: LazyLock<Vec<Shader>> = LazyLock::new(|| {
        // An adapter on which every variant runs.
        let everything = Selection::for_adapter(&AdapterFacts {
            kind: AdapterKind::Software,
            subgroups: true,
            subgroup_sizes: (8, 8),
            int64: true,
            texels: true,
            f16: true,
            packed_dot: true,
            matrices: [true; 2],
        });
        let mut programs: Vec<Program> = cases(&everything).iter().map(|case| case.program).collect();
        programs.sort_by_key(Program::to_string);
        programs.dedup();
        programs.into_iter().map(Shader::new).collect()
    });
    &SHADERS
}

/// What is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    ReadOnly,
    Writable,
    /// A texture, be it to load from or to store to.
    Texels,
}

impl Shader {
    fn new(program: Program) -> Shader {
        let source = shader::wgsl(&program).unwrap_or_else(|e| panic!("{e}"));
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{program}: {}", e.emit_to_string(&source)));
        let info = validate(&module, program.requirement).unwrap_or_else(|e| panic!("{program}: {e}"));
        Shader { program, module, info }
    }

    /// What the shader is given in the order of their numbers in the WGSL.
    fn bindings(&self) -> Vec<(ResourceBinding, Given)> {
        let given = |space| match space {
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Given::Writable,
            AddressSpace::Handle => Given::Texels,
            _ => Given::ReadOnly,
        };
        let variables = self.module.global_variables.iter();
        let mut bindings: Vec<_> = variables
            .filter_map(|(_, variable)| variable.binding.map(|binding| (binding, given(variable.space))))
            .collect();
        bindings.sort_unstable();
        bindings
    }

    /// SPIR-V for Vulkan. `newest`: 1.6, with the 8-bit integers that newer drivers have; else 1.3, the first with subgroups.
    pub fn spirv(&self, newest: bool) -> Result<Vec<u32>, String> {
        use spv::Capability as C;
        let mut capabilities = vec![
            C::Shader,
            C::Matrix,
            C::Sampled1D,
            C::Image1D,
            C::ImageQuery,
            C::DerivativeControl,
            C::StorageImageExtendedFormats,
        ];
        if needs_f16(self.program.requirement) {
            capabilities.extend([C::Float16, C::StorageBuffer16BitAccess, C::UniformAndStorageBuffer16BitAccess]);
        }
        if needs_matrices(self.program.requirement) {
            capabilities.extend([C::CooperativeMatrixKHR, C::VulkanMemoryModel]);
        }
        if needs_subgroups(self.program.requirement) {
            capabilities.extend([
                C::GroupNonUniform,
                C::GroupNonUniformVote,
                C::GroupNonUniformArithmetic,
                C::GroupNonUniformBallot,
                C::GroupNonUniformShuffle,
                C::GroupNonUniformShuffleRelative,
                C::GroupNonUniformQuad,
            ]);
        }
        if newest {
            capabilities.extend([
                C::DotProductInputAllKHR,
                C::DotProductInput4x8BitKHR,
                C::DotProductInput4x8BitPackedKHR,
                C::DotProductKHR,
                C::Int8,
            ]);
        }
        let bindings = self.bindings().into_iter();
        let binding_map = bindings
            .map(|(at, _)| {
                (at, spv::BindingInfo { descriptor_set: at.group, binding: at.binding, ..Default::default() })
            })
            .collect();
        let options = spv::Options {
            lang_version: if newest { (1, 6) } else { (1, 3) },
            flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
            capabilities: Some(capabilities.into_iter().collect()),
            bounds_check_policies: UNCHECKED,
            zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            fake_missing_bindings: false,
            binding_map,
            ..Default::default()
        };
        let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: ENTRY.to_owned() };
        spv::write_vec(&self.module, &self.info, &options, Some(&entry)).map_err(|e| e.to_string())
    }

    /// MSL for Metal.
    pub fn msl(&self, lang_version: (u8, u8)) -> Result<String, String> {
        let mut slots = 0..;
        let mut slot = || slots.next();
        let immediates_buffer = slot();
        // Textures are numbered apart.
        let mut textures = 0..;
        let mut target = |given| match given {
            Given::Texels => msl::BindTarget { texture: textures.next(), mutable: true, ..Default::default() },
            given => msl::BindTarget { buffer: slot(), mutable: given == Given::Writable, ..Default::default() },
        };
        let resources = self.bindings().into_iter().map(|(at, given)| (at, target(given))).collect();
        let resources = msl::EntryPointResources { resources, immediates_buffer, sizes_buffer: slot() };
        let options = msl::Options {
            lang_version,
            per_entry_point_map: [(ENTRY.to_owned(), resources)].into(),
            fake_missing_bindings: false,
            bounds_check_policies: UNCHECKED,
            zero_initialize_workgroup_memory: false,
            force_loop_bounding: false,
            emit_int_div_checks: false,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, ENTRY.to_owned())),
            vertex_pulling_transform: true,
            ..Default::default()
        };
        let (text, translation) =
            msl::write_string(&self.module, &self.info, &options, &pipeline).map_err(|e| e.to_string())?;
        // A binding without a slot is reported here and not by the writer.
        translation.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        Ok(text)
    }

    /// HLSL for DX12, and the name of its entry point.
    pub fn hlsl(&self, shader_model: hlsl::ShaderModel) -> Result<(String, String), String> {
        let target = |space, register| hlsl::BindTarget { space, register, ..Default::default() };
        // Views for reading and views for writing, as those of all texels, are numbered apart.
        let (mut reads, mut writes) = (0, 0);
        let mut next = |writable: bool| {
            let counter = if writable { &mut writes } else { &mut reads };
            *counter += 1;
            *counter - 1
        };
        let bindings = self.bindings().into_iter();
        let binding_map = bindings.map(|(at, given)| (at, target(0, next(given != Given::ReadOnly)))).collect();
        let options = hlsl::Options {
            shader_model,
            binding_map,
            fake_missing_bindings: false,
            immediates_target: Some(target(0, 0)),
            special_constants_binding: Some(target(1, 1)),
            zero_initialize_workgroup_memory: false,
            restrict_indexing: false,
            force_loop_bounding: false,
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY.to_owned())) };
        let mut text = String::new();
        let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .map_err(|e| e.to_string())?;
        match reflection.entry_point_names.as_slice() {
            [Ok(name)] => Ok((text, name.clone())),
            [Err(e)] => Err(e.to_string()),
            names => Err(format!("{} entry points", names.len())),
        }
    }

    /// GLSL for GL.
    pub fn glsl(&self, version: glsl::Version) -> Result<String, String> {
        let options = glsl::Options {
            version,
            writer_flags: glsl::WriterFlags::FORCE_POINT_SIZE,
            binding_map: self.bindings().into_iter().zip(0..).map(|((at, _), slot)| (at, slot)).collect(),
            zero_initialize_workgroup_memory: false,
        };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: ENTRY.to_owned(),
            multiview: None,
        };
        let mut text = String::new();
        let reflection = glsl::Writer::new(&mut text, &self.module, &self.info, &options, &pipeline, UNCHECKED)
            .and_then(|mut writer| writer.write())
            .map_err(|e| e.to_string())?;
        // On GL the parameters are plain uniforms, one for each member.
        let (uniforms, members) = (reflection.immediates_items.len(), self.parameters());
        if uniforms == members { Ok(text) } else { Err(format!("{uniforms} uniforms for {members} parameters")) }
    }

    /// How many members the parameters have.
    fn parameters(&self) -> usize {
        let members = |inner: &TypeInner| match inner {
            TypeInner::Struct { members, .. } => members.len(),
            _ => 1,
        };
        let parameters = self.module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Immediate);
        parameters.map(|(_, v)| members(&self.module.types[v.ty].inner)).sum()
    }
}

fn needs_subgroups(requirement: Requirement) -> bool {
    use Requirement::{Half, Nothing, PackedDot};
    !matches!(requirement, Nothing | Half | PackedDot { subgroups: false })
}

/// Whether programs with the requirement compute in f16.
pub fn needs_f16(requirement: Requirement) -> bool {
    requirement == Requirement::Half || needs_matrices(requirement)
}

/// Whether they use cooperative matrices.
pub fn needs_matrices(requirement: Requirement) -> bool {
    matches!(requirement, Requirement::CooperativeMatrix { .. })
}

/// Validates with what wgpu offers everywhere (immediates for the parameters, and pack2x16float) and what is required.
pub fn validate(module: &Module, requirement: Requirement) -> Result<ModuleInfo, String> {
    let mut capabilities = Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if needs_subgroups(requirement) {
        capabilities |= Capabilities::SUBGROUP;
    }
    if needs_f16(requirement) {
        capabilities |= Capabilities::SHADER_FLOAT16;
    }
    if needs_matrices(requirement) {
        capabilities |= Capabilities::COOPERATIVE_MATRIX;
    }
    if requirement == Requirement::EightLanes {
        capabilities |= Capabilities::SHADER_INT64;
    }
    Validator::new(ValidationFlags::all(), capabilities).validate(module).map_err(|e| format!("{e:?}"))
}
