//! From a [`Program`] to WGSL: resolves imports, flags and constants with WESL.

use std::borrow::Cow;
use std::collections::BTreeMap;

use wesl::{CompileOptions, Feature, ModulePath, Wesl};

use crate::recording::Program;

macro_rules! sources {
    ($folder:literal, $($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../shaders/", $folder, $name, ".wgsl")))),*]
    };
}

/// Every kernel's shader, by stem.
pub const KERNELS: &[(&str, &str)] = sources!(
    "",
    "argmax",
    "attention",
    "attention_key_lanes",
    "attention_lanes",
    "attention_merge",
    "embed",
    "gated_activation",
    "gather_rows",
    "head_norm",
    "matmul",
    "matmul_coop",
    "matmul_dot4",
    "matmul_f16",
    "matmul_lanes",
    "matvec",
    "matvec_dot4",
    "matvec_lanes",
    "quantize_q8",
    "residual_norm",
    "rms_norm",
    "rope_append",
    "rope_append_q8_0",
    "run_peaks",
    "sample",
    "to_texels",
);

/// Probes of what an adapter can do, for the benchmarks: no part of the engine, and without twins. Their programs name them
/// with the folder, as `bench/read`.
const PROBES: &[(&str, &str)] = sources!("bench/", "copy", "count", "dot4_i8", "fma", "read");

/// What kernels import.
const SHARED: &[(&str, &str)] = sources!(
    "shared/",
    "activation",
    "attention_io",
    "attention_params",
    "block_weights",
    "four",
    "half_range",
    "k_scales",
    "kv_cache",
    "kv_floats",
    "linear_io",
    "logits",
    "matvec_sums",
    "planes",
    "q8_block",
    "reduce",
    "rope",
    "rotation",
    "rounded",
    "sample_edge",
    "sample_io",
    "sixteen",
    "split_norm",
    "texels",
    "unrounded",
    "weights8",
    "words8",
);

/// How each storage type is read; a kernel sees the one of its program as `package::weights`.
const WEIGHTS: &[(&str, &str)] =
    sources!("weights/", "bf16", "f16", "f32", "q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0");

/// How a lane of a CPU that emulates a GPU reads them, 64 weights at a time: `package::blocks`.
const BLOCKS: &[(&str, &str)] =
    sources!("blocks/", "bf16", "f16", "f32", "q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0");

/// How half a group of them is read as signed bytes, for products of packed bytes: `package::codes`.
const CODES: &[(&str, &str)] = sources!("codes/", "q4_0", "q4_1", "q4_k", "q5_0", "q5_1", "q5_k", "q6_k", "q8_0");

fn find(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    table.iter().find(|entry| entry.0 == name).map(|entry| entry.1)
}

/// The source that was compiled in.
fn embedded(module: &str) -> Option<&'static str> {
    match module.split_once('/') {
        None => find(KERNELS, module),
        Some(("shared", name)) => find(SHARED, name),
        Some(("weights", name)) => find(WEIGHTS, name),
        Some(("blocks", name)) => find(BLOCKS, name),
        Some(("codes", name)) => find(CODES, name),
        Some(("bench", name)) => find(PROBES, name),
        Some(_) => None,
    }
}

/// The sources that programs are made from: those that were compiled in, unless some are [replaced](Library::replace), such
/// as to try a change without a build, or to see that a planted fault is found.
///
/// A module has the name of its file in `shaders/`: `matmul`, `shared/reduce`, `weights/q4_0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Library {
    replaced: BTreeMap<String, String>,
}

/// A module that no program imports.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no shader module '{0}'; name one by its file in shaders/, such as 'matmul' or 'weights/q4_0'")]
pub struct UnknownModule(String);

impl Library {
    /// The names of all modules.
    pub fn modules() -> impl Iterator<Item = String> {
        let folders =
            [("", KERNELS), ("shared/", SHARED), ("weights/", WEIGHTS), ("blocks/", BLOCKS), ("codes/", CODES)];
        folders.into_iter().flat_map(|(folder, table)| table.iter().map(move |(name, _)| format!("{folder}{name}")))
    }

    /// The text of a module.
    pub fn source(&self, module: &str) -> Option<&str> {
        self.replaced.get(module).map(String::as_str).or_else(|| embedded(module))
    }

    /// Takes `text` for a module from now on.
    ///
    /// # Errors
    /// When there is no such module.
    pub fn replace(&mut self, module: &str, text: String) -> Result<(), UnknownModule> {
        if embedded(module).is_none() {
            return Err(UnknownModule(module.to_owned()));
        }
        self.replaced.insert(module.to_owned(), text);
        Ok(())
    }

    /// Whether every source is the one that was compiled in: the one that the tests have seen.
    pub fn is_embedded(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Compiles a program's shader to plain WGSL, with the entry point `main`.
    ///
    /// # Errors
    /// Says what WESL rejected: a mistake in a shader, which the tests find in ours.
    pub fn wgsl(&self, program: &Program) -> Result<String, String> {
        let mut compiler = Wesl::new_barebones().set_custom_resolver(Modules { library: self, program });
        // What the entry point does not use is left out: it may need what the adapter lacks.
        compiler.set_options(CompileOptions { validate: false, ..CompileOptions::default() });
        compiler.set_missing_feature_behavior(Feature::Disable);
        compiler.set_mangler(wesl::ManglerKind::Escape);
        for flag in program.flags() {
            compiler.set_feature(flag, true);
        }
        let root: ModulePath = "package::kernel".parse().map_err(|e| format!("{e:?}"))?;
        let compiled = compiler.compile(&root).map_err(|e| format!("{program}: {e}"))?;
        Ok(compiled.to_string())
    }
}

/// [`Library::wgsl`] of the sources that were compiled in.
///
/// # Errors
/// As there.
pub fn wgsl(program: &Program) -> Result<String, String> {
    Library::default().wgsl(program)
}

/// Finds the modules of one program.
struct Modules<'a> {
    library: &'a Library,
    program: &'a Program,
}

impl Modules<'_> {
    fn source(&self, path: &[String]) -> Option<Cow<'_, str>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let module = match path.as_slice() {
            ["kernel"] => self.program.kernel.to_owned(),
            ["weights"] => format!("weights/{}", self.program.weights),
            ["blocks"] => format!("blocks/{}", self.program.weights),
            ["codes"] => format!("codes/{}", self.program.weights),
            ["shared", name] => format!("shared/{name}"),
            ["constants"] => {
                let lines = self.program.constants().map(|(name, value)| format!("const {name}: u32 = {value}u;\n"));
                return Some(Cow::Owned(lines.collect()));
            }
            _ => return None,
        };
        self.library.source(&module).map(Cow::Borrowed)
    }
}

impl wesl::Resolver for Modules<'_> {
    fn resolve_source<'a>(&'a self, path: &ModulePath) -> Result<Cow<'a, str>, wesl::ResolveError> {
        self.source(&path.components)
            .ok_or_else(|| wesl::ResolveError::ModuleNotFound(path.clone(), "no such shader module".into()))
    }
}
