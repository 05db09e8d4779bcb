//! Model descriptions that are wrong or hostile: each is a typed error that names the culprit, never a panic. And the
//! descriptions of real families, as they are published.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use wgpt::engine::{Engine, EngineError, EngineOptions};
use wgpt::formats::gguf::{Array, Value};
use wgpt::formats::{Checkpoint, DType};
use wgpt::kernels::Selection;
use wgpt::kernels::gated_activation::Activation;
use wgpt::kernels::kv_cache::KvType;
use wgpt::kernels::rope_append::Pairing;
use wgpt::model::config::RopeScaling;
use wgpt::model::{Config, Model, ModelError, ModelOptions};
use wgpt::recording::MemoryLimits;
use wgpt::reference::ReferenceExecutor;

use crate::support::command::chat_model;
use crate::support::gguf_writer::GgufWriter;
use crate::support::models::{Runner, largest_difference, oracle, reference};

const OPTIONS: ModelOptions = ModelOptions {
    context: 128,
    sequences: 1,
    step_tokens: 32,
    logits_rows: 1,
    kv_type: KvType::F32,
    selection: Selection::BASELINE,
    available_memory: None,
};

const NO_LIMITS: MemoryLimits = MemoryLimits { max_buffer: 1 << 40, max_binding: 1 << 40, max_texels: 1 << 36 };

/// Loads a model on the reference: what `Engine::load` does, without a device.
fn load_with(path: &Path, options: ModelOptions, limits: MemoryLimits) -> Result<Model, ModelError> {
    let checkpoint = Checkpoint::open(path)?;
    let config = Config::from_checkpoint(&checkpoint)?;
    Model::load(&mut ReferenceExecutor::with_limits(limits), &checkpoint, config, options, &[], &mut |_| {})
}

fn load(path: &Path) -> Result<Model, ModelError> {
    load_with(path, OPTIONS, NO_LIMITS)
}

/// What is wrong with a result that should be an error of one line which names the culprit.
fn problem<T>(result: &Result<T, ModelError>, culprit: &str) -> Option<String> {
    let Err(error) = result else { return Some("loaded".to_owned()) };
    let text = error.to_string();
    let fine = text.contains(culprit) && text.lines().count() == 1 && text.len() < 600;
    (!fine).then(|| format!("'{text}' should name '{culprit}' in one line"))
}

fn check_error<T>(what: &str, result: Result<T, ModelError>, culprit: &str) -> ModelError {
    if let Some(problem) = problem(&result, culprit) {
        panic!("{what}: {problem}");
    }
    result.map(|_| ()).expect_err("just checked")
}

/// Checks all of a list and names all that fail.
fn check_errors<T>(cases: impl IntoIterator<Item = (String, Result<T, ModelError>, &'static str)>) {
    let problems: Vec<String> = cases
        .into_iter()
        .filter_map(|(what, result, culprit)| problem(&result, culprit).map(|problem| format!("{what}: {problem}")))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn assert_loads(what: &str, result: Result<Model, ModelError>) {
    if let Err(error) = result {
        panic!("{what}: {error}");
    }
}

mod gguf {
    use super::*;

    /// A Llama of two layers in a GGUF file, to be broken.
    #[derive(Clone)]
    struct Tiny {
        entries: Vec<(String, Value)>,
        tensors: Vec<(String, Vec<usize>, DType, Vec<u8>)>,
    }

    const VOCABULARY: usize = 48;

    impl Tiny {
        /// Heads of 8, two of them to a KV head.
        fn new(dim: usize, ffn: usize) -> Tiny {
            let heads = dim / 8;
            let kv_dim = dim / 2;
            let u32 = |value: usize| Value::U32(value as u32);
            let entries = [
                ("general.architecture", Value::String("llama".into())),
                ("llama.block_count", u32(2)),
                ("llama.context_length", u32(256)),
                ("llama.embedding_length", u32(dim)),
                ("llama.feed_forward_length", u32(ffn)),
                ("llama.attention.head_count", u32(heads)),
                ("llama.attention.head_count_kv", u32(heads / 2)),
                ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
                ("llama.rope.freq_base", Value::F32(1e4)),
            ];
            let mut tiny = Tiny {
                entries: entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                tensors: Vec::new(),
            };
            tiny.add("token_embd.weight", &[VOCABULARY, dim], DType::F32);
            for layer in 0..2 {
                let down = if ffn.is_multiple_of(256) { DType::Q4_K } else { DType::F32 };
                let key = if dim.is_multiple_of(32) { DType::Q8_0 } else { DType::F32 };
                for (name, shape, dtype) in [
                    ("attn_norm", &[dim][..], DType::F32),
                    ("attn_q", &[dim, dim], DType::F16),
                    ("attn_k", &[kv_dim, dim], key),
                    ("attn_v", &[kv_dim, dim], DType::BF16),
                    ("attn_output", &[dim, dim], DType::F32),
                    ("ffn_norm", &[dim], DType::F32),
                    ("ffn_gate", &[ffn, dim], DType::F32),
                    ("ffn_up", &[ffn, dim], DType::F32),
                    ("ffn_down", &[dim, ffn], down),
                ] {
                    tiny.add(&format!("blk.{layer}.{name}.weight"), shape, dtype);
                }
            }
            tiny.add("output_norm.weight", &[dim], DType::F32);
            tiny.add("output.weight", &[VOCABULARY, dim], DType::F32);
            tiny
        }

        /// A tensor of zeros, which are valid in every storage type.
        fn add(&mut self, name: &str, shape: &[usize], dtype: DType) {
            let bytes = dtype.bytes_of(shape.iter().product()).expect("whole blocks");
            self.tensors.push((name.to_owned(), shape.to_vec(), dtype, vec![0; bytes]));
        }

        fn set(mut self, key: &str, value: Value) -> Tiny {
            self.entries.retain(|(other, _)| other != key);
            self.entries.push((key.to_owned(), value));
            self
        }

        fn u32(self, key: &str, value: u32) -> Tiny {
            self.set(key, Value::U32(value))
        }

        fn f32(self, key: &str, value: f32) -> Tiny {
            self.set(key, Value::F32(value))
        }

        fn str(self, key: &str, value: &str) -> Tiny {
            self.set(key, Value::String(value.to_owned()))
        }

        fn without(mut self, key: &str) -> Tiny {
            self.entries.retain(|(other, _)| other != key);
            self.tensors.retain(|(other, ..)| other != key);
            self
        }

        fn reshaped(self, name: &str, shape: &[usize], dtype: DType) -> Tiny {
            let mut tiny = self.without(name);
            tiny.add(name, shape, dtype);
            tiny
        }

        /// Overwrites bytes of a tensor.
        fn patched(mut self, name: &str, offset: usize, bytes: &[u8]) -> Tiny {
            let tensor = self.tensors.iter_mut().find(|(other, ..)| other == name).expect("a tensor of that name");
            tensor.3[offset..offset + bytes.len()].copy_from_slice(bytes);
            self
        }

        fn write(&self) -> (TempDir, PathBuf) {
            let mut writer = GgufWriter::default();
            for (key, value) in &self.entries {
                writer = writer.entry(key, value);
            }
            for (name, shape, dtype, bytes) in &self.tensors {
                writer = writer.tensor(name, shape, *dtype, bytes.clone());
            }
            let folder = TempDir::new().expect("folder");
            let path = folder.path().join("tiny.gguf");
            writer.write(&path);
            (folder, path)
        }

        fn load(&self) -> Result<Model, ModelError> {
            let (_folder, path) = self.write();
            load(&path)
        }
    }

    fn tiny() -> Tiny {
        Tiny::new(64, 256)
    }

    #[test]
    fn the_unbroken_file_loads_and_gives_finite_logits() {
        let (_folder, path) = tiny().write();
        let mut executor = reference();
        let mut runner = Runner::load(&mut executor, Selection::BASELINE, &path, KvType::F32);
        assert_eq!(runner.model.config().vocabulary, VOCABULARY);
        assert!(runner.step(&[(0, &[1, 2, 3], 0)]).iter().flatten().all(|logit| logit.is_finite()));
    }

    #[test]
    fn a_file_that_shrinks_between_opening_and_loading_is_an_error() {
        let (_folder, path) = tiny().write();
        let whole = std::fs::metadata(&path).expect("a file").len();
        for len in [whole - 1, whole / 2, 1, 0] {
            let (_folder, path) = tiny().write();
            let checkpoint = Checkpoint::open(&path).expect("a model");
            let config = Config::from_checkpoint(&checkpoint).expect("a configuration");
            std::fs::OpenOptions::new().write(true).open(&path).expect("a file").set_len(len).expect("to shrink");
            let mut executor = ReferenceExecutor::with_limits(NO_LIMITS);
            let loaded = Model::load(&mut executor, &checkpoint, config, OPTIONS, &[], &mut |_| {});
            check_error("shrunk", loaded, "shrank");
        }
    }

    #[test]
    fn numbers_that_make_no_model_are_named() {
        const HEADS: &str = "llama.attention.head_count";
        const KV_HEADS: &str = "llama.attention.head_count_kv";
        const KEY: &str = "llama.attention.key_length";
        const BLOCKS: &str = "llama.block_count";
        const EPS: &str = "llama.attention.layer_norm_rms_epsilon";
        const BASE: &str = "llama.rope.freq_base";
        let cases = [
            ("no architecture", tiny().without("general.architecture"), "general.architecture"),
            ("another architecture", tiny().str("general.architecture", "rwkv7"), "'rwkv7'"),
            ("an empty architecture", tiny().str("general.architecture", ""), "architecture"),
            ("heads that do not divide", tiny().u32(HEADS, 5), HEADS),
            ("no heads", tiny().u32(HEADS, 0), "head"),
            ("heads missing", tiny().without(HEADS), HEADS),
            ("other heads", tiny().u32(HEADS, 4), "blk.0.attn_k.weight"),
            ("no KV heads", tiny().u32(KV_HEADS, 0), "KV heads"),
            ("KV heads that do not divide", tiny().u32(KV_HEADS, 3), "heads"),
            ("more KV heads than heads", tiny().u32(KV_HEADS, 16), "heads"),
            ("a head of nothing", tiny().u32(KEY, 0), "head size"),
            ("a head of 1", tiny().u32(KEY, 1), "head size"),
            ("an odd head", tiny().u32(KEY, 7), "head size"),
            ("a huge head", tiny().u32(KEY, u32::MAX), "head size"),
            ("V unlike K", tiny().u32("llama.attention.value_length", 16), "llama.attention.value_length"),
            ("a part of a head rotates", tiny().u32("llama.rope.dimension_count", 4), "llama.rope.dimension_count"),
            ("no layers", tiny().u32(BLOCKS, 0), "number of layers"),
            ("10^9 layers", tiny().u32(BLOCKS, 1_000_000_000), "number of layers"),
            ("2^32 - 1 layers", tiny().u32(BLOCKS, u32::MAX), "number of layers"),
            ("2^64 - 1 layers", tiny().set(BLOCKS, Value::U64(u64::MAX)), BLOCKS),
            ("-1 layers", tiny().set(BLOCKS, Value::I32(-1)), BLOCKS),
            ("a layer too many", tiny().u32(BLOCKS, 3), "blk.2."),
            ("a layer too few", tiny().u32(BLOCKS, 1), "blk.1."),
            ("layers in words", tiny().str(BLOCKS, "2"), BLOCKS),
            ("layers missing", tiny().without(BLOCKS), BLOCKS),
            ("half a width", tiny().f32("llama.embedding_length", 64.5), "llama.embedding_length"),
            ("no width", tiny().u32("llama.embedding_length", 0), "0"),
            ("another width", tiny().u32("llama.embedding_length", 128), "token_embd.weight"),
            ("no FFN", tiny().u32("llama.feed_forward_length", 0), "feed-forward size"),
            ("another FFN", tiny().u32("llama.feed_forward_length", 512), "blk.0.ffn_gate.weight"),
            ("no context", tiny().u32("llama.context_length", 0), "context length"),
            ("an endless context", tiny().u32("llama.context_length", u32::MAX), "context length"),
            ("a context in words", tiny().str("llama.context_length", "4k"), "llama.context_length"),
            ("epsilon 0", tiny().f32(EPS, 0.0), "epsilon"),
            ("epsilon NaN", tiny().f32(EPS, f32::NAN), "epsilon"),
            ("epsilon -1", tiny().f32(EPS, -1.0), "epsilon"),
            ("epsilon missing", tiny().without(EPS), EPS),
            ("epsilon in words", tiny().str(EPS, "1e-5"), EPS),
            ("RoPE base 0", tiny().f32(BASE, 0.0), "RoPE"),
            ("RoPE base -10000", tiny().f32(BASE, -1e4), "RoPE"),
            ("RoPE base NaN", tiny().f32(BASE, f32::NAN), "RoPE"),
            ("RoPE base infinite", tiny().f32(BASE, f32::INFINITY), "RoPE"),
            ("an unknown scaling", tiny().str("llama.rope.scaling.type", "yarn"), "'yarn'"),
            ("a factor of the attention", tiny().f32("llama.rope.scaling.attn_factor", 2.0), "attn_factor"),
            ("a soft cap", tiny().f32("llama.final_logit_softcapping", 30.0), "final_logit_softcapping"),
            ("experts", tiny().u32("llama.expert_count", 8), "a mixture of experts"),
            ("a factor without a type", tiny().f32("llama.rope.scaling.factor", 0.0), "RoPE"),
            ("a bias of the head", tiny().reshaped("output.bias", &[VOCABULARY], DType::F32), "output.bias"),
            (
                "a factor of 0",
                tiny().str("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 0.0),
                "RoPE",
            ),
        ];
        check_errors(cases.into_iter().map(|(what, broken, culprit)| (what.to_owned(), broken.load(), culprit)));
    }

    #[test]
    fn rope_factors_of_a_wrong_length_or_not_positive_are_named() {
        let with = |length: usize, values: &[f32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tiny().reshaped("rope_freqs.weight", &[length], DType::F32).patched("rope_freqs.weight", 0, &bytes)
        };
        assert_loads("ones", with(4, &[1.0; 4]).load());
        check_error("too long", with(8, &[1.0; 8]).load(), "rope_freqs.weight");
        check_error("too short", with(2, &[1.0; 2]).load(), "rope_freqs.weight");
        let bad = [f32::NAN, f32::INFINITY, 0.0, -1.0];
        check_errors(bad.map(|bad| (format!("factor {bad}"), with(4, &[1.0, bad, 1.0, 1.0]).load(), "RoPE")));
    }

    fn config(tiny: &Tiny) -> Config {
        let (_folder, path) = tiny.write();
        let checkpoint = Checkpoint::open(&path).expect("a model");
        Config::from_checkpoint(&checkpoint).unwrap_or_else(|e| panic!("{e}"))
    }

    /// As llama.cpp's `load_hparams` has it: a factor is linear unless a type is named, and the older name of it counts where
    /// there is no other.
    #[test]
    fn rope_is_scaled_as_llama_cpp_reads_it() {
        const TYPE: &str = "llama.rope.scaling.type";
        const FACTOR: &str = "llama.rope.scaling.factor";
        const OLDER: &str = "llama.rope.scale_linear";
        let linear = |factor| RopeScaling::Linear { factor };
        let factors = |tiny: Tiny| {
            let bytes = [1f32, 2.0, 4.0, 8.0].map(f32::to_le_bytes).concat();
            tiny.reshaped("rope_freqs.weight", &[4], DType::F32).patched("rope_freqs.weight", 0, &bytes)
        };
        for (tiny, expected) in [
            (tiny(), RopeScaling::None),
            (tiny().f32(FACTOR, 4.0), linear(4.0)),
            (tiny().f32(OLDER, 4.0), linear(4.0)),
            (tiny().f32(OLDER, 4.0).f32(FACTOR, 2.0), linear(2.0)),
            (tiny().str(TYPE, "linear").f32(OLDER, 4.0), linear(4.0)),
            (tiny().str(TYPE, "linear"), RopeScaling::None),
            (tiny().str(TYPE, "none").f32(OLDER, 4.0).f32(FACTOR, 4.0), RopeScaling::None),
            (factors(tiny()), RopeScaling::Factors(vec![1.0, 2.0, 4.0, 8.0])),
            (factors(tiny().f32(FACTOR, 4.0)), RopeScaling::Factors(vec![4.0, 8.0, 16.0, 32.0])),
        ] {
            assert_eq!(config(&tiny).rope.scaling, expected, "{:?}", tiny.entries);
        }
        check_error("beside factors", factors(tiny().str(TYPE, "yarn")).load(), "'yarn'");
    }

    /// As llama.cpp's `get_key_or_arr` and `set_swa_pattern` have it.
    #[test]
    fn gemma_says_which_layers_have_a_window() {
        const WINDOW: &str = "gemma3.attention.sliding_window";
        const PATTERN: &str = "gemma3.attention.sliding_window_pattern";
        let gemma = || {
            let mut tiny = tiny().str("general.architecture", "gemma3");
            tiny.entries.iter_mut().for_each(|(key, _)| *key = key.replace("llama.", "gemma3."));
            tiny.u32("gemma3.block_count", 7)
        };
        let slides = |tiny: Tiny| config(&tiny).layers.iter().map(|layer| layer.sliding).collect::<Vec<_>>();
        let every = |n: usize| (0..7).map(|layer| (layer + 1) % n != 0).collect::<Vec<_>>();
        assert_eq!(slides(gemma()), [false; 7], "no window");
        assert_eq!(slides(gemma().u32(WINDOW, 0)), [false; 7]);
        let with = || gemma().u32(WINDOW, 16);
        assert_eq!(slides(with()), every(6));
        assert_eq!(slides(with().u32(PATTERN, 2)), every(2));
        assert_eq!(slides(with().u32(PATTERN, 1)), [false; 7]);
        let flags = vec![true, false, true, true, false, false, true];
        let array = |array: Array| with().set(PATTERN, Value::Array(array));
        assert_eq!(slides(array(Array::Bool(flags.clone()))), flags);
        assert_eq!(slides(array(Array::I32(flags.iter().map(|flag| i32::from(*flag)).collect()))), flags);
        check_error("too few", array(Array::Bool(vec![true; 6])).load(), PATTERN);
        check_error("of words", array(Array::String(vec!["full".into(); 7])).load(), PATTERN);
    }

    /// Whatever a file says, a message is a line.
    #[test]
    fn a_long_value_is_named_in_short() {
        for broken in [
            tiny().set("llama.block_count", Value::Array(Array::U8(vec![7; 100_000]))),
            tiny().str("llama.block_count", &"7".repeat(100_000)),
            tiny().str("llama.rope.scaling.type", &"é".repeat(100_000)),
            tiny().str("general.architecture", &"x".repeat(100_000)),
        ] {
            let error = broken.load().map(|_| ()).expect_err("an error").to_string();
            assert!(error.len() < 400, "{} bytes", error.len());
        }
    }

    #[test]
    fn every_tensor_that_is_missing_or_of_another_shape_is_named() {
        for (name, shape, dtype, _) in tiny().tensors {
            // Without an output matrix the embedding serves as one.
            if name == "output.weight" {
                assert_loads("tied", tiny().without(&name).load());
            } else {
                check_error("missing", tiny().without(&name).load(), &name);
            }
            let flat = shape.iter().product();
            check_error("flat", tiny().reshaped(&name, &[1, 1, flat], dtype).load(), &name);
            let mut longer = shape.clone();
            longer[0] += 1;
            // The vocabulary is what the embedding has rows for, so the output is the one that differs.
            let culprit = if name == "token_embd.weight" { "output.weight" } else { name.as_str() };
            check_error("longer", tiny().reshaped(&name, &longer, dtype).load(), culprit);
        }
        let mut more = tiny();
        more.add("blk.1.attn_q_norm.weight", &[8], DType::F32);
        check_error("of no use", more.load(), "blk.1.attn_q_norm.weight");
        let turned = tiny().reshaped("blk.1.attn_v.weight", &[64, 32], DType::BF16);
        let error = check_error("turned", turned.load(), "blk.1.attn_v.weight");
        assert!(
            matches!(error, ModelError::Shape { found, expected, .. } if found == [64, 32] && expected == [32, 64])
        );
    }

    #[test]
    fn rows_that_are_no_whole_groups_of_32_are_refused() {
        let error = check_error("width 80", Tiny::new(80, 256).load(), "token_embd.weight");
        assert!(matches!(error, ModelError::RowLength { k: 80, .. }), "{error}");
        let error = check_error("FFN 80", Tiny::new(64, 80).load(), "blk.0.ffn_down.weight");
        assert!(matches!(error, ModelError::RowLength { k: 80, .. }), "{error}");
    }

    #[test]
    fn weights_that_are_not_finite_are_named() {
        const NAN_16: [u8; 2] = [0x01, 0x7e];
        const INF_16: [u8; 2] = [0x00, 0xfc];
        let (nan, inf) = (f32::NAN.to_le_bytes(), f32::INFINITY.to_le_bytes());
        // The last row's last block: 34 bytes each in Q8_0, 144 in Q4_K.
        let (key, last_key) = ("blk.1.attn_k.weight", (32 * 2 - 1) * 34);
        let (down, last_down) = ("blk.1.ffn_down.weight", 63 * 144);
        for (name, offset, bytes) in [
            (key, 0, &NAN_16[..]),
            (key, last_key, &INF_16),
            (down, 0, &NAN_16),
            (down, last_down + 2, &NAN_16),
            (down, last_down, &INF_16),
            ("blk.0.attn_q.weight", 2 * (64 * 64 - 1), &NAN_16),
            ("blk.0.attn_v.weight", 2 * (32 * 64 - 1), &[0x80, 0x7f]),
            ("blk.0.attn_norm.weight", 4 * 63, &nan),
            ("blk.1.ffn_norm.weight", 0, &inf),
            ("output_norm.weight", 0, &nan),
            ("token_embd.weight", 4 * 17, &nan),
            ("output.weight", 4 * (VOCABULARY * 64 - 1), &inf),
        ] {
            let error = check_error(name, tiny().patched(name, offset, bytes).load(), name);
            assert!(matches!(error, ModelError::NotFinite { .. }), "{error}");
        }
        // Quants are whole numbers whatever their bits, and the largest f16 is a number.
        assert_loads("large", tiny().patched(key, 2, &[0xff; 32]).patched(key, 0, &[0xff, 0x7b]).load());
    }

    #[test]
    fn a_vocabulary_beyond_the_embedding_is_named() {
        let tokens = |n: usize| Value::Array(Array::String((0..n).map(|i| format!("<{i}>")).collect()));
        let with = |n| tiny().set("tokenizer.ggml.tokens", tokens(n)).load();
        assert_loads("as many", with(VOCABULARY));
        check_error("a token too many", with(VOCABULARY + 1), "tokenizer.ggml.tokens");
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_allocated() {
        let (_folder, path) = tiny().write();
        let error = load_with(&path, ModelOptions { available_memory: Some(1000), ..OPTIONS }, NO_LIMITS);
        let error = check_error("1000 bytes", error, "memory");
        assert!(matches!(error, ModelError::OutOfMemory { .. }), "{error}");

        let limits = |max_binding| MemoryLimits { max_buffer: 1 << 30, max_binding, max_texels: max_binding / 16 };
        // 2^20 tokens of 4 KV heads of 8 in f32 take 128 MiB a layer.
        let long = ModelOptions { context: 1 << 20, ..OPTIONS };
        let error = check_error("a long context", load_with(&path, long, limits(64 << 20)), "KV cache");
        let ModelError::ContextTooLarge { possible, .. } = error else { panic!("{error}") };
        let fits = ModelOptions { context: possible, ..OPTIONS };
        assert_loads("the largest possible context", load_with(&path, fits, limits(64 << 20)));

        let wide = ModelOptions { step_tokens: 1 << 20, ..OPTIONS };
        let error = check_error("a wide step", load_with(&path, wide, limits(64 << 20)), "--chunk-size");
        let ModelError::StepTooLarge { possible, .. } = error else { panic!("{error}") };
        assert!(possible > 0 && possible < 1 << 20, "{possible}");

        let error = check_error("a tiny binding", load_with(&path, OPTIONS, limits(128)), "128");
        assert!(matches!(error, ModelError::RowTooLarge { .. }), "{error}");
        // Every matrix in many shards is no error.
        let small = ModelOptions { step_tokens: 1, context: 16, ..OPTIONS };
        assert_loads("shards", load_with(&path, small, limits(2048)));
    }
}

/// A copy of a model's folder whose `config.json` can be changed.
struct Folder {
    folder: TempDir,
    config: Json,
}

impl Folder {
    fn of(model: &Path) -> Folder {
        let folder = TempDir::new().expect("folder");
        for entry in std::fs::read_dir(model).expect("a model") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|e| e != "gguf") {
                std::fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
            }
        }
        let config = std::fs::read(model.join("config.json")).expect("config.json");
        Folder { folder, config: serde_json::from_slice(&config).expect("JSON") }
    }

    fn tiny(name: &str) -> Folder {
        Folder::of(&oracle("tiny").join(name))
    }

    /// Nothing but a description: a model without a tensor.
    fn described(config: Json) -> Folder {
        let folder = TempDir::new().expect("folder");
        let empty = [&2u64.to_le_bytes()[..], b"{}"].concat();
        std::fs::write(folder.path().join("model.safetensors"), empty).expect("written");
        Folder { folder, config }
    }

    fn set(mut self, key: &str, value: Json) -> Folder {
        self.config[key] = value;
        self
    }

    fn without(mut self, key: &str) -> Folder {
        self.config.as_object_mut().expect("an object").remove(key);
        self
    }

    fn path(&self) -> &Path {
        std::fs::write(self.folder.path().join("config.json"), self.config.to_string()).expect("written");
        self.folder.path()
    }

    fn config(&self) -> Result<Config, ModelError> {
        Config::from_checkpoint(&Checkpoint::open(self.path())?)
    }
}

mod huggingface {
    use super::*;

    fn llama() -> Folder {
        Folder::tiny("llama3")
    }

    #[test]
    fn numbers_that_make_no_model_are_named() {
        assert_loads("unchanged", load(llama().path()));
        let cases = [
            ("model_type", json!("bert"), "'bert'"),
            ("model_type", json!(null), "model_type"),
            ("model_type", json!(3), "model_type"),
            ("num_attention_heads", json!(5), "num_attention_heads"),
            ("num_attention_heads", json!(0), "heads"),
            ("num_attention_heads", json!("4"), "num_attention_heads"),
            ("num_attention_heads", json!(8), "k_proj"),
            ("num_key_value_heads", json!(0), "KV heads"),
            ("num_key_value_heads", json!(3), "heads"),
            ("num_key_value_heads", json!(1), "k_proj"),
            ("num_key_value_heads", json!([2]), "num_key_value_heads"),
            ("head_dim", json!(0), "head size"),
            ("head_dim", json!(7), "head size"),
            ("head_dim", json!(u64::MAX), "head size"),
            ("head_dim", json!(32), "q_proj"),
            ("num_hidden_layers", json!(0), "number of layers"),
            ("num_hidden_layers", json!(1_000_000_000), "number of layers"),
            ("num_hidden_layers", json!(u32::MAX), "number of layers"),
            ("num_hidden_layers", json!(u64::MAX), "number of layers"),
            ("num_hidden_layers", json!(1e300), "num_hidden_layers"),
            ("num_hidden_layers", json!(3), "layers.2."),
            ("hidden_size", json!(0), "0"),
            ("hidden_size", json!("64"), "hidden_size"),
            ("hidden_size", json!(64.5), "hidden_size"),
            ("hidden_size", json!(-64), "hidden_size"),
            ("hidden_size", json!(null), "hidden_size"),
            ("hidden_size", json!(128), "embed_tokens"),
            ("intermediate_size", json!(0), "feed-forward size"),
            ("intermediate_size", json!(97), "gate_proj"),
            ("intermediate_size", json!({}), "intermediate_size"),
            ("vocab_size", json!(161), "embed_tokens"),
            ("vocab_size", json!(0), "vocabulary size"),
            ("vocab_size", json!(u64::MAX), "vocabulary size"),
            ("max_position_embeddings", json!(0), "context length"),
            ("max_position_embeddings", json!(u64::MAX), "context length"),
            ("max_position_embeddings", json!("512"), "max_position_embeddings"),
            ("rms_norm_eps", json!(0), "epsilon"),
            ("rms_norm_eps", json!(-1e-5), "epsilon"),
            ("rms_norm_eps", json!(1e-60), "epsilon"),
            ("rms_norm_eps", json!(1e60), "epsilon"),
            ("rms_norm_eps", json!("1e-5"), "rms_norm_eps"),
            ("rope_theta", json!(0), "RoPE"),
            ("rope_theta", json!(-10000), "RoPE"),
            ("rope_theta", json!(1e60), "RoPE"),
            ("rope_theta", json!("10000"), "rope_theta"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "'yarn'"),
            ("rope_scaling", json!({"type": "dynamic", "factor": 4.0}), "'dynamic'"),
            ("rope_scaling", json!({"type": "linear"}), "rope_scaling.factor"),
            ("rope_scaling", json!({"type": "linear", "factor": "8"}), "factor"),
            ("rope_scaling", json!({"type": "linear", "factor": 0}), "RoPE"),
            ("rope_scaling", json!({"type": "linear", "factor": -2}), "RoPE"),
            ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "rope_scaling.low_freq_factor"),
            ("rope_scaling", json!("linear"), "rope_scaling"),
            ("rope_scaling", json!([8.0]), "rope_scaling"),
            ("rope_parameters", json!({"rope_type": "longrope"}), "'longrope'"),
            ("partial_rotary_factor", json!(0.5), "partial rotary"),
            ("hidden_act", json!("relu"), "'relu'"),
            ("attn_logit_softcapping", json!(50.0), "attn_logit_softcapping"),
            ("final_logit_softcapping", json!(30.0), "final_logit_softcapping"),
            ("layer_types", json!(["full_attention"]), "layer_types"),
            ("layer_types", json!([]), "layer_types"),
            ("layer_types", json!(["full_attention", "linear_attention"]), "linear_attention"),
            ("layer_types", json!(["full_attention", 3]), "layer type"),
            ("tie_word_embeddings", json!(false), "lm_head.weight"),
            ("mlp_bias", json!(true), "mlp_bias"),
            ("sliding_window", json!("4096"), "sliding_window"),
            ("sliding_window", json!(-1), "sliding_window"),
        ];
        check_errors(
            cases.into_iter().map(|(key, value, culprit)| {
                (format!("{key} = {value}"), load(llama().set(key, value).path()), culprit)
            }),
        );
        for key in ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"] {
            check_error("missing", load(llama().without(key).path()), key);
        }
    }

    #[test]
    fn what_only_gemma_has_is_checked_too() {
        let gemma = || Folder::tiny("gemma3");
        assert_loads("unchanged", load(gemma().path()));
        let cases = [
            ("rope_local_base_freq", json!(0), "RoPE"),
            ("rope_local_base_freq", json!("10000"), "rope_local_base_freq"),
            ("query_pre_attn_scalar", json!(0), "attention scale"),
            ("query_pre_attn_scalar", json!(-256), "attention scale"),
            ("query_pre_attn_scalar", json!("256"), "query_pre_attn_scalar"),
            ("use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
            ("num_key_value_heads", json!(null), "k_proj"),
        ];
        check_errors(
            cases.into_iter().map(|(key, value, culprit)| {
                (format!("{key} = {value}"), load(gemma().set(key, value).path()), culprit)
            }),
        );
        let pattern = gemma().without("layer_types").set("sliding_window_pattern", json!("6"));
        check_error("a pattern in words", load(pattern.path()), "sliding_window_pattern");
        // 1 is every layer, 0 would divide by zero.
        for pattern in [0, 1] {
            let every = gemma().without("layer_types").set("sliding_window_pattern", json!(pattern));
            let config = every.config().unwrap_or_else(|e| panic!("{e}"));
            assert!(config.layers.iter().all(|layer| layer.window.is_none()), "{pattern}");
        }
    }

    #[test]
    fn a_config_that_is_no_object_is_an_error_of_the_file() {
        for text in ["", "[]", "null", "3", "{", "{\"model_type\": \"llama\", \"hidden_size\": 1e999}"] {
            let folder = llama();
            folder.path();
            std::fs::write(folder.folder.path().join("config.json"), text).expect("written");
            let error = check_error(text, load(folder.folder.path()), "config.json");
            assert!(matches!(error, ModelError::Format(_)), "{error}");
        }
    }

    #[test]
    fn a_window_beyond_the_context_is_no_window() {
        let tokens: Vec<u32> = (0..48).map(|i| (i * 7 + 3) % 160).collect();
        let logits = |folder: Folder| {
            let mut executor = reference();
            let mut runner = Runner::load(&mut executor, Selection::BASELINE, folder.path(), KvType::F32);
            runner.chunked(0, &tokens, [])
        };
        let none = logits(Folder::tiny("mistral").set("sliding_window", json!(null)));
        for window in [512, 4096, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 1 << 32, 1 << 63, u64::MAX] {
            let huge = logits(Folder::tiny("mistral").set("sliding_window", json!(window)));
            assert_eq!(largest_difference(&huge, &none), 0.0, "a window of {window}");
        }
        // The model's own window is seen.
        assert!(largest_difference(&logits(Folder::tiny("mistral")), &none) > 0.01);
    }

    #[test]
    fn the_engine_passes_the_same_errors_on() {
        let chat = || Folder::of(&chat_model());
        let fails = |folder: &Folder, options: &EngineOptions| {
            Engine::load(folder.path(), options, &mut |_| {}).map(|_| ()).expect_err("an error")
        };
        let usual = EngineOptions::default();
        for (key, value, culprit) in [
            ("num_hidden_layers", json!(u32::MAX), "number of layers"),
            ("num_key_value_heads", json!(0), "KV heads"),
            ("model_type", json!("mamba"), "'mamba'"),
            ("rms_norm_eps", json!("small"), "rms_norm_eps"),
        ] {
            match fails(&chat().set(key, value), &usual) {
                EngineError::Model(error) => assert!(error.to_string().contains(culprit), "{error}"),
                other => panic!("{key}: {other}"),
            }
        }
        let short = chat().set("max_position_embeddings", json!(100));
        let error = fails(&short, &EngineOptions { context: Some(101), ..usual });
        assert!(matches!(error, EngineError::ContextTooLong { asked: 101, limit: 100 }), "{error}");
        assert!(error.to_string().contains("-c"), "{error}");
    }
}

mod published {
    //! `config.json` as the models' authors published it.

    use super::*;

    fn config(text: &str) -> Config {
        let json = serde_json::from_str(text).expect("JSON");
        Folder::described(json).config().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Width, FFN, heads, KV heads, head size, vocabulary, context, layers.
    fn sizes(config: &Config) -> [usize; 8] {
        let Config { dim, ffn_dim, heads, kv_heads, head_dim, vocabulary, context, layers, .. } = config;
        [*dim, *ffn_dim, *heads, *kv_heads, *head_dim, *vocabulary, *context, layers.len()]
    }

    fn windows(config: &Config) -> Vec<Option<u32>> {
        config.layers.iter().map(|layer| layer.window).collect()
    }

    fn is_plain(config: &Config) -> bool {
        (config.activation, config.pairing) == (Activation::Silu, Pairing::Half)
            && (config.norm_offset, config.embedding_scale) == (0.0, 1.0)
            && config.attention_scale == 1.0 / (config.head_dim as f32).sqrt()
            && config.rope_sliding.is_none()
    }

    #[test]
    fn gemma_3_4b_leaves_most_to_the_defaults() {
        let config = config(
            r#"{
                "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
                "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
                "initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3",
                "text_config": {
                    "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                    "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                    "sliding_window": 1024
                },
                "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
                "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
                    "model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27,
                    "patch_size": 14, "vision_use_head": false}
            }"#,
        );
        assert_eq!(sizes(&config), [2560, 10_240, 8, 4, 256, 262_208, 131_072, 34]);
        assert_eq!((config.activation, config.norm_offset, config.norm_eps), (Activation::GeluTanh, 1.0, 1e-6));
        assert_eq!((config.attention_scale, config.embedding_scale), (1.0 / 16.0, 2560f32.sqrt()));
        assert_eq!((config.rope.base, &config.rope.scaling), (1e6, &RopeScaling::Linear { factor: 8.0 }));
        let sliding = config.rope_sliding.as_ref().expect("two RoPEs");
        assert_eq!((sliding.base, &sliding.scaling), (1e4, &RopeScaling::None));
        let full: Vec<_> = (0..34).filter(|&layer| config.layers[layer].window.is_none()).collect();
        assert_eq!(full, [5, 11, 17, 23, 29]);
        assert!(config.layers.iter().all(|layer| matches!(layer.window, None | Some(1024))));
    }

    #[test]
    fn llama_3_1_8b_scales_its_rope() {
        let config = config(
            r#"{
                "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
                "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu",
                "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
                "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
                "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
                "rms_norm_eps": 1e-05,
                "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192, "rope_type": "llama3"},
                "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
                "transformers_version": "4.42.3", "use_cache": true, "vocab_size": 128256
            }"#,
        );
        assert_eq!(sizes(&config), [4096, 14_336, 32, 8, 128, 128_256, 131_072, 32]);
        assert!(is_plain(&config) && config.norm_eps == 1e-5);
        let scaling =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
        assert_eq!((config.rope.base, config.rope.scaling.clone()), (5e5, scaling));
        assert!(windows(&config).iter().all(Option::is_none));
    }

    #[test]
    fn mistral_7b_has_a_window_at_first_and_none_later() {
        let mistral = |vocabulary: u32, theta: f32, window: &str| {
            config(&format!(
                r#"{{
                    "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
                    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
                    "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
                    "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": {theta:.1},
                    "sliding_window": {window}, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
                    "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": {vocabulary}
                }}"#
            ))
        };
        for (config, vocabulary, base, window) in
            [(mistral(32_000, 1e4, "4096"), 32_000, 1e4, Some(4096)), (mistral(32_768, 1e6, "null"), 32_768, 1e6, None)]
        {
            assert_eq!(sizes(&config), [4096, 14_336, 32, 8, 128, vocabulary, 32_768, 32]);
            assert!(is_plain(&config) && config.norm_eps == 1e-5);
            assert_eq!((config.rope.base, &config.rope.scaling), (base, &RopeScaling::None));
            assert_eq!(windows(&config), vec![window; 32]);
        }
    }

    #[test]
    fn qwen_2_5_7b_turns_its_window_off() {
        let config = config(
            r#"{
                "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
                "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
                "intermediate_size": 18944, "max_position_embeddings": 32768, "max_window_layers": 28,
                "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4,
                "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": false,
                "torch_dtype": "bfloat16", "transformers_version": "4.43.1", "use_cache": true,
                "use_sliding_window": false, "vocab_size": 152064
            }"#,
        );
        assert_eq!(sizes(&config), [3584, 18_944, 28, 4, 128, 152_064, 32_768, 28]);
        assert!(is_plain(&config) && config.norm_eps == 1e-6);
        assert_eq!((config.rope.base, &config.rope.scaling), (1e6, &RopeScaling::None));
        assert!(windows(&config).iter().all(Option::is_none));
    }

    #[test]
    fn qwen_3_0_6b_has_heads_wider_than_its_stream() {
        let config = config(
            r#"{
                "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
                "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu",
                "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072,
                "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
                "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
                "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
                "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true,
                "use_sliding_window": false, "vocab_size": 151936
            }"#,
        );
        assert_eq!(sizes(&config), [1024, 3072, 16, 8, 128, 151_936, 40_960, 28]);
        assert!(is_plain(&config) && config.norm_eps == 1e-6);
        assert_eq!((config.rope.base, &config.rope.scaling), (1e6, &RopeScaling::None));
        assert!(windows(&config).iter().all(Option::is_none));
    }
}
