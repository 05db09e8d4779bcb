//! The engine's main invariant: however a text is cut into chunks, and whatever runs beside it, its logits are the same.

use proptest::prelude::*;
use wgpt::kernels::Selection;
use wgpt::kernels::kv_cache::KvType;
use wgpt::recording::Executor;

use crate::support::models::{Expected, Room, Runner, gpu, largest_difference, oracle, reference};

/// The kernels for few rows and for many add in different orders: rounding alone separates the results.
const TOLERANCE: f32 = 2e-4;
/// In an f16 cache that rounding decides, now and then, between two neighbouring f16 values.
const TOLERANCE_F16_CACHE: f32 = 5e-3;
const TOLERANCE_Q8_0_CACHE: f32 = 5e-2;

/// With full attention, with a window shorter than the texts, and with block-quantised weights.
const MODELS: [&str; 3] = ["tiny/llama3", "tiny/gemma3", "tiny/gguf/smollm2-q4_1.gguf"];

fn texts(model: &str) -> [Vec<u32>; 3] {
    let path = match model.strip_suffix(".gguf") {
        Some(stem) => oracle(&format!("{stem}.expected.safetensors")),
        None => oracle(model).join("expected.safetensors"),
    };
    let expected = Expected::open(&path);
    let [one, seven] = [0, 1].map(|i| expected.ids(&format!("input_ids.{i}")));
    // Long enough for several pages and for chunks of 64 that are not the whole; every token is one that all models have.
    let long = (0..110).map(|i| 3 + (i * i * 7 + i * 31) % 150).collect();
    [one, seven, long]
}

fn on_both(mut check: impl FnMut(&mut dyn Executor, Selection, &str)) {
    for model in MODELS {
        let mut gpu = gpu();
        let selection = gpu.selection();
        check(&mut *gpu, selection, model);
        check(&mut reference(), Selection::BASELINE, model);
    }
}

#[test]
fn chunked_prefill_equals_full_prefill() {
    on_both(|executor, selection, model| {
        let [_, _, text] = texts(model);
        let mut runner = Runner::load(executor, selection, &oracle(model), KvType::F32);
        let whole = runner.chunked(0, &text, []);
        for size in [1, 3, 16, 33, 64] {
            runner.poison();
            let chunked = runner.chunked(1, &text, std::iter::repeat(size));
            let difference = largest_difference(&whole, &chunked);
            assert!(difference <= TOLERANCE, "{model}, chunks of {size}: logits differ by {difference}");
        }
    });
}

/// Of many keys a decode step makes parts on every adapter.
#[test]
fn decode_behind_many_keys_equals_prefill() {
    let text: Vec<u32> = (0..830).map(|i| 3 + (i * i * 7 + i * 31) % 150).collect();
    let room = Room { context: text.len(), sequences: 1, step_tokens: text.len(), logits_rows: 1 };
    for kv_type in [KvType::F32, KvType::F16] {
        let mut gpu = gpu();
        let selection = gpu.selection();
        let mut runner = Runner::load_with(&mut *gpu, selection, &oracle("tiny/chat"), kv_type, room);
        let tolerance = if kv_type == KvType::F32 { TOLERANCE } else { TOLERANCE_F16_CACHE };
        for last in [1, 700, 767, 768, 829] {
            let whole = runner.last_row(&text[..=last]);
            runner.poison();
            runner.last_row(&text[..last]);
            let decoded = runner.last_row_from(&text[last..=last], last);
            let difference = largest_difference(&[whole], &[decoded]);
            assert!(difference <= tolerance, "{kv_type:?}, behind {last} keys: logits differ by {difference}");
        }
    }
}

#[test]
fn batch_mates_change_nothing() {
    on_both(|executor, selection, model| {
        let [one, seven, text] = texts(model);
        let mut runner = Runner::load(executor, selection, &oracle(model), KvType::F32);
        let alone = [runner.chunked(0, &one, []), runner.chunked(0, &seven, []), runner.chunked(0, &text, [])].concat();
        runner.poison();
        // A prefill of each length, then chunks and single tokens of all three side by side.
        let together = runner.step(&[(2, &one, 0), (0, &seven, 0), (3, &text, 0)]);
        let difference = largest_difference(&alone, &together);
        assert!(difference <= TOLERANCE, "{model}, batched prefill: logits differ by {difference}");

        runner.poison();
        let first = runner.step(&[(3, &text[..20], 0), (0, &seven[..6], 0)]);
        let second = runner.step(&[(0, &seven[6..], 6), (2, &one, 0), (3, &text[20..], 20)]);
        let mut pieces = vec![second[1].clone()];
        pieces.extend_from_slice(&first[20..]);
        pieces.push(second[0].clone());
        pieces.extend_from_slice(&first[..20]);
        pieces.extend_from_slice(&second[2..]);
        let difference = largest_difference(&alone, &pieces);
        assert!(difference <= TOLERANCE, "{model}, ragged steps: logits differ by {difference}");
    });
}

#[test]
fn random_splits_equal_full_prefill() {
    let cases = MODELS.iter().flat_map(|m| [(m, KvType::F32, TOLERANCE), (m, KvType::F16, TOLERANCE_F16_CACHE)]);
    // What is a rounding apart before it is quantised may be a whole code apart after.
    let cases = cases.chain([(&"tiny/gemma3", KvType::Q8_0, TOLERANCE_Q8_0_CACHE)]);
    for (model, kv_type, tolerance) in cases {
        let [_, seven, text] = texts(model);
        let mut gpu = gpu();
        let selection = gpu.selection();
        let mut runner = Runner::load(&mut *gpu, selection, &oracle(model), kv_type);
        let whole = runner.chunked(0, &text, []);
        let mate = runner.chunked(1, &seven, []);
        let runner = std::cell::RefCell::new(runner);
        let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
        let sizes = proptest::collection::vec(1usize..20, 1..12);
        let mut tests = proptest::test_runner::TestRunner::new(config);
        let outcome = tests.run(&(sizes, 0usize..4, any::<bool>()), |(sizes, place, with_mate)| {
            let mut runner = runner.borrow_mut();
            runner.poison();
            let mut logits = Vec::new();
            let mut done = 0;
            for (step, size) in sizes.iter().chain(std::iter::repeat(&17)).enumerate() {
                if done == text.len() {
                    break;
                }
                let end = (done + size).min(text.len());
                let part = (place, &text[done..end], done);
                if with_mate && step == 0 {
                    let rows = runner.step(&[((place + 1) % 4, &seven, 0), part]);
                    prop_assert!(largest_difference(&mate, &rows[..seven.len()]) <= tolerance);
                    logits.extend_from_slice(&rows[seven.len()..]);
                } else {
                    logits.extend(runner.step(&[part]));
                }
                done = end;
            }
            let difference = largest_difference(&whole, &logits);
            prop_assert!(difference <= tolerance, "{model}: logits differ by {difference}");
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{e}"));
    }
}
