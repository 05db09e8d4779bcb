//! From a [`Program`] to WGSL: resolves imports, flags and constants with WESL.

use std::borrow::Cow;

use wesl::{Feature, ModulePath, Wesl};

use crate::recording::Program;

macro_rules! sources {
    ($folder:literal, $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/", $folder, $name, ".wgsl")))),*]
    };
}

/// Every kernel's shader, by stem.
pub const KERNELS: &[(&str, &str)] = sources!(
    "",
    "add",
    "argmax",
    "attention",
    "attention_lanes",
    "embed",
    "gated_activation",
    "gather_rows",
    "kv_append",
    "matmul",
    "matmul_lanes",
    "matvec",
    "matvec_lanes",
    "rms_norm",
    "rope",
);

/// What kernels import.
const SHARED: &[(&str, &str)] =
    sources!("shared/", "attention_io", "k_scales", "kv_cache", "linear_io", "reduce", "weights8");

/// How each storage type is read; a kernel sees the one of its program as `package::weights`.
const WEIGHTS: &[(&str, &str)] =
    sources!("weights/", "bf16", "f16", "f32", "q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0");

fn find(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    table.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

/// Compiles a program's shader to plain WGSL, with the entry point `main`.
///
/// # Errors
/// Says what WESL rejected: a mistake in a shader of ours, which the tests find.
pub fn wgsl(program: &Program) -> Result<String, String> {
    let mut compiler = Wesl::new_barebones().set_custom_resolver(Shaders { program: *program });
    compiler.use_imports(true).use_condcomp(true).use_stripping(true).set_missing_feature_behavior(Feature::Disable);
    compiler.set_mangler(wesl::ManglerKind::Escape);
    for flag in program.flags() {
        compiler.set_feature(flag, true);
    }
    let root: ModulePath = "package::kernel".parse().map_err(|e| format!("{e:?}"))?;
    let compiled = compiler.compile(&root).map_err(|e| format!("{program}: {e}"))?;
    Ok(compiled.to_string())
}

/// Finds the modules of one program.
struct Shaders {
    program: Program,
}

impl Shaders {
    fn source(&self, path: &[String]) -> Option<Cow<'static, str>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["kernel"] => find(KERNELS, self.program.kernel).map(Cow::Borrowed),
            ["weights"] => find(WEIGHTS, self.program.weights).map(Cow::Borrowed),
            ["shared", name] => find(SHARED, name).map(Cow::Borrowed),
            ["constants"] => Some(Cow::Owned(
                self.program.constants().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")).collect(),
            )),
            _ => None,
        }
    }
}

impl wesl::Resolver for Shaders {
    fn resolve_source<'a>(&'a self, path: &ModulePath) -> Result<Cow<'a, str>, wesl::ResolveError> {
        self.source(&path.components)
            .ok_or_else(|| wesl::ResolveError::ModuleNotFound(path.clone(), "no such shader module".into()))
    }
}
