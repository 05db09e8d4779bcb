//! What `--deterministic` promises: a token's logits are the same to the bit, whatever chunk, batch and pages it is computed
//! in, and whether its prefix was computed for it or for another.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use wgpt::gpu::{DeviceSelector, GpuExecutor, devices};
use wgpt::kernels::Selection;
use wgpt::kernels::kv_cache::{KvType, PAGE_SIZE};
use wgpt::schedule::{Batch, LogitsWanted, RequestId, SequenceStep};

use crate::support::models::{CONTEXT, Runner, SEQUENCES, gpu, oracle};

/// Full attention with two heads a KV head; windows shorter than the texts, and a head of another size; quantised weights.
const MODELS: [(&str, KvType); 5] = [
    ("tiny/llama3", KvType::F32),
    ("tiny/gemma3", KvType::F32),
    ("tiny/gemma3", KvType::F16),
    ("tiny/gemma3", KvType::Q8_0),
    ("tiny/gguf/smollm2-q4_1.gguf", KvType::F16),
];
const PAGES: u32 = (CONTEXT * SEQUENCES) as u32 / PAGE_SIZE;
/// Whose text [`SUBJECT`] repeats, and whose pages it may take over.
const DONOR: usize = 0;
const SUBJECT: usize = SEQUENCES - 1;
/// The most tokens of one sequence in a step, so that all can take part.
const MOST: usize = CONTEXT / SEQUENCES;

/// A text for each sequence, of tokens that all models have.
fn texts() -> [Vec<u32>; SEQUENCES] {
    let text = |seed: u32, len: u32| (0..len).map(|i| 3 + (i * i * 7 + i * (29 + seed) + seed) % 150).collect();
    let long: Vec<u32> = text(2, 110);
    [long.clone(), text(5, 90), text(11, 37), long]
}

/// One way to compute the texts.
#[derive(Clone, Debug)]
struct Way {
    /// Of each step: which sequence gets how many tokens, in the batch's order, and whether all their logits are wanted.
    steps: Vec<Vec<(usize, usize, bool)>>,
    /// The pages in the order in which the sequences take them.
    pages: Vec<u32>,
    /// The most pages that the subject takes over from the donor.
    shared: usize,
}

fn some_way() -> impl Strategy<Value = Way> {
    let part = (0..SEQUENCES, prop_oneof![Just(1), 1..=MOST], any::<bool>());
    let step = prop::collection::vec(part, 1..=SEQUENCES);
    (prop::collection::vec(step, 1..12), Just((0..PAGES).collect::<Vec<u32>>()).prop_shuffle(), any::<Index>())
        .prop_map(|(steps, pages, shared)| Way { steps, pages, shared: shared.index(CONTEXT / PAGE_SIZE as usize) })
}

/// The logits of each (sequence, position) that a way computes and asks for, as bits.
fn run(runner: &mut Runner<'_>, texts: &[Vec<u32>; SEQUENCES], way: &Way) -> BTreeMap<(usize, usize), Vec<u32>> {
    let each = CONTEXT / PAGE_SIZE as usize;
    let mut pages: Vec<Vec<u32>> = way.pages.chunks(each).map(<[u32]>::to_vec).collect();
    let mut done = [0; SEQUENCES];
    let mut logits = BTreeMap::new();
    runner.poison();
    // Whatever the steps leave of the subject's text comes last.
    let rest = std::iter::repeat_n(vec![(SUBJECT, MOST, true)], texts[SUBJECT].len().div_ceil(MOST));
    for step in way.steps.iter().cloned().chain(rest) {
        let mut batch = Batch::new(each as u32);
        let mut rows = Vec::new();
        let computed = done[DONOR];
        for (s, most, all) in step {
            if s == SUBJECT && done[s] == 0 {
                let shared = way.shared.min(computed / PAGE_SIZE as usize);
                let taken = pages[DONOR][..shared].to_vec();
                pages[s][..shared].copy_from_slice(&taken);
                done[s] = shared * PAGE_SIZE as usize;
            }
            let (first, len) = (done[s], most.min(texts[s].len() - done[s]));
            if len == 0 || batch.request_ids.contains(&RequestId(s as u64)) {
                continue;
            }
            let part = SequenceStep {
                request_id: RequestId(s as u64),
                tokens: &texts[s][first..first + len],
                first_position: first,
                pages: &pages[s],
                logits: if all { LogitsWanted::ALL } else { LogitsWanted::Last },
            };
            batch.push_sequence(part, PAGE_SIZE).expect("a valid batch");
            done[s] += len;
            rows.extend((if all { first } else { first + len - 1 }..first + len).map(|position| (s, position)));
        }
        if batch.is_empty() {
            continue;
        }
        runner.model.step(runner.executor, &batch, false).unwrap_or_else(|e| panic!("{e}"));
        for (row, at) in rows.into_iter().enumerate() {
            let mut values = vec![0.0; runner.model.config().vocabulary];
            runner.model.read_logits(runner.executor, row, &mut values).unwrap_or_else(|e| panic!("{e}"));
            assert!(values.iter().all(|v| v.is_finite()), "{at:?}: a logit is not finite");
            logits.insert(at, values.into_iter().map(f32::to_bits).collect());
        }
    }
    logits
}

/// Each text alone and in one step, in the pages of one order.
fn alone(runner: &mut Runner<'_>, texts: &[Vec<u32>; SEQUENCES]) -> BTreeMap<(usize, usize), Vec<u32>> {
    let steps = (0..SEQUENCES).map(|s| vec![(s, CONTEXT, true)]).collect();
    run(runner, texts, &Way { steps, pages: (0..PAGES).collect(), shared: 0 })
}

#[test]
fn logits_do_not_depend_on_chunks_mates_pages_or_shared_prefixes() {
    let texts = texts();
    for device in devices().into_iter().filter(|device| device.usable) {
        let name = format!("{} ({})", device.name, device.backend);
        let selector = DeviceSelector { device: Some(device.index.to_string()), backend: None };
        let mut gpu = GpuExecutor::open(&selector).unwrap_or_else(|e| panic!("{name}: {e}"));
        let selection = gpu.selection().deterministic();
        println!("{name}: {}", selection.describe().join("; "));
        for (model, kv_type) in MODELS {
            let mut runner = Runner::load(&mut gpu, selection, &oracle(model), kv_type);
            let expected = alone(&mut runner, &texts);
            let runner = std::cell::RefCell::new(runner);
            let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
            let outcome = TestRunner::new(config).run(&some_way(), |way| {
                for (at, bits) in run(&mut runner.borrow_mut(), &texts, &way) {
                    prop_assert!(bits == expected[&at], "sequence and position {at:?}: other logits");
                }
                Ok(())
            });
            outcome.unwrap_or_else(|e| panic!("{name}, {model}, {kv_type:?} cache: {e}"));
        }
    }
}

/// The kernels that run everywhere sum in one order for a single token and in another for a chunk; if these tests saw no
/// difference there, they would see none anywhere.
#[test]
fn without_the_promise_the_bits_differ() {
    let texts = texts();
    let mut gpu = gpu();
    let mut runner = Runner::load(&mut *gpu, Selection::BASELINE, &oracle("tiny/llama3"), KvType::F32);
    let pages: Vec<u32> = (0..PAGES).collect();
    let steps = |size| Way { steps: vec![vec![(SUBJECT, size, true)]], pages: pages.clone(), shared: 0 };
    let (one, chunk) = (run(&mut runner, &texts, &steps(1)), run(&mut runner, &texts, &steps(20)));
    assert_ne!(one[&(SUBJECT, 0)], chunk[&(SUBJECT, 0)]);
}
