//! Shaders for backends that this machine lacks: every program of the case list in the language of each backend, and through
//! the validators that run without a GPU. MSL and the HLSL of shader model 5.1, which is FXC's, are translated only.

mod translate;
mod validators;

use std::collections::BTreeMap;

use naga::back::{glsl, hlsl::ShaderModel};
use rayon::prelude::*;
use wgpt::gpu::Backend;
use wgpt::recording::{MAX_BINDINGS, MAX_PARAM_WORDS, MatrixSize, Requirement};

use crate::support::notice::notice;
use translate::{Shader, needs_f16, needs_matrices, shaders, validate};
use validators::Filter;

/// Writes every shader that a backend offers to run and its version is able to say, and gives each distinct text with the first program that has it.
fn written<T: Ord + Send>(
    backend: Backend,
    able: impl Fn(Requirement) -> bool + Sync,
    write: impl Fn(&Shader) -> Result<T, String> + Sync,
) -> BTreeMap<T, String> {
    let wanted = |shader: &&Shader| {
        let required = shader.program.requirement;
        able(required) && backend.offers(required)
    };
    let texts: Vec<_> =
        shaders().par_iter().filter(wanted).map(|shader| (shader.program.to_string(), write(shader))).collect();
    let mut distinct = BTreeMap::new();
    let mut failures = Vec::new();
    for (name, text) in texts {
        match text {
            Ok(text) => _ = distinct.entry(text).or_insert(name),
            Err(e) => failures.push(format!("{name}: {e}")),
        }
    }
    assert!(failures.is_empty(), "{} programs:\n{}", failures.len(), failures.join("\n"));
    assert!(distinct.len() > 50, "only {} shaders", distinct.len());
    distinct
}

/// Checks every text, and fails with what the validator said.
fn all_valid<T: Ord + Sync>(what: &str, texts: &BTreeMap<T, String>, check: impl Fn(&T) -> Result<(), String> + Sync) {
    let failures: Vec<String> =
        texts.par_iter().filter_map(|(text, name)| check(text).err().map(|e| format!("{name}: {e}"))).collect();
    assert!(failures.is_empty(), "{what}, {} of {} shaders:\n{}", failures.len(), texts.len(), failures.join("\n"));
}

#[test]
fn a_program_requires_what_it_says_and_no_less() {
    // Each is valid with what it requires, or `shaders` had panicked.
    // That packed dot products suit not every compiler shows in the compilers' own tests.
    let in_wgsl =
        |requirement| !matches!(requirement, Requirement::Nothing | Requirement::PackedDot { subgroups: false });
    for shader in shaders().iter().filter(|shader| in_wgsl(shader.program.requirement)) {
        let without = validate(&shader.module, Requirement::Nothing);
        let texels = requirement_includes_texels(shader.program.requirement) && uses_textures(&shader.module);
        assert!(without.is_err() || texels, "{} uses nothing of what it requires", shader.program);
    }
    let matrices = MatrixSize::ALL.map(|size| Requirement::CooperativeMatrix { size, lanes: 32 });
    let packed = [false, true].map(|subgroups| Requirement::PackedDot { subgroups });
    for requirement in [Requirement::Nothing, Requirement::Subgroups, Requirement::EightLanes, Requirement::Half]
        .into_iter()
        .chain(matrices)
        .chain(packed)
    {
        let programs = shaders().iter().filter(|shader| shader.program.requirement == requirement).count();
        assert!(programs > 10, "{programs} programs require {requirement:?}");
    }
}

/// Whether programs with the requirement may load and store textures, for which there is no capability.
fn requirement_includes_texels(requirement: Requirement) -> bool {
    requirement == Requirement::EightLanes
}

fn uses_textures(module: &naga::Module) -> bool {
    let is_texture = |ty| matches!(module.types[ty].inner, naga::TypeInner::Image { .. });
    module.global_variables.iter().any(|(_, variable)| is_texture(variable.ty))
}

#[test]
fn only_programs_that_require_texels_use_textures() {
    for shader in shaders() {
        let may = requirement_includes_texels(shader.program.requirement);
        assert!(may || !uses_textures(&shader.module), "{}", shader.program);
    }
}

#[test]
fn baseline_programs_stay_within_what_every_adapter_offers() {
    let baseline = [Requirement::Nothing, Requirement::PackedDot { subgroups: false }];
    for shader in shaders().iter().filter(|shader| baseline.contains(&shader.program.requirement)) {
        let (program, module) = (&shader.program, &shader.module);
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
    }
}

#[test]
fn spirv_passes_spirv_val() {
    for (version, newest, arguments) in
        [("1.3", false, &["--target-env", "vulkan1.1", "-"]), ("1.6", true, &["--target-env", "vulkan1.3", "-"])]
    {
        let write = |able: fn(Requirement) -> bool| written(Backend::Vulkan, able, |shader| shader.spirv(newest));
        let mut modules = write(|_| true);
        let validator = Filter { program: "spirv-val", arguments };
        if !validator.is_here() {
            notice(&format!("SKIPPED: no spirv-val here; {} modules of SPIR-V {version} unchecked", modules.len()));
            continue;
        }
        if !knows_matrices(&validator) {
            let all = modules.len();
            modules = write(|requirement| !needs_matrices(requirement));
            let unchecked = all - modules.len();
            notice(&format!("SKIPPED: this spirv-val knows no cooperative matrices; {unchecked} modules unchecked"));
        }
        let whole = modules.keys().next().expect("a module");
        assert!(validator.check(bytemuck::cast_slice(&whole[..whole.len() - 1])).is_err(), "spirv-val takes anything");
        all_valid("spirv-val", &modules, |module| validator.check(bytemuck::cast_slice(module)));
        notice(&format!("spirv-val takes all {} modules of SPIR-V {version}", modules.len()));
    }
}

/// Whether the validator is new enough for SPV_KHR_cooperative_matrix: of 2023 and later.
fn knows_matrices(validator: &Filter) -> bool {
    const MATRICES: u32 = 6022;
    let capability = |number: u32| [2 << 16 | 17, number];
    let header = [0x0723_0203, 0x1_0300, 0, 1, 0];
    let module: Vec<u32> = header.into_iter().chain(capability(MATRICES)).collect();
    // It lacks more than that, which the validator then says.
    let verdict = validator.check(bytemuck::cast_slice(&module));
    verdict.is_err_and(|message| !message.contains("Invalid capability operand"))
}

#[test]
fn hlsl_compiles_with_dxc() {
    let dxc = validators::dxc();
    for (model, target) in [(ShaderModel::V6_0, "cs_6_0"), (ShaderModel::V6_2, "cs_6_2"), (ShaderModel::V6_6, "cs_6_6")]
    {
        let able = |requirement| model != ShaderModel::V6_0 || !needs_f16(requirement);
        let texts = written(Backend::Dx12, able, |shader| shader.hlsl(model));
        let Some(dxc) = &dxc else {
            notice(&format!("SKIPPED: no DXC here; {} shaders of {target} not compiled", texts.len()));
            continue;
        };
        let compile = |text: &str, entry: &str| validators::compile(dxc, text, entry, target);
        let (text, entry) = texts.keys().next().expect("a shader");
        assert!(compile(&text[..text.len() / 2], entry).is_err(), "DXC takes anything");
        all_valid("DXC", &texts, |(text, entry)| compile(text, entry));
        notice(&format!("DXC compiles all {} shaders of {target}", texts.len()));
    }
}

#[test]
fn hlsl_for_fxc_is_written() {
    // Shader model 5.1 has no subgroups; DXC refuses it, so that FXC alone can judge it, on Windows.
    let texts = written(
        Backend::Dx12,
        |requirement| requirement == Requirement::Nothing,
        |shader| shader.hlsl(ShaderModel::V5_1),
    );
    notice(&format!("{} shaders of HLSL 5.1 are translated, and compiled by nothing here", texts.len()));
}

#[test]
fn msl_is_written() {
    for version in [(2, 1), (2, 4), (3, 1)] {
        let able = |requirement| version >= (2, 3) || !needs_matrices(requirement);
        let texts = written(Backend::Metal, able, |shader| shader.msl(version));
        let (major, minor) = version;
        notice(&format!("{} shaders of MSL {major}.{minor} are translated, and compiled by nothing here", texts.len()));
    }
}

#[test]
fn glsl_es_passes_glslang() {
    let validator = Filter { program: "glslangValidator", arguments: &["--stdin", "-S", "comp"] };
    let texts = written(Backend::Gl, |_| true, |shader| shader.glsl(glsl::Version::new_gles(310)));
    if !validator.is_here() {
        notice(&format!("SKIPPED: no glslangValidator here; {} shaders of GLSL ES 3.10 unchecked", texts.len()));
        return;
    }
    assert!(validator.check(b"#version 310 es\nvoid main() { nothing }").is_err(), "glslang takes anything");
    all_valid("glslang", &texts, |text| validator.check(text.as_bytes()));
    notice(&format!("glslang takes all {} shaders of GLSL ES 3.10", texts.len()));
}

#[test]
fn desktop_glsl_is_written() {
    // The oldest that has compute shaders, and the newest that wgpu has naga write.
    for version in [430, 450] {
        let texts = written(Backend::Gl, |_| true, |shader| shader.glsl(glsl::Version::Desktop(version)));
        notice(&format!("{} shaders of GLSL {version} are translated; GL adapters compile them", texts.len()));
    }
}
