//! `wgpt verify -m` and the comparison behind it: sound models pass, and what is wrong is found where it is.

use std::path::{Path, PathBuf};

use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;
use wgpt::formats::Checkpoint;
use wgpt::kernels::kv_cache::KvType;
use wgpt::kernels::{Choices, Selection, linear};
use wgpt::recording::{
    BufferId, Dispatch, ExecutionError, Executor, MemoryLimits, Prepared, Recording, Requirement, Slice, Texel,
};
use wgpt::reference::ReferenceExecutor;
use wgpt::verify::model::{ModelCheckError, ModelReport, Parting, Progress, Settings, check};

use crate::support::command::{chat_model, has_device, wgpt};
use crate::support::damage::chat_model_with;
use crate::support::models::{gpu, oracle};
use crate::support::notice::notice;

/// Longer than a step of the comparison, and than a page of the cache.
const PROMPT: usize = 70;
const FORCED: usize = 5;

fn settings(selection: Selection, kv_type: KvType) -> Settings {
    // Any tokens do; these are in every tiny vocabulary.
    let prompt = (0..PROMPT as u32).map(|i| 4 + i * 37 % 90).collect();
    Settings { prompt, forced_tokens: FORCED, kv_type, selection }
}

fn compare(executor: &mut dyn Executor, model: &Path, against: &Path, settings: &Settings) -> ModelReport {
    let [model, against] = [model, against].map(|path| Checkpoint::open(path).unwrap_or_else(|e| panic!("{e}")));
    check(executor, &model, &against, settings, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

fn parting(report: ModelReport) -> Parting {
    assert!(!report.passed());
    let text = report.to_string();
    report.parting.unwrap_or_else(|| panic!("passed: {text}"))
}

/// The label of the dispatch that is to blame.
fn culprit(report: ModelReport) -> String {
    let parting = parting(report);
    match &parting.culprit {
        Some(culprit) => culprit.label.clone(),
        None => panic!("{parting}"),
    }
}

#[test]
fn sound_models_pass_on_the_gpu() {
    let mut gpu = gpu();
    let selection = gpu.selection();
    for (path, kv_type) in [
        ("tiny/chat", KvType::F32),
        ("tiny/chat", KvType::F16),
        ("tiny/gemma3", KvType::F16),
        ("tiny/gemma3", KvType::Q8_0),
        ("tiny/gguf/qwen2-mixed.gguf", KvType::F16),
    ] {
        let path = oracle(path);
        let report = compare(&mut *gpu, &path, &path, &settings(selection, kv_type));
        assert!(report.passed(), "{}: {report}{}", path.display(), report.parting.as_ref().expect("a reason"));
        assert_eq!((report.prompt_tokens, report.forced.tokens), (PROMPT, FORCED));
        let layers: Vec<_> = report.layers.iter().map(|line| line.layer).collect();
        assert_eq!(layers[..2], [None, Some(0)]);
        assert!(report.worst_layer().nmse > 0.0, "not one rounding differs: {report}");
    }
}

/// Both sides round the activations, each its own.
#[test]
fn sound_models_pass_with_products_of_packed_bytes() {
    sound_models_pass_with("linear.decode=matvec_dot4,linear.prefill=matmul_dot4_64");
}

#[test]
fn sound_models_pass_with_products_of_lanes_in_whole_numbers() {
    if !gpu().info().facts().meet(Requirement::EightLanes) {
        return notice("SKIPPED: no products of lanes in whole numbers: no adapter of eight lanes");
    }
    sound_models_pass_with("linear.decode=matvec_lanes_q8,linear.prefill=matvec_lanes_q8");
}

fn sound_models_pass_with(variants: &str) {
    let mut gpu = gpu();
    let mut choices = Choices::for_adapter(&gpu.info().facts());
    choices.force(&variants.parse().expect("variants")).expect("run here");
    for path in ["tiny/gguf/smollm2-q4_1.gguf", "tiny/gguf/llama-k.gguf"] {
        let path = oracle(path);
        let report = compare(&mut *gpu, &path, &path, &settings(choices.selection(), KvType::F16));
        assert!(report.passed(), "{}: {report}{}", path.display(), report.parting.as_ref().expect("a reason"));
        println!("{}: {report}", path.display());
    }
}

#[test]
fn progress_counts_the_tokens_of_prompt_and_decoding() {
    let path = chat_model();
    let checkpoint = Checkpoint::open(&path).expect("a model");
    let mut seen = Vec::new();
    let settings = settings(Selection::BASELINE, KvType::F32);
    let report = check(&mut ReferenceExecutor::new(), &checkpoint, &checkpoint, &settings, &mut |p| seen.push(p));
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.worst_layer().nmse, 0.0, "the reference against itself");
    // A token alone is attended to in parts of its keys, whose sums are rounded to f32 in between.
    assert!(report.forced.worst_kl < 1e-12, "the reference against itself: {}", report.forced.worst_kl);
    assert!(matches!(seen[0], Progress::Loading { .. }));
    assert_eq!(seen.last(), Some(&Progress::Tokens { done: PROMPT + FORCED, total: PROMPT + FORCED }));
}

/// The reference in the role of the device, which makes it quick.
fn against_the_sound_one(damaged: &TempDir) -> ModelReport {
    let mut executor = ReferenceExecutor::new();
    compare(&mut executor, damaged.path(), &chat_model(), &settings(Selection::BASELINE, KvType::F16))
}

/// One element of one tensor differs.
#[test]
fn a_damaged_tensor_is_pinned_to_the_dispatch_that_reads_it() {
    for (tensor, label) in [
        ("model.embed_tokens.weight", "embed"),
        ("model.layers.0.input_layernorm.weight", "layer 0 attn_norm"),
        ("model.layers.0.self_attn.k_proj.weight", "layer 0 attn_qkv"),
        ("model.layers.1.self_attn.o_proj.weight", "layer 1 attn_output"),
        ("model.layers.1.mlp.gate_proj.weight", "layer 1 ffn_gate_up"),
        ("model.layers.1.mlp.down_proj.weight", "layer 1 ffn_down"),
        // The product of the last row takes a half of the norm behind it.
        ("model.norm.weight", "layer 1 ffn_down"),
    ] {
        // In row 4 of a matrix: the embedding of the prompt's first token.
        let element = if tensor.ends_with("norm.weight") { 4 } else { 4 * 64 + 7 };
        let damaged = chat_model_with(&[(tensor, &|index, value| if index == element { value + 8.0 } else { value })]);
        let report = against_the_sound_one(&damaged);
        if tensor == "model.norm.weight" {
            // Whichever dispatch takes the norm's weights, they are not in the residual stream.
            assert!(report.layers.iter().all(|line| line.distance.nmse == 0.0), "{report}");
        }
        assert_eq!(culprit(report), label);
    }
}

#[test]
fn a_damaged_tensor_is_found_on_the_gpu() {
    let damaged = chat_model_with(&[("model.layers.1.mlp.up_proj.weight", &|_, value| -value)]);
    let mut gpu = gpu();
    let settings = settings(gpu.selection(), KvType::F16);
    assert_eq!(culprit(compare(&mut *gpu, damaged.path(), &chat_model(), &settings)), "layer 1 ffn_gate_up");
}

/// Which dispatches a [`Faulty`] executor gets wrong.
type IsWrong = fn(&Dispatch) -> bool;

/// An executor of which some dispatches write a wrong number.
struct Faulty<'e> {
    inner: &'e mut dyn Executor,
    is_wrong: IsWrong,
    /// Wrong only in recordings of at least so many dispatches.
    at_least: usize,
    prepared: Vec<Recording>,
}

impl<'e> Faulty<'e> {
    fn new(inner: &'e mut dyn Executor, is_wrong: IsWrong) -> Faulty<'e> {
        Faulty { inner, is_wrong, at_least: 0, prepared: Vec::new() }
    }

    /// Changes the first word that the dispatch writes: a bit of an exponent, and of a token the lowest.
    fn spoil(&mut self, dispatch: &Dispatch) -> Result<(), ExecutionError> {
        let output = dispatch.outputs().next().expect("an output");
        let mut word = [0u8; 4];
        self.inner.read(output, &mut word)?;
        word[if dispatch.program.kernel == "argmax" { 0 } else { 3 }] ^= 1;
        self.inner.write(output, &word)
    }
}

impl Executor for Faulty<'_> {
    fn memory_limits(&self) -> MemoryLimits {
        self.inner.memory_limits()
    }
    fn allocate(&mut self, what: &str, size: u64) -> Result<BufferId, ExecutionError> {
        self.inner.allocate(what, size)
    }
    fn allocate_texels(&mut self, what: &str, size: u64, texel: Texel) -> Result<BufferId, ExecutionError> {
        self.inner.allocate_texels(what, size, texel)
    }
    fn write(&mut self, slice: Slice, bytes: &[u8]) -> Result<(), ExecutionError> {
        self.inner.write(slice, bytes)
    }
    fn flush(&mut self) -> Result<(), ExecutionError> {
        self.inner.flush()
    }
    fn prepare(&mut self, recording: &Recording) -> Result<Prepared, ExecutionError> {
        self.prepared.push(recording.clone());
        Ok(Prepared(self.prepared.len() as u64 - 1))
    }
    fn run(&mut self, prepared: Prepared) -> Result<(), ExecutionError> {
        let recording = self.prepared[prepared.0 as usize].clone();
        let all = recording.dispatches.len();
        let mut start = 0;
        for (index, dispatch) in recording.dispatches.iter().enumerate() {
            if all >= self.at_least && (self.is_wrong)(dispatch) {
                self.inner.run_once(&recording.part(start..index + 1))?;
                self.spoil(dispatch)?;
                start = index + 1;
            }
        }
        self.inner.run_once(&recording.part(start..all))
    }
    // A comparison takes its steps one at a time.
    fn run_keeping(&mut self, prepared: Prepared, _: Slice) -> Result<(), ExecutionError> {
        panic!("step {prepared:?} was to run ahead")
    }
    fn collect(&mut self, _: &mut [u8]) -> Result<(), ExecutionError> {
        panic!("a step was to be collected, and none ran ahead")
    }
    fn forget_kept(&mut self) {}
    fn discard(&mut self, _: Prepared) {}
    fn read(&mut self, slice: Slice, out: &mut [u8]) -> Result<(), ExecutionError> {
        self.inner.read(slice, out)
    }
}

fn is(dispatch: &Dispatch, layer: Option<u32>, what: &str) -> bool {
    dispatch.label.layer == layer && dispatch.label.what == what
}

fn with_fault(is_wrong: IsWrong) -> ModelReport {
    let mut reference = ReferenceExecutor::new();
    let mut faulty = Faulty::new(&mut reference, is_wrong);
    compare(&mut faulty, &chat_model(), &chat_model(), &settings(Selection::BASELINE, KvType::F32))
}

#[test]
fn a_wrong_kernel_is_pinned_to_its_first_dispatch() {
    // Out of place and in place; and of several that are wrong, the first.
    let cases: [(IsWrong, &str); 6] = [
        (|d| is(d, Some(1), "ffn_gate_up"), "layer 1 ffn_gate_up"),
        (|d| is(d, Some(0), "rope_append"), "layer 0 rope_append"),
        (|d| is(d, Some(0), "residual + next norm"), "layer 0 residual + next norm"),
        (|d| is(d, None, "output"), "output"),
        (|d| d.program.kernel == "residual_norm" && d.label.layer == Some(0), "layer 0 residual + ffn_norm"),
        (|d| d.program.kernel == "rms_norm", "layer 0 attn_norm"),
    ];
    for (is_wrong, label) in cases {
        let parting = parting(with_fault(is_wrong));
        assert!(!parting.decoding, "{parting}");
        assert_eq!(parting.culprit.as_ref().map(|culprit| culprit.label.as_str()), Some(label), "{parting}");
        assert!(parting.to_string().contains(&format!("{label} (")), "{parting}");
    }
}

#[test]
fn a_kernel_that_is_wrong_on_the_gpu_is_pinned_too() {
    let mut gpu = gpu();
    let settings = settings(gpu.selection(), KvType::F16);
    let mut faulty = Faulty::new(&mut *gpu, |d| is(d, Some(0), "attention"));
    let report = compare(&mut faulty, &chat_model(), &chat_model(), &settings);
    assert_eq!(culprit(report), "layer 0 attention");
}

#[test]
fn a_kernel_that_is_wrong_for_single_tokens_is_found_by_the_decoding() {
    fn rows(d: &Dispatch) -> Option<u32> {
        (d.program.kernel == "matvec").then(|| d.params::<linear::Params>().m)
    }
    let report = with_fault(|d| is(d, Some(0), "ffn_down") && rows(d) == Some(1));
    assert!(report.layers.iter().all(|line| line.distance.nmse == 0.0), "the prompt is sound: {report}");
    assert!(report.forced.worst_kl > 0.0);
    let parting = parting(report);
    assert!(parting.decoding && parting.positions.start >= PROMPT && parting.positions.len() == 1, "{parting}");
    assert_eq!(parting.culprit.expect("a culprit").label, "layer 0 ffn_down");
}

#[test]
fn a_token_that_is_not_the_best_is_the_choice_of_argmax() {
    assert_eq!(culprit(with_fault(|d| d.program.kernel == "argmax")), "argmax");
}

/// As where a driver lets a dispatch begin before the one before it has ended.
#[test]
fn what_goes_wrong_only_in_company_is_blamed_on_no_dispatch() {
    let mut reference = ReferenceExecutor::new();
    let mut faulty = Faulty::new(&mut reference, |d| is(d, Some(1), "ffn_gate_up"));
    faulty.at_least = 2;
    let report = compare(&mut faulty, &chat_model(), &chat_model(), &settings(Selection::BASELINE, KvType::F32));
    let parting = parting(report);
    assert!(parting.culprit.is_none() && parting.to_string().contains("right by itself"), "{parting}");
}

#[test]
fn numbers_that_end_on_both_sides_are_the_files_fault() {
    let damaged = chat_model_with(&[("model.layers.1.mlp.up_proj.weight", &|_, _| 3.3e38)]);
    let mut executor = ReferenceExecutor::new();
    let settings = settings(Selection::BASELINE, KvType::F32);
    let report = compare(&mut executor, damaged.path(), damaged.path(), &settings);
    assert_eq!(report.forced.tokens, 0, "there is no token to go on with");
    let parting = parting(report);
    assert!(parting.culprit.is_none(), "{parting}");
    let text = parting.to_string();
    assert!(text.contains("both compute") && text.contains("layer 1 ffn_gate_up"), "{text}");
}

#[test]
fn models_that_cannot_be_compared_are_refused() {
    let refused = |model: PathBuf, against: PathBuf, settings: &Settings| {
        let [model, against] = [model, against].map(|path| Checkpoint::open(&path).expect("a model"));
        let result = check(&mut ReferenceExecutor::new(), &model, &against, settings, &mut |_| {});
        result.map(|report| report.passed()).expect_err("refused")
    };
    let settings = settings(Selection::BASELINE, KvType::F32);
    let error = refused(oracle("tiny/llama3"), oracle("tiny/qwen2"), &settings);
    assert!(matches!(error, ModelCheckError::Unlike(_)), "{error}");
    let error = refused(oracle("tiny/gemma3"), oracle("tiny/gemma3-bf16"), &settings);
    assert!(matches!(error, ModelCheckError::Unlike(_)), "{error}");
    let error = refused(chat_model(), chat_model(), &Settings { prompt: vec![], ..settings.clone() });
    assert!(matches!(error, ModelCheckError::EmptyPrompt), "{error}");
    let error = refused(chat_model(), chat_model(), &Settings { forced_tokens: 1 << 20, ..settings.clone() });
    assert!(matches!(error, ModelCheckError::TooLong { .. }), "{error}");
    let error = refused(chat_model(), chat_model(), &Settings { prompt: vec![400], ..settings });
    assert!(error.to_string().contains("token 400"), "{error}");
}

mod command {
    use super::*;

    #[test]
    fn a_sound_model_passes_as_a_table_and_as_json() {
        if !has_device() {
            return;
        }
        let model = chat_model();
        let model = model.to_str().expect("UTF-8");
        let table = wgpt(&["verify", "-m", model, "-p", "What is a GPU?", "-n", "8"]).assert().success();
        let table = String::from_utf8(table.get_output().stdout.clone()).expect("UTF-8");
        for text in
            ["layer 1 ", "the logits", "8 forced tokens: the most likely next token is the same 8 times", "passed"]
        {
            assert!(table.contains(text), "{text}: {table}");
        }
        let output = wgpt(&["verify", "-m", model, "-n", "3", "--kv-type", "f32", "--json"]).assert().success();
        let object: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
        assert_eq!((&object["passed"], &object["parting"]), (&Value::from(true), &Value::Null));
        assert_eq!(
            (&object["report"]["forced"]["tokens"], &object["report"]["forced"]["same_top"]),
            (&3.into(), &3.into())
        );
        assert_eq!(object["report"]["layers"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_damaged_copy_fails_and_the_tensors_dispatch_is_named() {
        if !has_device() {
            return;
        }
        let damaged = chat_model_with(&[("model.layers.1.mlp.down_proj.weight", &|_, value| value + 1.0)]);
        let (model, sound) = (damaged.path().to_str().expect("UTF-8"), chat_model());
        let sound = sound.to_str().expect("UTF-8");
        let assert = wgpt(&["verify", "-m", model, "--against", sound, "-n", "4"]).assert();
        assert.code(1).stdout(contains("layer 1 ffn_down")).stderr(contains("layer 1 ffn_down"));
    }

    #[test]
    fn flags_of_the_other_kind_of_check_are_wrong_usage() {
        for arguments in
            [&["-m", "x", "--kernel", "gather_rows"][..], &["-m", "x", "--all"], &["--against", "x"], &["-p", "x"]]
        {
            wgpt(&[&["verify"], arguments].concat()).assert().code(2).stdout("");
        }
    }
}
