//! The library's engine on the tiny chat model, whose greedy answers are the same on every adapter.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Deserialize;
use wgpt::engine::sampler::SamplingOptions;
use wgpt::engine::{
    Engine, EngineError, EngineOptions, FinishReason, Generation, GenerationRequest, KvType, LoadProgress, OnPrompt,
};
use wgpt::model::ModelError;
use wgpt::schedule::ScheduleError;
use wgpt::text::Message;

use crate::support::command::{chat_model, has_device};

/// Answers of `expected.json` are cut off here.
const MAX_NEW_TOKENS: u32 = 96;
/// The tokens of [`small`]'s context.
const SMALL_CONTEXT: u32 = 40;

/// An entry of `expected.json`.
#[derive(Deserialize)]
struct Expected {
    messages: Option<Vec<Turn>>,
    rendered: String,
    prompt_ids: Vec<u32>,
    ids: Vec<u32>,
    text: String,
    stopped: bool,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

fn expected() -> Vec<Expected> {
    let path = chat_model().join("expected.json");
    serde_json::from_slice(&std::fs::read(path).expect("expected.json")).expect("JSON")
}

/// The entry whose rendered prompt ends the conversation with these words.
fn about(words: &str) -> Expected {
    let find = |e: &Expected| e.rendered.contains(words) && !e.rendered.contains("pirate");
    expected().into_iter().find(find).unwrap_or_else(|| panic!("nothing about {words}"))
}

fn gpu_question() -> Expected {
    about("What is a GPU?")
}

fn sheep() -> Expected {
    about("sheep")
}

fn gguf_model() -> PathBuf {
    chat_model().join("chat.gguf")
}

type Shared = OnceLock<Option<Mutex<Engine>>>;

/// An engine that all tests of one setting share; `None`, with a word why, where no device is usable.
fn shared(engine: &'static Shared, make: impl FnOnce() -> Engine) -> Option<MutexGuard<'static, Engine>> {
    let engine = engine.get_or_init(|| has_device().then(|| Mutex::new(make())));
    match engine {
        Some(engine) => Some(engine.lock().unwrap_or_else(PoisonError::into_inner)),
        None => {
            eprintln!("skipped: no usable GPU device on this machine");
            None
        }
    }
}

fn load(model: &std::path::Path, options: EngineOptions) -> Engine {
    Engine::load(model, &options, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

/// Three sequences, prompts in one chunk, an f16 cache.
fn wide() -> Option<MutexGuard<'static, Engine>> {
    static ENGINE: Shared = OnceLock::new();
    let options = EngineOptions { chunk_size: Some(64), max_sequences: 3, ..EngineOptions::default() };
    shared(&ENGINE, || load(&chat_model(), options))
}

/// Three sequences, prompts three tokens at a time, an f32 cache, no shared prefixes; from the GGUF file.
fn narrow() -> Option<MutexGuard<'static, Engine>> {
    static ENGINE: Shared = OnceLock::new();
    let kv_type = KvType::F32;
    let prefix_cache = false;
    let options =
        EngineOptions { chunk_size: Some(3), max_sequences: 3, kv_type, prefix_cache, ..EngineOptions::default() };
    shared(&ENGINE, || load(&gguf_model(), options))
}

/// Two sequences in a context of [`SMALL_CONTEXT`], prompts one token at a time.
fn small() -> Option<MutexGuard<'static, Engine>> {
    static ENGINE: Shared = OnceLock::new();
    let context = Some(SMALL_CONTEXT);
    let options = EngineOptions { chunk_size: Some(1), max_sequences: 2, context, ..EngineOptions::default() };
    shared(&ENGINE, || load(&chat_model(), options))
}

fn greedy(prompt: &str) -> GenerationRequest {
    GenerationRequest {
        prompt: prompt.to_owned(),
        max_new_tokens: Some(MAX_NEW_TOKENS),
        sampling: SamplingOptions::greedy(),
        ..GenerationRequest::default()
    }
}

/// Far from the model's own choice, so that the dice decide.
fn dice(seed: u64) -> GenerationRequest {
    let flat = SamplingOptions { temperature: 8.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplingOptions::default() };
    GenerationRequest {
        max_new_tokens: Some(24),
        ignore_eos: true,
        sampling: SamplingOptions { seed: Some(seed), ..flat },
        ..greedy("Once upon a time")
    }
}

/// Runs a request, and checks that what was streamed is what came out.
fn run(engine: &mut Engine, request: &GenerationRequest) -> Generation {
    run_all(engine, std::slice::from_ref(request)).pop().expect("one result")
}

fn run_all(engine: &mut Engine, requests: &[GenerationRequest]) -> Vec<Generation> {
    let mut streamed = vec![String::new(); requests.len()];
    let done = engine
        .generate_batch(requests, &mut |index, text| {
            assert!(!text.is_empty(), "request {index} got an empty piece");
            streamed[index].push_str(text);
            ControlFlow::Continue(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(done.len(), requests.len());
    for (generation, streamed) in done.iter().zip(streamed) {
        assert_eq!(generation.text, streamed, "the result and the stream");
    }
    done
}

fn assert_is(generation: &Generation, expected: &Expected) {
    assert_eq!(generation.text, expected.text);
    assert_eq!(generation.token_ids, expected.ids, "{}", expected.text);
    assert_eq!(generation.prompt_tokens, expected.prompt_ids.len(), "{}", expected.rendered);
    let reason = if expected.stopped { FinishReason::Eos } else { FinishReason::Length };
    assert_eq!(generation.finish_reason, reason, "{}", expected.text);
}

/// The engine still answers as it should: no page, slot or sampler state was lost.
fn assert_works(engine: &mut Engine) {
    let question = gpu_question();
    let generation = run(engine, &greedy(&question.rendered));
    assert!(question.text.starts_with(&generation.text) && generation.text.len() > 20, "{}", generation.text);
}

fn fails(engine: &mut Engine, requests: &[GenerationRequest]) -> EngineError {
    let result = engine.generate_batch(requests, &mut |_, _| ControlFlow::Continue(()));
    let error = result.map(|_| ()).expect_err("an error");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    error
}

mod alone {
    use super::*;

    #[test]
    fn templates_and_tokens_are_transformers() {
        for engine in [wide(), narrow()].into_iter().flatten() {
            for e in expected() {
                assert_eq!(engine.tokenizer().encode(&e.rendered, false).expect("tokens"), e.prompt_ids);
                if let Some(turns) = &e.messages {
                    let messages: Vec<_> = turns.iter().map(|t| Message::new(&t.role, &t.content)).collect();
                    assert_eq!(engine.apply_chat_template(&messages).expect("a prompt"), e.rendered);
                }
            }
        }
    }

    #[test]
    fn every_expected_text_comes_with_large_and_small_chunks_and_either_cache() {
        for mut engine in [wide(), narrow()].into_iter().flatten() {
            for e in expected() {
                assert_is(&run(&mut engine, &greedy(&e.rendered)), &e);
            }
        }
    }

    #[test]
    fn a_prompt_of_single_token_chunks_gives_the_same_text() {
        let Some(mut engine) = small() else { return };
        let question = gpu_question();
        assert_is(&run(&mut engine, &greedy(&question.rendered)), &question);
    }

    #[test]
    fn lengths_of_none_one_and_exactly_enough() {
        let Some(mut engine) = wide() else { return };
        let question = gpu_question();
        let with = |n| GenerationRequest { max_new_tokens: Some(n), ..greedy(&question.rendered) };
        let none = run(&mut engine, &with(0));
        assert_eq!((none.text.as_str(), none.token_ids.len()), ("", 0));
        assert_eq!((none.finish_reason, none.prompt_tokens), (FinishReason::Length, question.prompt_ids.len()));
        let one = run(&mut engine, &with(1));
        assert_eq!((one.token_ids.as_slice(), one.finish_reason), (&question.ids[..1], FinishReason::Length));
        let enough = question.ids.len() as u32;
        assert_is(&run(&mut engine, &with(enough)), &question);
        let less = run(&mut engine, &with(enough - 1));
        assert_eq!((less.text, less.finish_reason), (question.text, FinishReason::Length));
    }

    #[test]
    fn characters_that_the_length_cuts_are_not_lost_silently() {
        let Some(mut engine) = wide() else { return };
        // Emoji and CJK characters take several tokens each: every length must give whole characters, or a mark.
        let hello = about("five languages");
        for n in 24..48 {
            let cut = GenerationRequest { max_new_tokens: Some(n), ..greedy(&hello.rendered) };
            let text = run(&mut engine, &cut).text;
            let whole = text.trim_end_matches('\u{fffd}');
            assert!(hello.text.starts_with(whole), "{n} tokens: {text:?}");
        }
    }

    #[test]
    fn ignoring_the_end_goes_on_behind_it() {
        let Some(mut engine) = wide() else { return };
        let question = gpu_question();
        let more = question.ids.len() + 10;
        let on =
            GenerationRequest { ignore_eos: true, max_new_tokens: Some(more as u32), ..greedy(&question.rendered) };
        let generation = run(&mut engine, &on);
        assert_eq!((generation.token_ids.len(), generation.finish_reason), (more, FinishReason::Length));
        assert!(generation.token_ids.starts_with(&question.ids) && generation.text.starts_with(&question.text));
    }

    #[test]
    fn times_are_in_order() {
        let Some(mut engine) = wide() else { return };
        let generation = run(&mut engine, &greedy(&gpu_question().rendered));
        let times = generation.timings;
        assert!(!times.prefill.is_zero() && !times.decode.is_zero() && times.time_to_first_token >= times.prefill);
        assert!(generation.decode_tokens_per_second() > 0.0 && generation.prompt_tokens_per_second() > 0.0);
    }
}

mod batches {
    use super::*;

    #[test]
    fn requests_side_by_side_and_in_a_queue_give_what_each_gives_alone() {
        // Seven requests for three sequences, prompts from 6 to 30 tokens, answers from 16 to 96.
        for mut engine in [wide(), narrow()].into_iter().flatten() {
            let all = expected();
            let requests: Vec<_> = all.iter().map(|e| greedy(&e.rendered)).collect();
            for (generation, e) in run_all(&mut engine, &requests).iter().zip(&all) {
                assert_is(generation, e);
            }
        }
    }

    #[test]
    fn one_that_ends_early_leaves_the_others_alone() {
        let Some(mut engine) = narrow() else { return };
        let (question, sheep) = (gpu_question(), sheep());
        let short = GenerationRequest { max_new_tokens: Some(2), ..greedy(&sheep.rendered) };
        let none = GenerationRequest { max_new_tokens: Some(0), ..greedy(&sheep.rendered) };
        let stop = GenerationRequest { stop: vec!["processor".into()], ..greedy(&question.rendered) };
        let done = run_all(&mut engine, &[greedy(&sheep.rendered), short, greedy(&question.rendered), none, stop]);
        assert_is(&done[0], &sheep);
        assert_eq!(done[1].token_ids, sheep.ids[..2]);
        assert_is(&done[2], &question);
        assert_eq!(done[3].text, "");
        assert_eq!(done[4].text, "A GPU is a ");
    }

    #[test]
    fn no_requests_are_no_work() {
        let Some(mut engine) = wide() else { return };
        assert!(run_all(&mut engine, &[]).is_empty());
    }

    #[test]
    fn a_greedy_request_is_the_same_beside_a_sampled_one() {
        let Some(mut engine) = wide() else { return };
        let question = gpu_question();
        let done = run_all(&mut engine, &[dice(1), greedy(&question.rendered), dice(1)]);
        assert_is(&done[1], &question);
        assert_eq!(done[0].token_ids, done[2].token_ids, "the same seed side by side");
        assert_eq!(done[0].token_ids, run(&mut engine, &dice(1)).token_ids, "the same seed alone");
    }

    #[test]
    fn an_error_in_one_ends_all_and_harms_none_that_follow() {
        let Some(mut engine) = wide() else { return };
        let good = || greedy(&gpu_question().rendered);
        let hot = SamplingOptions { temperature: f32::NAN, ..SamplingOptions::default() };
        for _ in 0..4 {
            let error = fails(&mut engine, &[good(), good(), greedy("")]);
            assert!(matches!(error, EngineError::EmptyPrompt), "{error}");
            let error = fails(&mut engine, &[good(), GenerationRequest { sampling: hot, ..good() }]);
            assert!(matches!(error, EngineError::Sampling(_)), "{error}");
            let error = fails(&mut engine, &[good(), greedy(&"a long story ".repeat(1000)), good()]);
            assert!(matches!(error, EngineError::Schedule(ScheduleError::PromptTooLong { .. })), "{error}");
        }
        let panics = |engine: &mut Engine| engine.generate(&good(), &mut |_| panic!("the caller's own"));
        let caught = catch_unwind(AssertUnwindSafe(|| panics(&mut engine)));
        assert!(caught.is_err());
        assert_works(&mut engine);
        let all = expected();
        let requests: Vec<_> = all.iter().map(|e| greedy(&e.rendered)).collect();
        for (generation, e) in run_all(&mut engine, &requests).iter().zip(&all) {
            assert_is(generation, e);
        }
    }
}

mod prefixes {
    use super::*;

    /// What a prompt of so many tokens finds in the cache, once it has been computed: whole pages, and a token less.
    fn cached(prompt_tokens: usize) -> usize {
        (prompt_tokens - 1) / 16 * 16
    }

    /// Dice behind a long prompt: any other logits would soon make another text.
    fn long() -> GenerationRequest {
        let sheep = sheep();
        GenerationRequest { prompt: sheep.rendered + &sheep.text, ..dice(1) }
    }

    #[test]
    fn a_prompt_that_comes_again_is_not_computed_again() {
        let Some(mut engine) = wide() else { return };
        let sheep = sheep();
        run(&mut engine, &greedy(&sheep.rendered));
        let again = run(&mut engine, &greedy(&sheep.rendered));
        assert_is(&again, &sheep);
        assert_eq!(again.cached_prompt_tokens, cached(again.prompt_tokens));
        assert!(again.cached_prompt_tokens > 0 && again.prompt_tokens_per_second() > 0.0);
        // Its answer is in the cache as well.
        let on = run(&mut engine, &greedy(&(sheep.rendered + &sheep.text)));
        assert!(on.cached_prompt_tokens > again.prompt_tokens, "{} of {}", on.cached_prompt_tokens, on.prompt_tokens);
        let Some(mut without) = narrow() else { return };
        run(&mut without, &long());
        assert_eq!(run(&mut without, &long()).cached_prompt_tokens, 0);
    }

    #[test]
    fn deterministic_engines_draw_the_same_whatever_is_cached_cut_or_beside_it() {
        if !has_device() {
            return;
        }
        let options = |chunk_size, prefix_cache| EngineOptions {
            chunk_size: Some(chunk_size),
            max_sequences: 3,
            deterministic: true,
            prefix_cache,
            ..EngineOptions::default()
        };
        let mut plain = load(&chat_model(), options(64, false));
        assert!(plain.info().kernels[0].contains("deterministic"), "{:?}", plain.info().kernels);
        let expected = run(&mut plain, &long());
        let mut engine = load(&chat_model(), options(7, true));
        for found in [0, cached(expected.prompt_tokens)] {
            let generation = run(&mut engine, &long());
            assert_eq!((generation.token_ids, generation.cached_prompt_tokens), (expected.token_ids.clone(), found));
        }
        for generation in run_all(&mut engine, &[long(), greedy(&gpu_question().rendered), long()]).iter().step_by(2) {
            assert_eq!(generation.token_ids, expected.token_ids);
        }
    }
}

mod full_context {
    use super::*;

    #[test]
    fn generation_ends_when_prompt_and_text_fill_it() {
        let Some(mut engine) = small() else { return };
        let sheep = sheep();
        let endless = GenerationRequest { max_new_tokens: None, ..greedy(&sheep.rendered) };
        let room = SMALL_CONTEXT as usize - sheep.prompt_ids.len();
        for generation in run_all(&mut engine, &[endless.clone(), endless.clone(), endless]) {
            assert_eq!(generation.finish_reason, FinishReason::Context);
            assert_eq!(generation.token_ids, sheep.ids[..room]);
        }
        // Exactly as many as there is room for were asked for, and made.
        let fits = GenerationRequest { max_new_tokens: Some(room as u32), ..greedy(&sheep.rendered) };
        assert_eq!(run(&mut engine, &fits).finish_reason, FinishReason::Length);
    }

    #[test]
    fn a_prompt_that_is_too_long_is_refused_and_the_engine_goes_on() {
        let Some(mut engine) = small() else { return };
        let tokens = |n: usize| " baa".repeat(n);
        let count = |engine: &Engine, text: &str| engine.tokenizer().encode(text, false).expect("tokens").len();
        assert_eq!(count(&engine, &tokens(100)), 100, "a token a word");
        for n in [SMALL_CONTEXT as usize, SMALL_CONTEXT as usize + 1, 1000] {
            match fails(&mut engine, &[greedy(&tokens(n))]) {
                EngineError::Schedule(ScheduleError::PromptTooLong { prompt_len, max_context, .. }) => {
                    assert_eq!((prompt_len, max_context), (n, SMALL_CONTEXT as usize));
                }
                other => panic!("{other}"),
            }
        }
        let last = GenerationRequest { max_new_tokens: None, ..greedy(&tokens(SMALL_CONTEXT as usize - 1)) };
        let generation = run(&mut engine, &last);
        assert_eq!((generation.token_ids.len(), generation.finish_reason), (1, FinishReason::Context));
        assert_works(&mut engine);
    }
}

mod stopping {
    use super::*;

    #[test]
    fn a_callback_that_breaks_ends_its_own_request_only() {
        let Some(mut engine) = wide() else { return };
        let all = expected();
        let requests: Vec<_> = all.iter().map(|e| greedy(&e.rendered)).collect();
        let mut calls = vec![0; requests.len()];
        let broken = [1, 4];
        let done = engine.generate_batch(&requests, &mut |index, _| {
            calls[index] += 1;
            if broken.contains(&index) && calls[index] == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        for (index, (generation, e)) in done.unwrap_or_else(|e| panic!("{e}")).iter().zip(&all).enumerate() {
            if broken.contains(&index) {
                assert_eq!((calls[index], &generation.finish_reason), (2, &FinishReason::Interrupted));
                assert!(e.text.starts_with(&generation.text) && generation.text.len() < e.text.len());
            } else {
                assert_is(generation, e);
            }
        }
        assert_works(&mut engine);
    }

    #[test]
    fn what_was_held_back_for_a_stop_string_is_not_shown_after_a_break() {
        let Some(mut engine) = wide() else { return };
        // The second token, " GPU", shows its space and holds back what may begin the stop string.
        let stop = vec!["GPUs".to_owned()];
        let request = GenerationRequest { stop, ..greedy(&gpu_question().rendered) };
        let mut pieces = Vec::new();
        let done = engine.generate(&request, &mut |text| {
            pieces.push(text.to_owned());
            if pieces.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let generation = done.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((pieces.len(), &generation.finish_reason), (2, &FinishReason::Interrupted), "{pieces:?}");
        assert_eq!(generation.text, pieces.concat());
    }

    #[test]
    fn an_interrupt_before_the_start_makes_nothing_of_a_long_prompt() {
        let Some(mut engine) = narrow() else { return };
        let raised = Arc::new(AtomicBool::new(true));
        let sheep = sheep();
        let request = GenerationRequest { interrupt: Some(raised), ..greedy(&sheep.rendered) };
        // One chunk of three tokens runs; it is not the prompt's last.
        let generation = run(&mut engine, &request);
        assert_eq!((generation.text.as_str(), generation.token_ids.len()), ("", 0));
        assert_eq!(generation.finish_reason, FinishReason::Interrupted);
        assert_works(&mut engine);
    }

    #[test]
    fn a_prompt_is_told_of_after_each_of_its_steps_but_the_last() {
        let Some(mut engine) = narrow() else { return };
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        let on_prompt = OnPrompt::new(move |computed, tokens| listener.lock().expect("alone").push((computed, tokens)));
        let question = gpu_question();
        let request = GenerationRequest { on_prompt: Some(on_prompt), ..greedy(&question.rendered) };
        assert_is(&run(&mut engine, &request), &question);
        let tokens = question.prompt_ids.len();
        let expected: Vec<_> = (0..tokens).step_by(3).map(|computed| (computed, tokens)).collect();
        assert_eq!(*told.lock().expect("alone"), expected);
    }

    #[test]
    fn an_interrupt_from_the_callback_ends_all_that_share_the_flag() {
        let Some(mut engine) = wide() else { return };
        let flag = Arc::new(AtomicBool::new(false));
        let sheep = sheep();
        let interrupt = Some(Arc::clone(&flag));
        let request = GenerationRequest { interrupt, ..greedy(&sheep.rendered) };
        let requests = [request.clone(), greedy(&sheep.rendered), request];
        let mut calls = 0;
        let done = engine.generate_batch(&requests, &mut |index, _| {
            calls += usize::from(index == 0);
            flag.store(calls >= 5, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
        let done = done.unwrap_or_else(|e| panic!("{e}"));
        for index in [0, 2] {
            assert_eq!(done[index].finish_reason, FinishReason::Interrupted);
            assert_eq!(done[index].token_ids, sheep.ids[..5], "the running step was the last");
        }
        assert_is(&done[1], &sheep);
    }

    #[test]
    fn stop_strings_that_span_tokens_end_the_text_before_them() {
        let Some(mut engine) = wide() else { return };
        let (question, hello) = (gpu_question(), about("five languages"));
        for (e, stops, kept, matched) in [
            (&question, &["r that d"][..], "A GPU is a processo", "r that d"),
            (&question, &["A GPU is"], "", "A GPU is"),
            (&question, &["once.x", "at once"], "A GPU is a processor that does many small sums ", "at once"),
            (&question, &["small", "many", "does many small sums at once!"], "A GPU is a processor that does ", "many"),
            (&hello, &["んにち"], "Hello, ¡hola!, Grüß Gott, こ", "んにち"),
        ] {
            let stop = stops.iter().map(|&s| s.to_owned()).collect();
            let generation = run(&mut engine, &GenerationRequest { stop, ..greedy(&e.rendered) });
            assert_eq!(generation.text, kept);
            assert_eq!(generation.finish_reason, FinishReason::Stop(matched.to_owned()));
            assert!(generation.token_ids.len() < e.ids.len() && e.ids.starts_with(&generation.token_ids));
        }
        // What looked like a stop string to the very end is text after all.
        for stop in ["sums at once. And", "never", ""] {
            let request = GenerationRequest { stop: vec![stop.to_owned()], ..greedy(&question.rendered) };
            assert_is(&run(&mut engine, &request), &question);
        }
    }
}

mod sampling {
    use super::*;

    #[test]
    fn the_seed_decides() {
        let Some(mut engine) = wide() else { return };
        let first = run(&mut engine, &dice(1));
        assert_eq!(first.token_ids.len(), 24);
        assert_eq!(first.text, run(&mut engine, &dice(1)).text);
        assert_ne!(first.token_ids, run(&mut engine, &dice(2)).token_ids);
        let unseeded = |request: GenerationRequest| {
            let sampling = SamplingOptions { seed: None, ..request.sampling };
            GenerationRequest { sampling, ..request }
        };
        let (a, b) = (run(&mut engine, &unseeded(dice(1))), run(&mut engine, &unseeded(dice(1))));
        assert_ne!(a.token_ids, b.token_ids, "without a seed no two runs are alike");
    }

    #[test]
    fn filters_that_leave_one_token_make_dice_greedy() {
        let Some(mut engine) = narrow() else { return };
        let question = gpu_question();
        let hot = SamplingOptions { temperature: 8.0, ..SamplingOptions::default() };
        for sampling in [
            SamplingOptions { top_k: 1, ..hot },
            SamplingOptions { top_p: 0.0, ..hot },
            SamplingOptions { min_p: 1.0, ..hot },
        ] {
            assert_is(&run(&mut engine, &GenerationRequest { sampling, ..greedy(&question.rendered) }), &question);
        }
    }

    #[test]
    fn penalties_keep_every_token_from_coming_twice() {
        let Some(mut engine) = wide() else { return };
        let sheep = sheep();
        let all = SamplingOptions { repeat_last_n: SamplingOptions::ALL_TOKENS, ..SamplingOptions::greedy() };
        for sampling in [
            SamplingOptions { presence_penalty: 1000.0, ..all },
            SamplingOptions { frequency_penalty: 1000.0, temperature: 0.5, seed: Some(3), ..all },
        ] {
            let request = GenerationRequest { sampling, ignore_eos: true, ..greedy(&sheep.rendered) };
            let generation = run(&mut engine, &request);
            let mut seen = sheep.prompt_ids.clone();
            for token in &generation.token_ids {
                assert!(!seen.contains(token), "token {token} came again: {:?}", generation.text);
                seen.push(*token);
            }
            assert_eq!(generation.token_ids.len(), MAX_NEW_TOKENS as usize);
        }
        // A window of one token: what came last does not come next, what came before it may.
        let window = SamplingOptions { repeat_last_n: 1, presence_penalty: 1000.0, ..all };
        let generation = run(&mut engine, &GenerationRequest { sampling: window, ..greedy(&sheep.rendered) });
        assert!(generation.token_ids.windows(2).all(|pair| pair[0] != pair[1]), "{:?}", generation.text);
    }
}

mod overflow {
    use super::*;
    use crate::support::damage::{Change, chat_model_with};
    use wgpt::engine::NonFinite;

    /// Runs two requests at once, greedy ones and then sampled ones, and gives what the error says of the cause.
    fn origins(changes: &[(&str, Change<'_>)], options: &EngineOptions) -> Vec<NonFinite> {
        let folder = chat_model_with(changes);
        let mut engine = load(folder.path(), EngineOptions { max_sequences: 2, ..options.clone() });
        let prompt = gpu_question().rendered;
        let mut origins = Vec::new();
        for request in [greedy(&prompt), GenerationRequest { prompt: prompt.clone(), ..dice(1) }] {
            let mut pieces = 0;
            let result = engine.generate_batch(&[request.clone(), request], &mut |_, _| {
                pieces += 1;
                ControlFlow::Continue(())
            });
            let error = result.map(|_| ()).expect_err("an error");
            assert_eq!((pieces, error.to_string().lines().count()), (0, 1), "{error}");
            let text = error.to_string();
            let EngineError::NotFinite { origin, .. } = error else { panic!("{text}") };
            assert!(text.contains(&origin.label.to_string()), "{text}");
            origins.push(*origin);
        }
        origins
    }

    fn assert_begins(what: &str, changes: &[(&str, Change<'_>)], options: &EngineOptions) {
        for origin in origins(changes, options) {
            assert_eq!(origin.label.to_string(), what, "{origin}");
        }
    }

    /// Every weight is a number, but what is computed with these is not.
    #[test]
    fn the_dispatch_where_the_numbers_end_is_named() {
        if !has_device() {
            return;
        }
        let huge: Change<'_> = &|_, _| 3.3e38;
        let minus: Change<'_> = &|_, _| -3.3e38;
        let options = EngineOptions::default();
        // Products take no halves of norms here, whatever the adapter.
        let in_one_order = EngineOptions { deterministic: true, ..options.clone() };
        assert_begins("layer 1 residual + output_norm", &[("model.norm.weight", huge)], &in_one_order);
        assert_begins("layer 1 residual + output_norm", &[("model.norm.weight", minus)], &in_one_order);
        assert_begins("layer 1 ffn_gate_up", &[("model.layers.1.mlp.up_proj.weight", huge)], &options);
        assert_begins("layer 0 attn_norm", &[("model.layers.0.input_layernorm.weight", minus)], &options);
    }

    #[test]
    fn values_too_large_for_an_f16_cache_are_told_from_others() {
        if !has_device() {
            return;
        }
        // Of the size of 1e5 or more: no f16, but an f32.
        let large: Change<'_> = &|_, value| value * 1e6;
        let change = [("model.layers.1.self_attn.v_proj.weight", large)];
        assert_begins("layer 1 rope_append", &change, &EngineOptions::default());
        let folder = chat_model_with(&change);
        let options = EngineOptions { kv_type: KvType::F32, ..EngineOptions::default() };
        let generation = run(&mut load(folder.path(), options), &greedy(&gpu_question().rendered));
        assert!(!generation.token_ids.is_empty());
    }

    /// Where the step that fails only reads what an earlier one has appended, the earlier one is to blame.
    #[test]
    fn what_an_earlier_chunk_left_in_the_cache_is_traced_to_it() {
        if !has_device() {
            return;
        }
        let ids = gpu_question().prompt_ids;
        let (first, rest) = ids.split_at(4);
        let token = first.iter().find(|id| !rest.contains(id)).copied().expect("a token of the first chunk alone");
        // This token alone has something in the first channel, and of it V makes a number that is no f16.
        let channel = |index: usize| index.is_multiple_of(64);
        let embedding = move |index: usize, value: f32| match (channel(index), index / 64 == token as usize) {
            (true, true) => 10.0,
            (true, false) => 0.0,
            (false, _) => value,
        };
        let v = move |index: usize, value: f32| if channel(index) { 1e6 } else { value };
        let changes: [(&str, Change<'_>); 2] =
            [("model.embed_tokens.weight", &embedding), ("model.layers.0.self_attn.v_proj.weight", &v)];
        let options = EngineOptions { chunk_size: Some(4), ..EngineOptions::default() };
        assert_begins("layer 0 rope_append", &changes, &options);
    }

    /// With other steps in flight behind it.
    #[test]
    fn the_step_that_fails_is_named_though_those_behind_it_have_run() {
        if !has_device() {
            return;
        }
        // As above, and the token is drawn some time.
        let token = 100;
        let channel = |index: usize| index.is_multiple_of(64);
        let embedding = |index: usize, value: f32| match (channel(index), index / 64 == token) {
            (true, true) => 10.0,
            (true, false) => 0.0,
            (false, _) => value,
        };
        let v = |index: usize, value: f32| if channel(index) { 1e6 } else { value };
        let folder = chat_model_with(&[
            ("model.embed_tokens.weight", &embedding),
            ("model.layers.0.self_attn.v_proj.weight", &v),
        ]);
        // In f32 the number is one.
        let mut sound = load(folder.path(), EngineOptions { kv_type: KvType::F32, ..EngineOptions::default() });
        let (request, prompt_tokens, index) = (1..200)
            .find_map(|seed| {
                let generation = run(&mut sound, &dice(seed));
                let index = generation.token_ids.iter().position(|id| *id as usize == token)?;
                (2..16).contains(&index).then(|| (dice(seed), generation.prompt_tokens, index))
            })
            .expect("a seed that draws the token");
        let mut engine = load(folder.path(), EngineOptions::default());
        match fails(&mut engine, &[request]) {
            EngineError::NotFinite { position, origin } => {
                assert_eq!(position, prompt_tokens + index);
                // On software adapters attention appends.
                assert!(origin.label.to_string().starts_with("layer 0 rope_append"), "{}", origin.label);
                assert_eq!(origin.value.abs(), f32::INFINITY, "what no f16 holds");
            }
            other => panic!("{other}"),
        }
    }
}

mod loading {
    use super::*;

    #[test]
    fn what_the_engine_says_of_itself_is_what_was_asked_for() {
        let Some(engine) = small() else { return };
        let info = engine.info();
        assert_eq!((info.architecture.as_str(), info.quantisation.as_str()), ("llama", "BF16"));
        assert_eq!((info.context, info.chunk_size, info.has_chat_template), (SMALL_CONTEXT, 1, true));
        // K and V of 2 layers, 2 heads of 16, in f16, for two sequences of whole pages.
        assert!(info.memory.kv_cache >= u64::from(2 * SMALL_CONTEXT) * 2 * 2 * 2 * 16 * 2, "{:?}", info.memory);
        // The embedding (tied), and in each layer Q and O, K and V, three matrices of the FFN and two norms; one at last.
        let layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 192 + 2 * 64;
        assert_eq!(info.parameters, 400 * 64 + 2 * layer + 64);
    }

    #[test]
    fn progress_rises_from_opened_to_ready() {
        if !has_device() {
            return;
        }
        let mut steps = Vec::new();
        let options = EngineOptions { context: Some(64), ..EngineOptions::default() };
        let engine = Engine::load(&gguf_model(), &options, &mut |step| steps.push(step));
        let engine = engine.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            (engine.info().context, engine.info().chunk_size),
            (64, 64),
            "a chunk is no longer than the context"
        );
        let [LoadProgress::Opened { bytes }, uploads @ .., LoadProgress::Ready] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        let uploaded: Vec<_> = uploads
            .iter()
            .map(|step| match step {
                LoadProgress::Uploaded { bytes } => *bytes,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(uploaded.is_sorted() && uploaded.last() == Some(bytes), "{bytes}: {uploaded:?}");
    }

    #[test]
    fn a_token_that_the_model_has_no_row_for_is_a_warning_and_an_error_only_in_a_prompt() {
        if !has_device() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        for name in ["config.json", "generation_config.json", "model.safetensors", "tokenizer_config.json"] {
            std::fs::copy(chat_model().join(name), folder.path().join(name)).expect("copied");
        }
        let text = std::fs::read(chat_model().join("tokenizer.json")).expect("a tokenizer");
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let image = serde_json::json!({
            "id": 400, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        });
        tokenizer["added_tokens"].as_array_mut().expect("a list").push(image);
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).expect("written");

        let mut engine = load(folder.path(), EngineOptions { max_sequences: 2, ..EngineOptions::default() });
        let warnings = &engine.info().warnings;
        assert!(warnings.iter().any(|w| w.contains("401") && w.contains("400")), "{warnings:?}");
        let question = gpu_question();
        let error = fails(&mut engine, &[greedy(&question.rendered), greedy("What is in <image>?")]);
        assert!(error.to_string().contains("400"), "{error}");
        // The uppermost bit is the batches' own.
        for token in [400, 1 << 31, u32::MAX] {
            let tokens = GenerationRequest { prompt_tokens: Some(vec![5, token]), ..greedy("") };
            let error = fails(&mut engine, &[greedy(&question.rendered), tokens]);
            assert!(matches!(error, EngineError::Model(ModelError::TokenOutOfRange { .. })), "{error}");
        }
        assert_is(&run(&mut engine, &greedy(&question.rendered)), &question);
    }

    #[test]
    fn options_that_make_no_engine_are_refused() {
        let fails = |options: EngineOptions| {
            Engine::load(&chat_model(), &options, &mut |_| {}).map(|_| ()).expect_err("an error")
        };
        let usual = EngineOptions::default;
        for options in [
            EngineOptions { context: Some(0), ..usual() },
            EngineOptions { chunk_size: Some(0), ..usual() },
            EngineOptions { max_sequences: 0, ..usual() },
        ] {
            assert!(matches!(fails(options), EngineError::Zero { .. }));
        }
        let error = fails(EngineOptions { context: Some(1025), ..usual() });
        assert!(matches!(error, EngineError::ContextTooLong { asked: 1025, limit: 1024 }), "{error}");
    }
}
