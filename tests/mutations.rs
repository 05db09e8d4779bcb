//! Faults planted in the shaders, one at a time: the case list of `wgpt verify` must notice each.
//!
//! A shader that is compiled for the first time takes a software adapter a second or so: minutes in all. The driver keeps
//! what it has compiled, so that later runs take half a minute.
//!
//! What is not planted, since no result would differ: a read beyond a row that is clamped only to stay within its buffer
//! and whose sum is not stored, padding against bank conflicts, a check that keeps NaN out of a weight that the smallest
//! one replaces, and a barrier that the order in which a software adapter runs its subgroups makes needless.

mod attention;
mod blocks;
mod elementwise;
mod linear;
mod packed;
mod weights;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::adapters::LAVAPIPE26;
use crate::support::notice::notice;
use wgpt::gpu::{DeviceSelector, GpuExecutor, devices};
use wgpt::kernels::shader::{self, Library};
use wgpt::recording::Program;
use wgpt::verify::{Case, Filter, Plan, Runner};

/// Names the modules, with a comma between, that faults are planted in, if not in all.
const ONLY: &str = "WGPT_TEST_MUTATED";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// What a query sees: causality and the window.
    Mask,
    /// The last elements are left out.
    Tail,
    /// An element too many is read or written.
    Bounds,
    /// A stride, an index or an order.
    Address,
    /// The wrong page of the KV cache.
    Page,
    /// The wrong head.
    Head,
    /// More workgroups than one axis of a grid holds.
    Grid,
    /// A loop that ends early.
    Loop,
    /// A barrier is left out.
    Barrier,
    /// What a value is before the first turn.
    Start,
    /// A factor or a summand that is wrong or forgotten.
    Scale,
    /// The bits of packed numbers.
    Codes,
    /// Which of equal values is chosen.
    Ties,
    /// NaN, infinity, and what overflows.
    Special,
    /// Rounding that the tolerances must not admit. Masks do it: drivers leave out a conversion to f16 and back.
    Precision,
}

/// One fault: `find` stands in its module once, and `replacement` in its place makes a shader that compiles.
struct Mutation {
    kind: Kind,
    what: &'static str,
    find: &'static str,
    replacement: &'static str,
}

const fn plant(kind: Kind, what: &'static str, find: &'static str, replacement: &'static str) -> Mutation {
    Mutation { kind, what, find, replacement }
}

/// Every module's faults.
const MUTATIONS: &[(&str, &[Mutation])] = &[
    ("argmax", elementwise::ARGMAX),
    ("attention", attention::ATTENTION),
    ("attention_key_lanes", attention::ATTENTION_KEY_LANES),
    ("attention_lanes", attention::ATTENTION_LANES),
    ("attention_merge", attention::ATTENTION_MERGE),
    ("blocks/bf16", blocks::BF16),
    ("blocks/f16", blocks::F16),
    ("blocks/f32", blocks::F32),
    ("blocks/q4_0", blocks::Q4_0),
    ("blocks/q4_1", blocks::Q4_1),
    ("blocks/q4_k", blocks::Q4_K),
    ("blocks/q5_0", blocks::Q5_0),
    ("blocks/q5_1", blocks::Q5_1),
    ("blocks/q5_k", blocks::Q5_K),
    ("blocks/q6_k", blocks::Q6_K),
    ("blocks/q8_0", blocks::Q8_0),
    ("codes/q4_0", packed::Q4_0),
    ("codes/q4_1", packed::Q4_1),
    ("codes/q4_k", packed::Q4_K),
    ("codes/q5_0", packed::Q5_0),
    ("codes/q5_1", packed::Q5_1),
    ("codes/q5_k", packed::Q5_K),
    ("codes/q6_k", packed::Q6_K),
    ("codes/q8_0", packed::Q8_0),
    ("embed", elementwise::EMBED),
    ("gated_activation", elementwise::GATED_ACTIVATION),
    ("gather_rows", elementwise::GATHER_ROWS),
    ("head_norm", elementwise::HEAD_NORM),
    ("matmul", linear::MATMUL),
    ("matmul_coop", linear::MATMUL_COOP),
    ("matmul_dot4", packed::MATMUL_DOT4),
    ("matmul_f16", linear::MATMUL_F16),
    ("matmul_lanes", linear::MATMUL_LANES),
    ("matvec", linear::MATVEC),
    ("matvec_dot4", packed::MATVEC_DOT4),
    ("matvec_lanes", linear::MATVEC_LANES),
    ("quantize_q8", elementwise::QUANTIZE_Q8),
    ("residual_norm", elementwise::RESIDUAL_NORM),
    ("rms_norm", elementwise::RMS_NORM),
    ("rope_append", elementwise::ROPE_APPEND),
    ("rope_append_q8_0", elementwise::ROPE_APPEND_Q8_0),
    ("run_peaks", elementwise::RUN_PEAKS),
    ("sample", elementwise::SAMPLE),
    ("to_texels", elementwise::TO_TEXELS),
    ("shared/activation", elementwise::ACTIVATION),
    ("shared/attention_io", attention::ATTENTION_IO),
    ("shared/attention_params", attention::ATTENTION_PARAMS),
    ("shared/block_weights", blocks::BLOCK_WEIGHTS),
    ("shared/four", elementwise::FOUR),
    ("shared/half_range", linear::HALF_RANGE),
    ("shared/k_scales", weights::K_SCALES),
    ("shared/kv_cache", attention::KV_CACHE),
    ("shared/kv_floats", attention::KV_FLOATS),
    ("shared/linear_io", linear::LINEAR_IO),
    ("shared/logits", elementwise::LOGITS),
    ("shared/matvec_sums", linear::MATVEC_SUMS),
    ("shared/planes", blocks::PLANES),
    ("shared/q8_block", elementwise::Q8_BLOCK),
    ("shared/reduce", elementwise::REDUCE),
    ("shared/rope", elementwise::ROPE),
    ("shared/rotation", elementwise::ROTATION),
    ("shared/rounded", linear::ROUNDED),
    ("shared/sample_edge", elementwise::SAMPLE_EDGE),
    ("shared/sample_io", elementwise::SAMPLE_IO),
    ("shared/sixteen", packed::SIXTEEN),
    ("shared/split_norm", linear::SPLIT_NORM),
    ("shared/texels", blocks::TEXELS),
    ("shared/unrounded", linear::UNROUNDED),
    ("shared/weights8", weights::WEIGHTS8),
    ("shared/words8", blocks::WORDS8),
    ("weights/bf16", weights::BF16),
    ("weights/f16", weights::F16),
    ("weights/f32", weights::F32),
    ("weights/q4_0", weights::Q4_0),
    ("weights/q4_1", weights::Q4_1),
    ("weights/q4_k", weights::Q4_K),
    ("weights/q5_0", weights::Q5_0),
    ("weights/q5_1", weights::Q5_1),
    ("weights/q5_k", weights::Q5_K),
    ("weights/q6_k", weights::Q6_K),
    ("weights/q8_0", weights::Q8_0),
];

impl Mutation {
    /// The sources with this fault in the module.
    fn library(&self, module: &str) -> Result<Library, String> {
        let mut library = Library::default();
        let text = library.source(module).ok_or("there is no such module")?.to_owned();
        match text.matches(self.find).count() {
            1 => library.replace(module, text.replace(self.find, self.replacement)).map_err(|e| e.to_string())?,
            places => return Err(format!("'{}' stands in the shader {places} times, not once", self.find)),
        }
        Ok(library)
    }
}

#[test]
fn every_shader_module_has_mutations() {
    let counts: BTreeMap<_, _> = MUTATIONS.iter().map(|(module, list)| ((*module).to_owned(), list.len())).collect();
    assert_eq!(counts.len(), MUTATIONS.len(), "a module stands in the table twice");
    for module in Library::modules() {
        let least = if module.contains('/') { 1 } else { 3 };
        let count = counts.get(&module).copied().unwrap_or(0);
        assert!(count >= least, "{module} has {count} mutations and needs {least}");
    }
}

#[test]
fn verify_catches_every_mutation() {
    let Some(selector) = software_device() else {
        println!("skipped: mutations need a software adapter, whose results are the same in every run");
        return;
    };
    let programs = programs(&selector);
    let only = std::env::var(ONLY).unwrap_or_default();
    let wanted = MUTATIONS.iter().filter(|(module, _)| only.is_empty() || only.split(',').any(|name| name == *module));
    let runs = |module: &str| programs.iter().any(|checked| may_import(&checked.program, module));
    let (planted, unreached): (Vec<_>, Vec<_>) = wanted.partition(|(module, _)| runs(module));
    for (module, list) in unreached {
        notice(&format!("SKIPPED: no program of this device has {module}: {} faults are not planted", list.len()));
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        while let Some((module, list)) = planted.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Buffers are freed with their device, at the end of the module.
            let mut executor = open(&selector);
            for mutation in *list {
                let began = Instant::now();
                let verdict = try_out(mutation, module, &mut executor, &programs);
                let seconds = began.elapsed().as_secs_f32();
                match &verdict {
                    Ok(how) => println!("{seconds:.2} s: {module}: {}: caught by {how}", mutation.what),
                    Err(why) => println!("{seconds:.2} s: {module}: {}: NOT CAUGHT: {why}", mutation.what),
                }
                results.push((*module, mutation, verdict));
            }
        }
        results
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });

    let mut kinds: BTreeMap<Kind, (usize, usize)> = BTreeMap::new();
    let mut uncaught = Vec::new();
    for (module, mutation, verdict) in &results {
        let (caught, all) = kinds.entry(mutation.kind).or_default();
        *all += 1;
        match verdict {
            Ok(_) => *caught += 1,
            Err(problem) => uncaught.push(format!("{module}: {}: {problem}", mutation.what)),
        }
    }
    kinds.iter().for_each(|(kind, (caught, all))| println!("{kind:?}: {caught} of {all}"));
    println!("{} of {} mutations caught", results.len() - uncaught.len(), results.len());
    assert!(uncaught.is_empty(), "{} mutations were not caught:\n{}", uncaught.len(), uncaught.join("\n"));
}

#[test]
fn verify_catches_every_mutation_of_products_on_matrix_units() {
    let Some(starter) = std::env::var_os(LAVAPIPE26).filter(|path| !path.is_empty()) else {
        return notice(&format!("SKIPPED: {LAVAPIPE26} names no starter with Mesa 26's lavapipe: its faults"));
    };
    let output = Command::new(starter)
        .arg(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "mutations::verify_catches_every_mutation", "--nocapture"])
        .env(ONLY, "matmul_coop")
        .env_remove(LAVAPIPE26)
        .output()
        .expect("the test starts again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}{err}");
    assert!(output.status.success() && !err.contains("SKIPPED"), "{out}{err}");
}

/// The software adapter that runs the most cases, if there is one.
fn software_device() -> Option<DeviceSelector> {
    let usable = devices().into_iter().filter(|device| device.usable && device.is_software());
    let selectors = usable.map(|device| DeviceSelector { device: Some(device.index.to_string()), backend: None });
    selectors.max_by_key(|selector| plan(selector).cases.len())
}

fn open(selector: &DeviceSelector) -> GpuExecutor {
    GpuExecutor::open(selector).unwrap_or_else(|e| panic!("{e}"))
}

/// A program and its cases, small ones first.
struct Checked {
    program: Program,
    /// Without a fault.
    wgsl: String,
    cases: Vec<Case>,
}

/// The programs of what `wgpt verify` runs on the device, then those of what it runs with `--all` only.
fn programs(selector: &DeviceSelector) -> Vec<Checked> {
    let Plan { cases, left_out } = plan(selector);
    let mut programs = by_program(cases);
    programs.extend(by_program(left_out));
    programs
}

fn plan(selector: &DeviceSelector) -> Plan {
    Plan::new(&open(selector).selection(), true, &Filter::default())
}

/// Compiling is what takes time: programs with several cases come first, and of those the shorter shaders.
fn by_program(mut cases: Vec<Case>) -> Vec<Checked> {
    cases.sort_by_cached_key(|case| case.tensors().iter().map(|tensor| tensor.words.len()).sum::<usize>());
    let mut programs: Vec<Checked> = Vec::new();
    for case in cases {
        match programs.iter_mut().find(|checked| checked.program == case.program) {
            Some(checked) => checked.cases.push(case),
            None => {
                let wgsl = shader::wgsl(&case.program).unwrap_or_else(|e| panic!("{e}"));
                programs.push(Checked { program: case.program, wgsl, cases: vec![case] });
            }
        }
    }
    programs
        .sort_by_key(|checked| (Reverse(checked.cases.len().min(3)), checked.wgsl.len(), Reverse(checked.cases.len())));
    programs
}

/// Runs the cases of the programs that have the fault until one fails, and says which did and how; or else why none did.
fn try_out(
    mutation: &Mutation,
    module: &str,
    executor: &mut GpuExecutor,
    programs: &[Checked],
) -> Result<String, String> {
    let library = mutation.library(module)?;
    executor.use_shaders(library.clone());
    let mut runner = Runner::new(executor);
    let mut passed = 0;
    for checked in programs.iter().filter(|checked| may_import(&checked.program, module)) {
        // Flags may leave the fault out.
        if library.wgsl(&checked.program)? == checked.wgsl {
            continue;
        }
        for case in &checked.cases {
            let outcome = runner.run(case).map_err(|e| format!("{case}: {e}"))?;
            if let Some(fault) = outcome.faults.first() {
                return Ok(format!("{}: {fault}", case.name()));
            }
            passed += 1;
        }
    }
    Err(format!("{passed} cases passed"))
}

/// Whether a program could import a module: quicker to see than what its shader comes to.
fn may_import(program: &Program, module: &str) -> bool {
    let [weights, blocks, codes] = ["weights", "blocks", "codes"].map(|folder| format!("{folder}/{}", program.weights));
    [program.kernel, &weights, &blocks, &codes].into_iter().any(|from| reaches(from, module))
}

/// Whether a module is the other, or imports it, or what it imports does.
fn reaches(from: &str, module: &str) -> bool {
    let library = Library::default();
    from == module
        || library.source(from).is_some_and(|text| {
            let imports = text.split("import package::shared::").skip(1).filter_map(|rest| rest.split("::").next());
            imports.into_iter().any(|name| reaches(&format!("shared/{name}"), module))
        })
}
