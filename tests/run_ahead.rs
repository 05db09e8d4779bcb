//! Steps that are handed over before the tokens of those before them are known: nothing but the time they take may differ.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{Engine, EngineDevice, EngineOptions, FinishReason, Generation, GenerationRequest};
use wgpt::gpu::GpuExecutor;
use wgpt::recording::ExecutionError;

use crate::support::command::{chat_model, has_device};
use crate::support::instrumented::{Call, Instrumented, Probe};

/// What the chat model answers at once, ending by itself.
const QUESTION: &str = "Once upon a time";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Calls {
    writes: usize,
    runs: usize,
    collections: usize,
    /// All that may take memory, make something, or wait for everything.
    others: usize,
}

impl std::ops::Sub for Calls {
    type Output = Calls;

    fn sub(self, other: Calls) -> Calls {
        Calls {
            writes: self.writes - other.writes,
            runs: self.runs - other.runs,
            collections: self.collections - other.collections,
            others: self.others - other.others,
        }
    }
}

struct Count(Arc<Mutex<Calls>>);

impl Probe<GpuExecutor> for Count {
    fn before(&mut self, call: Call<'_>, _: &mut GpuExecutor) -> Result<(), ExecutionError> {
        let mut calls = self.0.lock().expect("calls");
        match call {
            Call::Write => calls.writes += 1,
            Call::Run(_) => calls.runs += 1,
            Call::Collect => calls.collections += 1,
            Call::Allocate { .. } | Call::Flush | Call::Prepare(_) | Call::Read => calls.others += 1,
        }
        Ok(())
    }
}

fn options() -> EngineOptions {
    EngineOptions { context: Some(256), chunk_size: Some(64), max_sequences: 2, ..EngineOptions::default() }
}

fn load(options: &EngineOptions) -> Engine {
    Engine::load(&chat_model(), options, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

fn load_counting(calls: &Arc<Mutex<Calls>>) -> Engine {
    load_probed(Count(Arc::clone(calls)))
}

fn load_probed(probe: impl Probe<GpuExecutor> + Send + 'static) -> Engine {
    let open = |options: &EngineOptions| {
        let gpu = GpuExecutor::open(&options.device)?;
        let (info, selection) = (gpu.info().clone(), gpu.selection());
        let executor = Box::new(Instrumented { inner: Box::new(gpu), probe });
        Ok(EngineDevice { executor, info, selection, notices: Vec::new() })
    };
    Engine::load_on(&chat_model(), &options(), open, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

fn request(tokens: u32, sampling: SamplingOptions) -> GenerationRequest {
    GenerationRequest {
        prompt: QUESTION.to_owned(),
        max_new_tokens: Some(tokens),
        ignore_eos: true,
        sampling,
        ..GenerationRequest::default()
    }
}

fn run_all(engine: &mut Engine, requests: &[GenerationRequest]) -> Vec<Generation> {
    engine.generate_batch(requests, &mut |_, _| ControlFlow::Continue(())).unwrap_or_else(|e| panic!("{e}"))
}

fn run(engine: &mut Engine, request: &GenerationRequest) -> Generation {
    run_all(engine, std::slice::from_ref(request)).pop().expect("one result")
}

/// The default filters; none, and top-p alone, at temperatures where the dice decide.
fn samplings() -> [SamplingOptions; 4] {
    let seeded = SamplingOptions { seed: Some(11), ..SamplingOptions::default() };
    let dice = SamplingOptions { temperature: 6.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..seeded };
    let nucleus = SamplingOptions { temperature: 2.0, top_p: 0.9, ..dice };
    [SamplingOptions::greedy(), seeded, dice, nucleus]
}

#[test]
fn a_decode_step_is_one_write_one_submission_and_one_collection() {
    if !has_device() {
        return;
    }
    let calls = Arc::default();
    let mut engine = load_counting(&calls);
    let count = |engine: &mut Engine, requests: &[GenerationRequest]| {
        let before = *calls.lock().expect("calls");
        run_all(engine, requests);
        *calls.lock().expect("calls") - before
    };
    for sampling in samplings() {
        let (short, long) = (request(8, sampling), request(24, sampling));
        // Once, so that all shapes are there.
        count(&mut engine, &[long.clone(), long.clone()]);
        count(&mut engine, std::slice::from_ref(&long));
        for sequences in [1, 2] {
            let [short, long] = [&short, &long].map(|one| count(&mut engine, &vec![one.clone(); sequences]));
            assert_eq!(long - short, Calls { writes: 16, runs: 16, collections: 16, others: 0 }, "{sampling:?}");
        }
    }
}

/// However many other shapes come between.
#[test]
fn a_shape_that_comes_again_is_prepared_once() {
    if !has_device() {
        return;
    }
    let calls = Arc::default();
    let mut engine = load_counting(&calls);
    let prompt = |tokens: u32| GenerationRequest {
        prompt_tokens: Some((0..tokens).map(|token| token % 7 + 1).collect()),
        ..request(2, SamplingOptions::greedy())
    };
    run(&mut engine, &prompt(3));
    for tokens in 4..100 {
        let before = *calls.lock().expect("calls");
        run(&mut engine, &prompt(tokens));
        let made = *calls.lock().expect("calls") - before;
        // Of the prompt's chunks, but not of the decode step.
        assert!(made.others <= 2, "{tokens} tokens: {made:?}");
    }
    let before = *calls.lock().expect("calls");
    run(&mut engine, &prompt(99));
    assert_eq!((*calls.lock().expect("calls") - before).others, 0);
}

/// A penalty too small to change any logit makes the host choose.
#[test]
fn the_device_chooses_the_tokens_that_the_host_would() {
    if !has_device() {
        return;
    }
    let mut engine = load(&options());
    for sampling in samplings() {
        let here = SamplingOptions { presence_penalty: 1e-30, ..sampling };
        let alone = run(&mut engine, &request(60, sampling));
        assert_eq!(alone.token_ids, run(&mut engine, &request(60, here)).token_ids, "{sampling:?}");
        let other = SamplingOptions { seed: Some(12), ..sampling };
        let mates = run_all(&mut engine, &[request(60, sampling), request(23, other), request(60, sampling)]);
        assert!([0, 2].iter().all(|index| mates[*index].token_ids == alone.token_ids), "{sampling:?}");
    }
}

#[test]
fn what_is_computed_behind_an_end_is_counted() {
    if !has_device() {
        return;
    }
    let mut engine = load(&options());
    let to_length = run(&mut engine, &request(24, SamplingOptions::greedy()));
    assert_eq!((to_length.finish_reason, to_length.wasted_tokens), (FinishReason::Length, 0));
    let full = GenerationRequest { max_new_tokens: None, ..request(0, SamplingOptions::greedy()) };
    let full = run(&mut engine, &full);
    assert_eq!((full.finish_reason, full.wasted_tokens), (FinishReason::Context, 0));

    let cut: String = to_length.text.chars().skip(8).take(6).collect();
    let stopped = GenerationRequest { stop: vec![cut.clone()], ..request(100, SamplingOptions::greedy()) };
    let stopped = run(&mut engine, &stopped);
    assert_eq!(stopped.finish_reason, FinishReason::Stop(cut));
    assert!((1..=2).contains(&stopped.wasted_tokens), "{} tokens", stopped.wasted_tokens);
    // Where the host chooses, it waits for each token.
    let host = SamplingOptions { presence_penalty: 1e-30, ..SamplingOptions::greedy() };
    let stop = vec![to_length.text.chars().skip(8).take(6).collect()];
    assert_eq!(run(&mut engine, &GenerationRequest { stop, ..request(100, host) }).wasted_tokens, 0);
}

/// Neither for what is in flight behind the last end, nor for whether it fails.
#[test]
fn nobody_waits_behind_the_last_end() {
    if !has_device() {
        return;
    }
    let calls = Arc::default();
    let mut engine = load_counting(&calls);
    let text = run(&mut engine, &request(24, SamplingOptions::greedy())).text;
    let before = *calls.lock().expect("calls");
    let stop = vec![text.chars().skip(8).take(6).collect()];
    let stopped = run(&mut engine, &GenerationRequest { stop, ..request(100, SamplingOptions::greedy()) });
    assert!(stopped.wasted_tokens > 0);
    let made = *calls.lock().expect("calls") - before;
    assert_eq!(made.collections, stopped.token_ids.len());
    assert_eq!(made.runs, stopped.token_ids.len() + stopped.wasted_tokens);
    assert_eq!(run(&mut engine, &request(24, SamplingOptions::greedy())).text, text);
}

/// Steps that were in flight behind the end have written to the sequence's pages.
#[test]
fn a_text_goes_on_behind_an_end_as_if_nothing_had_been_computed_there() {
    if !has_device() {
        return;
    }
    let [mut sharing, mut alone] = [true, false].map(|prefix_cache| load(&EngineOptions { prefix_cache, ..options() }));
    let text = run(&mut alone, &request(48, SamplingOptions::greedy())).text;
    // Ends behind each character in turn: on all places of a page.
    let cuts: Vec<usize> = text.char_indices().map(|(at, _)| at).skip(20).step_by(3).take(12).collect();
    for cut in cuts {
        let stop: String = text[cut..].chars().take(12).collect();
        let first = GenerationRequest { stop: vec![stop], ..request(100, SamplingOptions::greedy()) };
        run(&mut sharing, &first);
        let on = GenerationRequest {
            prompt: format!("{QUESTION}{}, and", &text[..cut]),
            ..request(12, SamplingOptions::greedy())
        };
        let (shared, expected) = (run(&mut sharing, &on), run(&mut alone, &on));
        assert_eq!(shared.token_ids, expected.token_ids, "behind {:?}", &text[..cut]);
        assert!(shared.cached_prompt_tokens > 0 || cut < 40, "{} tokens", shared.prompt_tokens);
    }
}

/// The names of the programs that were prepared.
struct Programs(Arc<Mutex<BTreeSet<String>>>);

impl Probe<GpuExecutor> for Programs {
    fn before(&mut self, call: Call<'_>, _: &mut GpuExecutor) -> Result<(), ExecutionError> {
        if let Call::Prepare(recording) = call {
            let names = recording.dispatches.iter().map(|dispatch| dispatch.program.to_string());
            self.0.lock().expect("programs").extend(names);
        }
        Ok(())
    }
}

/// Two sequences of which one decodes while the other's prompt is computed, in chunks, and then both decode.
#[test]
fn what_steps_of_several_sequences_take_is_there_before_they_come() {
    if !has_device() {
        return;
    }
    let programs = Arc::default();
    let mut engine = load_probed(Programs(Arc::clone(&programs)));
    let before = programs.lock().expect("programs").clone();
    assert!(before.iter().any(|name| name.starts_with("attention_merge")), "{before:?}");
    let prompt = |tokens: u32| GenerationRequest {
        prompt_tokens: Some((0..tokens).map(|token| token % 7 + 1).collect()),
        ..request(8, SamplingOptions::greedy())
    };
    run_all(&mut engine, &[prompt(20), prompt(180)]);
    let after = programs.lock().expect("programs").clone();
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
}
