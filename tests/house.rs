//! Rules of the house: what must exist for every kernel, and shaders that every backend's compiler will take.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgpt::kernels::{AdapterFacts, Selection, shader};
use wgpt::recording::{MAX_BINDINGS, MAX_PARAM_WORDS, Program};
use wgpt::reference::TWINS;
use wgpt::verify::cases;

/// An adapter on which every variant runs.
fn everything() -> Selection {
    Selection::for_adapter(&AdapterFacts { software: true, subgroups: true, subgroup_sizes: (8, 8) })
}

/// The stems of the files of a folder.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_shader_has_its_host_side_its_twin_and_its_cases() {
    let shaders = stems("shaders", "wgsl");
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert!(!shaders.is_empty());
    assert_eq!(shaders, owned(shader::KERNELS.iter().map(|k| k.0).collect()), "shaders/ and kernels::shader::KERNELS");
    assert_eq!(shaders, owned(TWINS.iter().map(|t| t.0).collect()), "shaders/ and reference::TWINS");
    assert_eq!(
        shaders,
        owned(cases(&everything()).iter().map(|c| c.program.kernel).collect()),
        "shaders/ and the cases"
    );
    for folder in ["src/kernels", "src/reference"] {
        let missing: Vec<_> = shaders.difference(&stems(folder, "rs")).cloned().collect();
        assert!(missing.is_empty(), "{folder} lacks {missing:?}");
    }
}

#[test]
fn case_names_are_distinct() {
    let mut seen = HashSet::new();
    for case in cases(&everything()) {
        assert!(seen.insert(case.to_string()), "twice in the list: {case}");
    }
}

/// The distinct programs of the case list.
fn programs() -> HashSet<Program> {
    cases(&everything()).iter().map(|case| case.program).collect()
}

/// Whether a program needs subgroups; what does not must run everywhere.
fn uses_subgroups(program: &Program) -> bool {
    program.has_flag("subgroups") || program.kernel.ends_with("_lanes")
}

/// A program's shader, parsed and validated with what wgpu offers everywhere: immediates for the parameters, and
/// pack2x16float; and subgroups only where the program says so.
fn module_of(program: &Program) -> (naga::Module, ModuleInfo) {
    let source = shader::wgsl(program).unwrap_or_else(|e| panic!("{e}"));
    let module =
        naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{program}: {}", e.emit_to_string(&source)));
    let mut capabilities = Capabilities::IMMEDIATES | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if uses_subgroups(program) {
        capabilities |= Capabilities::SUBGROUP;
    }
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{program}: {}", e.emit_to_string(&source)));
    (module, info)
}

#[test]
fn every_program_translates_and_validates() {
    for program in programs() {
        let (module, info) = module_of(&program);
        let translated = [
            ("SPIR-V", translate::spirv(&module, &info)),
            ("MSL", translate::msl(&module, &info)),
            ("HLSL", translate::hlsl(&module, &info, uses_subgroups(&program))),
        ];
        // GLSL's subgroups are an extension that wgpu does not offer on GL.
        let glsl = (!uses_subgroups(&program)).then(|| ("GLSL", translate::glsl(&module, &info)));
        for (language, result) in translated.into_iter().chain(glsl) {
            match result {
                Ok(written) => assert!(written > 0, "{program}: the {language} is empty"),
                Err(e) => panic!("{program}: no {language}: {e}"),
            }
        }
    }
}

#[test]
fn baseline_programs_stay_within_what_every_adapter_offers() {
    let mut checked = 0;
    for program in programs().iter().filter(|program| !uses_subgroups(program)) {
        let (module, _) = module_of(program);
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap_or_else(|e| panic!("{program}: {e}"));
        let (mut workgroup_bytes, mut storage_buffers, mut immediate_bytes) = (0, 0, 0);
        for (_, variable) in module.global_variables.iter() {
            let layout = layouter[variable.ty];
            match variable.space {
                // As wgpu counts it: each variable in whole groups of 16 bytes.
                naga::AddressSpace::WorkGroup => workgroup_bytes += layout.size.next_multiple_of(16),
                naga::AddressSpace::Storage { .. } => storage_buffers += 1,
                naga::AddressSpace::Immediate => immediate_bytes += layout.size,
                naga::AddressSpace::Private => {}
                other => panic!("{program}: {:?} lies in {other:?}", variable.name),
            }
        }
        let entry_points: Vec<_> = module.entry_points.iter().map(|entry| entry.workgroup_size).collect();
        let [workgroup] = entry_points[..] else { panic!("{program}: {} entry points", entry_points.len()) };
        let invocations: u32 = workgroup.iter().product();
        assert!(workgroup_bytes <= 16 << 10, "{program}: {workgroup_bytes} bytes of workgroup memory");
        assert!((1..=256).contains(&invocations), "{program}: {invocations} invocations");
        assert!(workgroup[2] <= 64, "{program}: a workgroup of {workgroup:?}");
        assert!((1..=MAX_BINDINGS).contains(&storage_buffers), "{program}: {storage_buffers} storage buffers");
        assert!(immediate_bytes <= 4 * MAX_PARAM_WORDS as u32, "{program}: {immediate_bytes} bytes of parameters");
        checked += 1;
    }
    assert!(checked > 50, "only {checked} programs");
}

/// Writes a module in the language of each backend, with the options that wgpu gives it. Each gives the length.
mod translate {
    use naga::back::{glsl, hlsl, msl, spv};
    use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
    use naga::valid::ModuleInfo;
    use naga::{AddressSpace, Module, ShaderStage, TypeInner};

    const ENTRY: &str = "main";

    const CHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
        index: BoundsCheckPolicy::Restrict,
        buffer: BoundsCheckPolicy::Restrict,
        image_load: BoundsCheckPolicy::Restrict,
        binding_array: BoundsCheckPolicy::Unchecked,
    };

    /// Each storage buffer's binding number, and whether the shader writes to it.
    fn bindings(module: &Module) -> impl Iterator<Item = (naga::ResourceBinding, bool)> + '_ {
        module.global_variables.iter().filter_map(|(_, variable)| {
            let writes = matches!(variable.space, AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE));
            variable.binding.map(|binding| (binding, writes))
        })
    }

    pub fn spirv(module: &Module, info: &ModuleInfo) -> Result<usize, String> {
        let binding_map = bindings(module)
            .map(|(at, _)| {
                (at, spv::BindingInfo { descriptor_set: at.group, binding: at.binding, ..Default::default() })
            })
            .collect();
        let options = spv::Options {
            lang_version: (1, 3),
            bounds_check_policies: CHECKED,
            fake_missing_bindings: false,
            binding_map,
            ..Default::default()
        };
        let entry = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: ENTRY.to_owned() };
        spv::write_vec(module, info, &options, Some(&entry)).map(|words| words.len()).map_err(|e| e.to_string())
    }

    pub fn msl(module: &Module, info: &ModuleInfo) -> Result<usize, String> {
        let mut slots = 0..;
        let mut slot = || slots.next();
        let resources = bindings(module)
            .map(|(at, mutable)| (at, msl::BindTarget { buffer: slot(), mutable, ..Default::default() }))
            .collect();
        let resources = msl::EntryPointResources { resources, immediates_buffer: slot(), sizes_buffer: slot() };
        let options = msl::Options {
            lang_version: (2, 4),
            per_entry_point_map: [(ENTRY.to_owned(), resources)].into(),
            fake_missing_bindings: false,
            bounds_check_policies: CHECKED,
            ..Default::default()
        };
        let pipeline =
            msl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY.to_owned())), ..Default::default() };
        let (text, translation) = msl::write_string(module, info, &options, &pipeline).map_err(|e| e.to_string())?;
        // A binding without a slot is reported here and not by the writer.
        translation.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        Ok(text.len())
    }

    pub fn hlsl(module: &Module, info: &ModuleInfo, subgroups: bool) -> Result<usize, String> {
        let target = |register| hlsl::BindTarget { space: 1, register, ..Default::default() };
        let binding_map = bindings(module)
            .map(|(at, _)| (at, hlsl::BindTarget { register: at.binding, ..Default::default() }))
            .collect();
        let options = hlsl::Options {
            // What FXC compiles, and the first with wave intrinsics, which DXC does.
            shader_model: if subgroups { hlsl::ShaderModel::V6_0 } else { hlsl::ShaderModel::V5_1 },
            binding_map,
            fake_missing_bindings: false,
            immediates_target: Some(target(0)),
            special_constants_binding: Some(target(1)),
            ..Default::default()
        };
        let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, ENTRY.to_owned())) };
        let mut text = String::new();
        let reflection =
            hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).map_err(|e| e.to_string())?;
        reflection.entry_point_names.into_iter().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        Ok(text.len())
    }

    pub fn glsl(module: &Module, info: &ModuleInfo) -> Result<usize, String> {
        let mut written = usize::MAX;
        for version in [glsl::Version::Desktop(430), glsl::Version::new_gles(310)] {
            let options = glsl::Options {
                version,
                writer_flags: glsl::WriterFlags::empty(),
                binding_map: bindings(module).zip(0..).map(|((at, _), slot)| (at, slot)).collect(),
                zero_initialize_workgroup_memory: true,
            };
            let pipeline = glsl::PipelineOptions {
                shader_stage: ShaderStage::Compute,
                entry_point: ENTRY.to_owned(),
                multiview: None,
            };
            let mut text = String::new();
            let reflection = glsl::Writer::new(&mut text, module, info, &options, &pipeline, CHECKED)
                .and_then(|mut writer| writer.write())
                .map_err(|e| format!("{version:?}: {e}"))?;
            // On GL the parameters are plain uniforms, one for each member.
            let members = immediates(module);
            let uniforms = reflection.immediates_items.len();
            if uniforms != members {
                return Err(format!("{version:?}: {uniforms} uniforms for {members} parameters"));
            }
            written = written.min(text.len());
        }
        Ok(written)
    }

    /// How many members the parameters have.
    fn immediates(module: &Module) -> usize {
        let members = |inner: &TypeInner| match inner {
            TypeInner::Struct { members, .. } => members.len(),
            _ => 1,
        };
        let parameters = module.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::Immediate);
        parameters.map(|(_, v)| members(&module.types[v.ty].inner)).sum()
    }
}

#[test]
fn every_variant_and_storage_type_is_in_the_case_list() {
    let cases = cases(&everything());
    let programs: HashSet<_> = cases.iter().map(|c| (c.program.kernel, c.program.variant, c.program.weights)).collect();
    for weights in stems("shaders/weights", "wgsl") {
        for (kernel, variant) in [
            ("embed", "base"),
            ("matmul", "tile64"),
            ("matmul", "tile32"),
            ("matmul_lanes", "broadcast"),
            ("matvec", "workgroup"),
            ("matvec", "subgroup"),
            ("matvec_lanes", "broadcast"),
        ] {
            let found = programs.iter().any(|p| *p == (kernel, variant, weights.as_str()));
            assert!(found, "no case of {kernel}/{variant} with {weights}");
        }
    }
}
