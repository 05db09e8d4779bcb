//! Tiny models of every family against transformers: logits of all positions, on the GPU and on the reference.

use std::path::{Path, PathBuf};

use wgpt::formats::Checkpoint;
use wgpt::kernels::kv_cache::KvType;
use wgpt::kernels::{Choices, Role, Selection};

use wgpt::model::{Config, Model, ModelError, ModelOptions};
use wgpt::recording::{ExecutionError, Executor, MemoryLimits, Requirement};

use crate::support::instrumented::{Call, Instrumented, Probe};
use crate::support::models::{Expected, Room, Runner, gpu, largest_difference, oracle, reference};
use crate::support::notice::notice;

/// Logits have a standard deviation of 1 to 2.3 and float32 itself stands within 2e-5 of float64 on these models.
const TOLERANCE_F32: f32 = 5e-4;
/// An f16 has 11 bits: keys and values are off by up to 5e-4 of themselves.
const TOLERANCE_F16_CACHE: f32 = 2e-2;
/// A code is off by up to half of a 127th of its block's largest element.
const TOLERANCE_Q8_0_CACHE: f32 = 0.2;

/// So are activations that are rounded for products of packed bytes, in every layer, the head's too.
const TOLERANCE_ROUNDED: f32 = 0.5;
/// How far transformers moves when it rounds alike (`oracle/rounded.py`). A code that falls to the other side moves it further.
const ROUNDED_BY_TRANSFORMERS: f32 = 0.32385;

const FOLDERS: [&str; 13] = [
    "llama2",
    "llama3",
    "smollm2",
    "mistral",
    "mistral-nemo",
    "qwen2",
    "qwen3",
    "gemma3",
    "gemma3-linear",
    "llama3-bf16",
    "gemma3-bf16",
    "qwen2-f16",
    "mistral-sharded",
];

const GGUFS: [(&str, &str); 7] = [
    ("llama3-f32.gguf", "llama3-f32"),
    ("llama3-q8_0-split-00001-of-00003.gguf", "llama3-q8_0-split"),
    ("smollm2-q4_1.gguf", "smollm2-q4_1"),
    ("llama-k.gguf", "llama-k"),
    ("qwen2-mixed.gguf", "qwen2-mixed"),
    ("qwen3-q4_0.gguf", "qwen3-q4_0"),
    ("gemma3-q5_0.gguf", "gemma3-q5_0"),
];

/// Each model's path and the file of what is expected of it.
fn models() -> Vec<(PathBuf, PathBuf)> {
    let folders = FOLDERS.map(|name| {
        let folder = oracle("tiny").join(name);
        let expected = folder.join("expected.safetensors");
        (folder, expected)
    });
    let ggufs = GGUFS.map(|(file, name)| {
        (oracle("tiny/gguf").join(file), oracle("tiny/gguf").join(format!("{name}.expected.safetensors")))
    });
    folders.into_iter().chain(ggufs).collect()
}

fn check_logits(runner: &mut Runner<'_>, expected: &Expected, tolerance: f32, what: &str) {
    for sequence in 0..3 {
        let ids = expected.ids(&format!("input_ids.{sequence}"));
        let want: Vec<Vec<f32>> = expected
            .floats(&format!("logits.{sequence}"))
            .chunks_exact(runner.model.config().vocabulary)
            .map(<[f32]>::to_vec)
            .collect();
        let got = runner.chunked(sequence, &ids, []);
        let difference = largest_difference(&got, &want);
        assert!(difference <= tolerance, "{what}, {} tokens: logits differ by {difference}", ids.len());
    }
}

fn check_greedy(runner: &mut Runner<'_>, expected: &Expected, what: &str) {
    let gaps = expected.floats("greedy.gaps");
    let want = expected.ids("greedy.ids");
    let got = runner.greedy(&expected.ids("greedy.prompt"), want.len());
    for (step, ((token, _), (want, gap))) in got.iter().zip(want.iter().zip(&gaps)).enumerate() {
        if token != want {
            // Where the two best are closer than the logits' own error, either may come.
            assert!(*gap <= 2.0 * TOLERANCE_F32, "{what}: token {step} is {token}, not {want}, at a gap of {gap}");
            return;
        }
    }
}

#[test]
fn the_gpu_agrees_with_transformers() {
    let mut gpu = gpu();
    let selection = gpu.selection();
    for (path, expected) in models() {
        let expected = Expected::open(&expected);
        let what = path.display().to_string();
        let mut runner = Runner::load(&mut *gpu, selection, &path, KvType::F32);
        check_logits(&mut runner, &expected, TOLERANCE_F32, &what);
        check_greedy(&mut runner, &expected, &what);
    }
}

#[test]
fn an_f16_cache_costs_little() {
    let mut gpu = gpu();
    let selection = gpu.selection();
    for name in ["llama3", "gemma3"] {
        let folder = oracle("tiny").join(name);
        let expected = Expected::open(&folder.join("expected.safetensors"));
        let mut runner = Runner::load(&mut *gpu, selection, &folder, KvType::F16);
        check_logits(&mut runner, &expected, TOLERANCE_F16_CACHE, name);
    }
}

#[test]
fn a_q8_0_cache_costs_more_than_an_f16_one_but_little() {
    let mut gpu = gpu();
    let selection = gpu.selection();
    let folder = oracle("tiny").join("gemma3");
    let expected = Expected::open(&folder.join("expected.safetensors"));
    let ids = expected.ids("input_ids.2");
    let mut logits = |kv_type| Runner::load(&mut *gpu, selection, &folder, kv_type).chunked(0, &ids, []);
    let [exact, half, q8] = [KvType::F32, KvType::F16, KvType::Q8_0].map(&mut logits);
    let (half, q8) = (largest_difference(&half, &exact), largest_difference(&q8, &exact));
    assert!(half < q8 && q8 <= TOLERANCE_Q8_0_CACHE, "logits differ by {half} with f16 and by {q8} with q8_0");
}

#[test]
fn products_of_packed_bytes_cost_little() {
    let packed =
        "linear.decode=matvec_dot4,linear.batch=matvec_dot4,linear.short=matmul_dot4_32,linear.prefill=matmul_dot4_64";
    rounding_costs_little(packed);
}

#[test]
fn products_of_lanes_in_whole_numbers_cost_little() {
    if !gpu().info().facts().meet(Requirement::EightLanes) {
        return notice("SKIPPED: no products of lanes in whole numbers: no adapter of eight lanes");
    }
    let all = Role::LINEAR.map(|role| format!("{role}=matvec_lanes_q8")).join(",");
    rounding_costs_little(&all);
}

fn rounding_costs_little(variants: &str) {
    let mut gpu = gpu();
    let mut choices = Choices::for_adapter(&gpu.info().facts());
    choices.force(&variants.parse().expect("variants")).expect("run here");
    // Tensors of several types, of floats among them, and rows of a group and of several.
    for (file, name) in
        [("smollm2-q4_1.gguf", "smollm2-q4_1"), ("qwen2-mixed.gguf", "qwen2-mixed"), ("llama-k.gguf", "llama-k")]
    {
        let path = oracle("tiny/gguf").join(file);
        let ids = Expected::open(&oracle("tiny/gguf").join(format!("{name}.expected.safetensors"))).ids("input_ids.2");
        let mut logits = |selection, sizes: Vec<usize>| {
            Runner::load(&mut *gpu, selection, &path, KvType::F32).chunked(0, &ids, sizes)
        };
        let exact = logits(Selection::BASELINE, vec![]);
        // In one go, and a token at a time.
        for sizes in [vec![], vec![1; ids.len()]] {
            let difference = largest_difference(&logits(choices.selection(), sizes), &exact);
            assert!((1e-4..TOLERANCE_ROUNDED).contains(&difference), "{name}: logits differ by {difference}");
            if name == "smollm2-q4_1" {
                let off = (difference - ROUNDED_BY_TRANSFORMERS).abs();
                assert!(off < 0.01, "logits differ by {difference}, and by {ROUNDED_BY_TRANSFORMERS} in transformers");
            }
        }
    }
}

#[test]
fn a_q8_0_cache_takes_17_bytes_where_an_f16_one_takes_32() {
    let folder = oracle("tiny/gemma3");
    let mut executor = reference();
    let mut bytes =
        |kv_type| Runner::load(&mut executor, Selection::BASELINE, &folder, kv_type).model.memory().kv_cache;
    let [half, q8] = [KvType::F16, KvType::Q8_0].map(&mut bytes);
    assert_eq!(32 * q8, 17 * half);
}

#[test]
fn heads_that_are_no_whole_blocks_are_refused_in_a_q8_0_cache() {
    let checkpoint = Checkpoint::open(&oracle("tiny/llama3")).expect("a checkpoint");
    let config = Config::from_checkpoint(&checkpoint).expect("a config");
    let options = ModelOptions {
        context: 16,
        sequences: 1,
        step_tokens: 16,
        logits_rows: 1,
        kv_type: KvType::Q8_0,
        selection: Selection::BASELINE,
        available_memory: None,
    };
    let error = Model::load(&mut reference(), &checkpoint, config, options, &[], &mut |_| ()).err().expect("an error");
    assert!(matches!(error, ModelError::CacheBlocks { head_dim: 16, block: 32 }), "{error}");
    assert!(error.to_string().contains("--kv-type f16"), "{error}");
}

#[test]
fn the_reference_agrees_with_transformers() {
    for (path, expected) in models() {
        let expected = Expected::open(&expected);
        let what = path.display().to_string();
        let mut executor = reference();
        let mut runner = Runner::load(&mut executor, Selection::BASELINE, &path, KvType::F32);
        check_logits(&mut runner, &expected, TOLERANCE_F32, &what);
        check_greedy(&mut runner, &expected, &what);
    }
}

/// Limits that cut the embedding and the widest matrices of the tiny models into several shards.
const NARROW: u64 = 68 * 256;

/// The GPU is as if it could bind less at once.
struct Narrow;

impl<E: Executor> Probe<E> for Narrow {
    fn limits(&self, _: MemoryLimits) -> MemoryLimits {
        MemoryLimits { max_buffer: NARROW, max_binding: NARROW, max_texels: NARROW / 16 }
    }

    fn before(&mut self, call: Call<'_>, _inner: &mut E) -> Result<(), ExecutionError> {
        match call {
            Call::Allocate { what, size } => assert!(size <= NARROW, "{what} takes {size} bytes at once"),
            Call::Prepare(recording) => {
                let embeds = recording.dispatches.iter().filter(|d| d.label.what == "embed").count();
                assert!(embeds > 1, "the embedding is in one shard");
            }
            Call::Write | Call::Flush | Call::Run(_) | Call::Read | Call::Collect => {}
        }
        Ok(())
    }
}

#[test]
fn weights_that_exceed_a_binding_are_sharded() {
    let mut gpu = gpu();
    // Tied and untied heads, biases, and odd numbers of rows a shard.
    let sharded = ["llama2", "llama3", "qwen2"];
    let is_sharded = |path: &Path| sharded.iter().any(|name| path.ends_with(name));
    for (path, expected) in models().into_iter().filter(|(path, _)| is_sharded(path)) {
        let expected = Expected::open(&expected);
        let ids = expected.ids("input_ids.1");
        let want = expected.floats("logits.1");
        // Weights in buffers, too, where the device has them in texels.
        for selection in [gpu.selection(), Selection::BASELINE] {
            let mut narrow = Instrumented { inner: &mut *gpu, probe: Narrow };
            let room = Room { context: 48, sequences: 1, step_tokens: ids.len(), logits_rows: 1 };
            let mut runner = Runner::load_with(&mut narrow, selection, &path, KvType::F32, room);
            let got = runner.last_row(&ids);
            let want = want[want.len() - got.len()..].to_vec();
            let difference = largest_difference(&[got], &[want]);
            assert!(difference <= TOLERANCE_F32, "{}: logits differ by {difference}", path.display());
        }
    }
}
