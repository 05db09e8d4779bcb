//! What the forward pass of a step consists of: which layers are computed together, and which rows.

use std::collections::BTreeSet;

use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use tempfile::TempDir;
use wgpt::kernels::kv_cache::{KvType, PAGE_SIZE};
use wgpt::kernels::linear::{self, Fused};
use wgpt::kernels::{AdapterFacts, AdapterKind, Selection};
use wgpt::model::Place;
use wgpt::recording::{Dispatch, Recording};
use wgpt::schedule::{Batch, LogitsWanted};

use crate::support::models::{CONTEXT, Runner, oracle, reference};

const TEXT: [u32; 9] = [5, 17, 40, 3, 99, 22, 61, 8, 30];

/// A tensor's type, shape and contents.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

/// A copy of the tiny Qwen 2, whose attention has biases and whose weights are f32, with its tensors changed; `None` leaves
/// one out.
fn qwen2(change: impl Fn(&str, Tensor) -> Option<Tensor>) -> TempDir {
    qwen2_with(|name, tensor| change(name, tensor).map(|tensor| (name.to_owned(), tensor)).into_iter().collect())
}

/// The same with any number of tensors in the place of each.
fn qwen2_with(change: impl Fn(&str, Tensor) -> Vec<(String, Tensor)>) -> TempDir {
    let (source, folder) = (oracle("tiny/qwen2"), TempDir::new().expect("a folder"));
    std::fs::copy(source.join("config.json"), folder.path().join("config.json")).expect("copied");
    let bytes = std::fs::read(source.join("model.safetensors")).expect("weights");
    let mut tensors: Vec<(String, Tensor)> = Vec::new();
    for (name, view) in SafeTensors::deserialize(&bytes).expect("safetensors").tensors() {
        tensors.extend(change(&name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
    }
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name, TensorView::new(*dtype, shape.clone(), data).expect("as many bytes as elements"))
    });
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).expect("written");
    folder
}

/// Logits of the text as bits.
fn logits(path: &std::path::Path) -> Vec<Vec<u32>> {
    let mut executor = reference();
    let mut runner = Runner::load(&mut executor, Selection::BASELINE, path, KvType::F32);
    let rows = runner.step(&[(0, &TEXT, 0)]);
    rows.into_iter().map(|row| row.into_iter().map(f32::to_bits).collect()).collect()
}

/// The step that computes a text from the sequence's start on.
fn recording(path: &std::path::Path, tokens: &[u32], wanted: LogitsWanted) -> Recording {
    recording_with(Selection::BASELINE, path, tokens, wanted)
}

fn recording_with(selection: Selection, path: &std::path::Path, tokens: &[u32], wanted: LogitsWanted) -> Recording {
    let mut executor = reference();
    let mut runner = Runner::load(&mut executor, selection, path, KvType::F32);
    let pages: Vec<u32> = (0..CONTEXT as u32 / PAGE_SIZE).collect();
    let batch = Batch::single(tokens, 0, &pages, PAGE_SIZE, wanted).expect("a batch");
    let shape = runner.model.write_inputs(runner.executor, &batch, true).unwrap_or_else(|e| panic!("{e}"));
    runner.model.record(shape)
}

fn is_linear(dispatch: &Dispatch) -> bool {
    dispatch.program.kernel.starts_with("mat")
}

/// What the dispatches of a layer are called.
fn names(recording: &Recording, layer: u32, admits: impl Fn(&Dispatch) -> bool) -> Vec<&'static str> {
    let dispatches = recording.dispatches.iter().filter(|dispatch| dispatch.label.layer == Some(layer));
    dispatches.filter(|dispatch| admits(dispatch)).map(|dispatch| dispatch.label.what).collect()
}

#[test]
fn layers_of_one_input_are_one_dispatch_where_their_types_are_one() {
    let file = |name: &str| oracle("tiny").join(name);
    for (path, expected) in [
        (file("llama3"), &["attn_qkv", "attn_output", "ffn_gate_up", "ffn_down"][..]),
        (file("gguf/gemma3-q5_0.gguf"), &["attn_qkv", "attn_output", "ffn_gate_up", "ffn_down"]),
        (file("gguf/llama-k.gguf"), &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_up", "ffn_down"]),
        (
            file("gguf/qwen2-mixed.gguf"),
            &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"],
        ),
    ] {
        let recording = recording(&path, &TEXT, LogitsWanted::Last);
        assert_eq!(names(&recording, 0, is_linear), expected, "{}", path.display());
    }
}

/// The same numbers, in one tensor as bf16.
#[test]
fn how_types_part_the_layers_changes_no_bit() {
    let rounded = |data: &[u8]| -> Vec<bf16> {
        let values = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        values.map(bf16::from_f32).collect()
    };
    for (part, expected) in [
        ("self_attn.q_proj.weight", &["attn_q", "attn_kv", "attn_output", "ffn_gate_up", "ffn_down"][..]),
        ("self_attn.k_proj.weight", &["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_up", "ffn_down"]),
        ("self_attn.v_proj.weight", &["attn_qk", "attn_v", "attn_output", "ffn_gate_up", "ffn_down"]),
        ("mlp.up_proj.weight", &["attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]),
    ] {
        let in_one = qwen2(|name, (dtype, shape, data)| {
            let wide = |data: &[u8]| rounded(data).iter().flat_map(|v| v.to_f32().to_le_bytes()).collect();
            Some((dtype, shape, if name.ends_with(part) { wide(&data) } else { data }))
        });
        let parted = qwen2(|name, (dtype, shape, data)| match name.ends_with(part) {
            true => Some((Dtype::BF16, shape, rounded(&data).iter().flat_map(|v| v.to_le_bytes()).collect())),
            false => Some((dtype, shape, data)),
        });
        let recording = recording(parted.path(), &TEXT, LogitsWanted::Last);
        assert_eq!(names(&recording, 1, is_linear), expected);
        assert_eq!(logits(in_one.path()), logits(parted.path()), "{part}");
    }
}

#[test]
fn a_bias_that_is_not_there_is_zero() {
    let of =
        |name: &str, parts: &[&str]| parts.iter().any(|part| name.ends_with(&format!("self_attn.{part}_proj.bias")));
    for parts in [&["q"][..], &["k"], &["v"], &["q", "v"], &["q", "k", "v"]] {
        let absent = qwen2(|name, tensor| (!of(name, parts)).then_some(tensor));
        let zero = qwen2(|name, (dtype, shape, data)| {
            let data = if of(name, parts) { vec![0; data.len()] } else { data };
            Some((dtype, shape, data))
        });
        assert_eq!(logits(absent.path()), logits(zero.path()), "{parts:?}");
    }
}

#[test]
fn behind_the_last_keys_and_values_there_are_only_rows_whose_logits_are_wanted() {
    let path = oracle("tiny/llama3");
    let last = |recording: &Recording| names(recording, 1, |_| true);
    let rows = |recording: &Recording| -> Vec<u32> {
        let linear = recording.dispatches.iter().filter(|dispatch| is_linear(dispatch));
        linear.map(|dispatch| dispatch.params::<linear::Params>().m).collect()
    };
    let none = recording(&path, &TEXT, LogitsWanted::None);
    assert_eq!(last(&none), ["attn_qkv", "rope_append"]);
    assert_eq!(none.dispatches.last().map(|dispatch| dispatch.label.what), Some("rope_append"));
    let tokens = TEXT.len() as u32;
    for wanted in [1, 4, tokens] {
        let recording = recording(&path, &TEXT, LogitsWanted::From((tokens - wanted) as usize));
        // Of the first layer, then of the last one and the head.
        assert_eq!(rows(&recording), [[tokens; 5].as_slice(), &[wanted; 4]].concat());
        let gathered = last(&recording).contains(&"wanted attention");
        assert_eq!(gathered, wanted < tokens, "{:?}", last(&recording));
    }
}

#[test]
fn a_decode_step_takes_six_dispatches_a_layer_and_five_more() {
    let decode = recording(&oracle("tiny/llama3"), &TEXT[..1], LogitsWanted::Last);
    let layer = ["attn_qkv", "rope_append", "attention", "attn_output", "ffn_gate_up", "ffn_down"];
    assert_eq!(names(&decode, 0, |dispatch| dispatch.label.what != "attn_norm"), layer);
    let rest = ["embed", "attn_norm", "output", "run_peaks", "argmax"];
    assert_eq!(decode.dispatches.len(), 2 * layer.len() + rest.len());
}

/// Where a CPU emulates the GPU, attention turns and appends, unless there are chunks in the step or nothing attends.
#[test]
fn a_decode_step_of_software_adapters_takes_five_dispatches_a_layer() {
    let facts = AdapterFacts {
        kind: AdapterKind::Software,
        subgroups: true,
        subgroup_sizes: (8, 8),
        int64: true,
        texels: true,
        ..AdapterFacts::LEAST
    };
    let lanes = Selection::for_adapter(&facts);
    let path = oracle("tiny/llama3");
    let layers = |tokens: &[u32], wanted: LogitsWanted| {
        let recording = recording_with(lanes, &path, tokens, wanted);
        [0, 1].map(|layer| names(&recording, layer, |dispatch| dispatch.label.what != "attn_norm"))
    };
    let one = ["attn_qkv", "rope_append + attention_split", "attn_output", "ffn_gate_up", "ffn_down"];
    assert_eq!(layers(&TEXT[..1], LogitsWanted::Last), [one, one]);
    let [first, last] = layers(&TEXT[..1], LogitsWanted::None);
    assert_eq!((&first[..], &last[..]), (&one[..], &["attn_qkv", "rope_append"][..]));
    let [first, _] = layers(&TEXT, LogitsWanted::Last);
    assert_eq!(first[..3], ["attn_qkv", "rope_append", "attention"], "a chunk");
}

/// Nine rows are too many; Gemma norms what a block adds before it is added; and a token's logits may not depend on how many
/// come with it where they are to be the same to the bit.
#[test]
fn norms_are_in_the_products_on_both_sides_where_these_can_take_them() {
    let (llama, gemma) = (oracle("tiny/llama3"), oracle("tiny/gguf/gemma3-q5_0.gguf"));
    let in_one_order = Selection::BASELINE.deterministic();
    for (selection, path, tokens, of_a_layer) in [
        (Selection::BASELINE, &llama, 1, 0),
        (Selection::BASELINE, &llama, 8, 0),
        (Selection::BASELINE, &llama, 9, 2),
        (Selection::BASELINE, &gemma, 1, 2),
        (in_one_order, &llama, 1, 2),
    ] {
        let recording = recording_with(selection, path, &TEXT[..tokens], LogitsWanted::From(0));
        for layer in 0..2 {
            let norms = names(&recording, layer, |dispatch| dispatch.label.what.starts_with("residual"));
            assert_eq!(norms.len(), of_a_layer, "{tokens} tokens of {}: {norms:?}", path.display());
        }
    }
}

/// What tuning and benchmarks take a decode step's products to do is what they do.
#[test]
fn products_do_beside_what_is_said_of_their_places() {
    let beside = |fused: Option<Fused>| match fused {
        None => vec![],
        Some(Fused::NormBefore) => vec!["unscaled"],
        Some(Fused::NormBehind) => vec!["residual"],
        Some(Fused::Gate) => vec!["gated"],
        Some(Fused::NormBeforeAndGate) => vec!["gated", "unscaled"],
    };
    for (path, splits_norms) in [("tiny/llama3", true), ("tiny/gguf/gemma3-q5_0.gguf", false)] {
        let decode = recording(&oracle(path), &TEXT[..1], LogitsWanted::Last);
        // The first layer's norm has no product before it.
        let products =
            decode.dispatches.iter().filter(|dispatch| is_linear(dispatch) && dispatch.label.layer != Some(0));
        let mut seen = BTreeSet::new();
        for dispatch in products {
            let place = match dispatch.label.what {
                "attn_qkv" => Place::Qkv,
                "attn_output" => Place::AttentionOutput,
                "ffn_gate_up" => Place::GateUp,
                "ffn_down" => Place::Down,
                _ => Place::Head,
            };
            let found = ["gated", "residual", "unscaled"].into_iter().filter(|flag| dispatch.program.has_flag(flag));
            assert_eq!(found.collect::<Vec<_>>(), beside(place.fused(true, splits_norms)), "{place} of {path}");
            seen.insert(place);
        }
        assert_eq!(seen.len(), 5, "{path}");
    }
}

/// Logits of the text's first tokens, computed as so few and with a ninth, agree but for rounding.
fn assert_few_rows_agree_with_many(path: &std::path::Path) {
    let rows = |tokens: &[u32]| {
        let mut executor = reference();
        Runner::load(&mut executor, Selection::BASELINE, path, KvType::F32).step(&[(0, tokens, 0)])
    };
    let (few, many) = (rows(&TEXT[..8]), rows(&TEXT));
    assert_eq!((few.len(), many.len()), (8, 9));
    for (few, many) in few.iter().zip(&many) {
        let largest = many.iter().fold(0f32, |largest, v| largest.max(v.abs()));
        for (a, b) in few.iter().zip(many) {
            assert!((a - b).abs() < 1e-5 * largest, "{a} and {b}, of at most {largest}");
        }
    }
}

#[test]
fn norms_in_products_change_logits_by_no_more_than_rounding() {
    assert_few_rows_agree_with_many(&oracle("tiny/llama3"));
}

/// A product with a bias of its own takes no half of a norm.
#[test]
fn the_bias_of_what_is_added_to_the_residual_stream_is_not_forgotten() {
    let biased = qwen2_with(|name, tensor| {
        let mut tensors = vec![(name.to_owned(), tensor.clone())];
        if let Some(part) = name.strip_suffix("self_attn.o_proj.weight") {
            let dim = tensor.1[0];
            let bias = (0..dim).flat_map(|i| (0.5 + i as f32 / 8.0).to_le_bytes()).collect();
            tensors.push((format!("{part}self_attn.o_proj.bias"), (Dtype::F32, vec![dim], bias)));
        }
        tensors
    });
    let plain = qwen2(|_, tensor| Some(tensor));
    assert_ne!(logits(biased.path()), logits(plain.path()));
    assert_few_rows_agree_with_many(biased.path());
    let recording = recording(biased.path(), &TEXT[..1], LogitsWanted::Last);
    let norms = names(&recording, 0, |dispatch| dispatch.label.what.starts_with("residual"));
    assert_eq!(norms, ["residual + ffn_norm"]);
}

/// Nine rows are more than a kernel for few of them takes, whose products are all there before anything goes through the gate.
#[test]
fn a_gate_is_applied_where_it_is_computed_if_there_are_few_rows_and_one_matrix() {
    let parts = |path: &std::path::Path, tokens: &[u32]| -> Vec<&'static str> {
        let recording = recording(path, tokens, LogitsWanted::Last);
        names(&recording, 0, |dispatch| dispatch.label.what.starts_with("ffn_"))
    };
    let (one, two) = (oracle("tiny/llama3"), oracle("tiny/gguf/qwen2-mixed.gguf"));
    assert_eq!(parts(&one, &TEXT[..8]), ["ffn_gate_up", "ffn_down"]);
    assert_eq!(parts(&one, &TEXT), ["ffn_gate_up", "ffn_activation", "ffn_down"]);
    assert_eq!(parts(&two, &TEXT[..1]), ["ffn_gate", "ffn_up", "ffn_activation", "ffn_down"]);
}
