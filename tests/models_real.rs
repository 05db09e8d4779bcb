//! Real models against transformers in float32 on the same file: greedy tokens, and the logits of the last prompt token.
//!
//! The default model is always there (`scripts/test.sh` fetches it); the others are looked for in the folder that
//! `WGPT_TEST_MODELS` names, as GGUF files, and below `hf/` as the Hugging Face folders that
//! `tests/oracle/make_real_goldens.py --export` writes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use wgpt::engine::{Engine, EngineOptions, GenerationRequest, KvType, sampler::SamplingOptions};
use wgpt::recording::Requirement;

use crate::support::command::wgpt;
use crate::support::models::{Runner, gpu, oracle};
use crate::support::notice::notice;

/// Logits have a standard deviation of 2 to 5. The reference keeps its cache in f32; over 30 layers float32 rounding alone
/// moves a logit by some 1e-3, and this allows for it tenfold.
const TOLERANCE: f32 = 2e-2;

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    prompt_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    greedy_gaps: Vec<f32>,
    last_row: LastRow,
}

#[derive(Deserialize)]
struct LastRow {
    top_ids: Vec<usize>,
    top_logits: Vec<f32>,
    mean: f64,
    logsumexp: f64,
}

fn goldens(name: &str) -> Vec<Golden> {
    let path = oracle("real").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn check_greedy(path: &Path, name: &str) {
    let options = EngineOptions { kv_type: KvType::F32, context: Some(128), ..EngineOptions::default() };
    let mut engine = Engine::load(path, &options, &mut |_| {}).unwrap_or_else(|e| panic!("{name}: {e}"));
    for golden in goldens(name) {
        let ids = engine.tokenizer().encode(&golden.prompt, true).expect("the prompt encodes");
        assert_eq!(ids, golden.prompt_ids, "{name}: the tokens of {:?}", golden.prompt);
        let request = GenerationRequest {
            prompt: golden.prompt.clone(),
            add_special: true,
            max_new_tokens: Some(golden.greedy_ids.len() as u32),
            sampling: SamplingOptions::greedy(),
            ..GenerationRequest::default()
        };
        let generation = engine
            .generate(&request, &mut |_| std::ops::ControlFlow::Continue(()))
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let parting = generation.token_ids.iter().zip(&golden.greedy_ids).position(|(a, b)| a != b);
        if let Some(step) = parting {
            let gap = golden.greedy_gaps[step];
            assert!(
                gap <= 2.0 * TOLERANCE,
                "{name}, {:?}: token {step} is {}, not {}, where the reference's two best are {gap} apart",
                golden.prompt,
                generation.token_ids[step],
                golden.greedy_ids[step]
            );
            eprintln!("{name}, {:?}: parts at token {step}, at a gap of {gap}", golden.prompt);
        } else {
            assert_eq!(generation.token_ids.len(), golden.greedy_ids.len(), "{name}: tokens generated");
        }
    }
}

fn check_logits(path: &Path, name: &str) {
    let mut gpu = gpu();
    let selection = gpu.selection();
    let mut runner = Runner::load(&mut *gpu, selection, path, KvType::F32);
    for golden in goldens(name) {
        let row = runner.chunked(0, &golden.prompt_ids, []).pop().expect("a row");
        for (id, want) in golden.last_row.top_ids.iter().zip(&golden.last_row.top_logits) {
            let got = row[*id];
            assert!((got - want).abs() <= TOLERANCE, "{name}, {:?}: logit {id} is {got}, not {want}", golden.prompt);
        }
        let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / row.len() as f64;
        let logsumexp = row.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln();
        assert!((mean - golden.last_row.mean).abs() <= f64::from(TOLERANCE), "{name}: mean {mean}");
        assert!((logsumexp - golden.last_row.logsumexp).abs() <= f64::from(TOLERANCE), "{name}: {logsumexp}");
    }
}

/// A model in the folder of real models, or a word that it was skipped.
pub fn real_model(relative: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("WGPT_TEST_MODELS") else {
        eprintln!("skipped {relative}: WGPT_TEST_MODELS names no folder of models");
        return None;
    };
    let path = Path::new(&folder).join(relative);
    if !path.exists() {
        eprintln!("skipped {relative}: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn smollm2_agrees_with_transformers() {
    let path = std::env::var_os("WGPT_TEST_MODEL").expect("WGPT_TEST_MODEL names the default model (scripts/test.sh)");
    check_greedy(Path::new(&path), "smollm2-135m-instruct-q4_1");
    check_logits(Path::new(&path), "smollm2-135m-instruct-q4_1");
}

/// What is rounded on either side decides codes of the next product: small models show little of that.
#[test]
fn smollm2_with_rounded_activations_agrees_with_the_reference() {
    let facts = gpu().info().facts();
    let (kernel, requirement) = ("matvec_lanes_q8", Requirement::EightLanes);
    if !facts.meet(requirement) {
        return notice(&format!("SKIPPED: {kernel} on a real model: no adapter of eight lanes"));
    }
    let path = std::env::var("WGPT_TEST_MODEL").expect("WGPT_TEST_MODEL names the default model (scripts/test.sh)");
    let variant = format!("linear.decode={kernel}");
    wgpt(&["verify", "-m", &path, "-p", "Why is the sky blue?", "-n", "24", "--variant", &variant]).assert().success();
}

#[test]
fn gemma3_agrees_with_transformers() {
    if let Some(path) = real_model("gemma-3-270m-q4_k_m.gguf") {
        check_greedy(&path, "gemma-3-270m-q4_k_m");
        check_logits(&path, "gemma-3-270m-q4_k_m");
    }
}

#[test]
fn qwen2_agrees_with_transformers() {
    if let Some(path) = real_model("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf") {
        check_greedy(&path, "qwen2.5-coder-0.5b-instruct-q4_k_m");
        check_logits(&path, "qwen2.5-coder-0.5b-instruct-q4_k_m");
    }
}

#[test]
fn the_same_models_as_hugging_face_folders_agree() {
    for name in ["smollm2-135m-instruct-q4_1", "gemma-3-270m-q4_k_m", "qwen2.5-coder-0.5b-instruct-q4_k_m"] {
        if let Some(path) = real_model(&format!("hf/{name}")) {
            check_greedy(&path, name);
        }
    }
}
