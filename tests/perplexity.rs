//! Scoring: against transformers and llama.cpp on the same windows, and `wgpt perplexity` as a process.
//!
//! The goldens are in `oracle/perplexity`; real models are looked for as in `models_real`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use wgpt::engine::scoring::saved_logits::{Reader, SavedLogitsError};
use wgpt::engine::scoring::{LogitRows, Moments, Window, Windows};
use wgpt::engine::{Engine, EngineError, EngineOptions, KvType};

use crate::support::command::{chat_model, has_device};
use crate::support::damage::chat_model_with;
use crate::support::models::{Expected, oracle};

/// Of a window's mean negative log-likelihood. With random models float32 rounding alone moves it by some 1e-5.
const TOLERANCE: f64 = 2e-4;

/// `perplexity/NAME.json`.
#[derive(Deserialize)]
struct Golden {
    tokens: usize,
    bos: Option<u32>,
    cuts: Vec<Cut>,
}

#[derive(Deserialize)]
struct Cut {
    context: usize,
    stride: Option<usize>,
    scored: usize,
    /// The mean negative log-likelihood of each window.
    nll: Vec<f64>,
}

impl Cut {
    fn windows(&self) -> Windows {
        match self.stride {
            None => Windows::side_by_side(self.context),
            Some(stride) => Windows::sliding(self.context, stride),
        }
        .expect("a valid cut")
    }
}

fn golden(name: &str) -> Golden {
    let path = oracle("perplexity").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/perplexity/text.txt");
/// What `llama-perplexity --kl-divergence-base` wrote.
const LLAMA_CPP_BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/perplexity/llama_cpp-tiny-chat.kld");

/// The text as the command line reads it.
fn text_tokens(engine: &Engine) -> Vec<u32> {
    let text = std::fs::read_to_string(TEXT).expect("the text");
    let ids = engine.tokenizer().encode_plain(text.strip_suffix('\n').unwrap_or(&text)).expect("tokens");
    [engine.tokenizer().prefix(), &ids].concat()
}

fn load(path: &Path, options: EngineOptions) -> Engine {
    Engine::load(path, &options, &mut |_| {}).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn scoring(chunk: u32, kv_type: KvType) -> EngineOptions {
    EngineOptions { scoring: true, chunk_size: Some(chunk), kv_type, context: Some(128), ..EngineOptions::default() }
}

/// Each window's scores.
fn score(engine: &mut Engine, windows: &[Window]) -> Vec<Moments> {
    let mut scores = vec![Moments::default(); windows.len()];
    let mut ended = 0;
    let mut take = |rows: LogitRows<'_>| {
        assert_eq!(rows.window, ended, "windows come in order");
        scores[rows.window] += rows.rows.iter().map(|row| row.nll()).collect::<Moments>();
        ended += usize::from(rows.ends_window);
        Ok::<_, EngineError>(())
    };
    let done = engine.score(windows, None, &mut take).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((done, ended), (windows.len(), windows.len()));
    scores
}

/// Holds each window's score against the golden's, and returns them.
fn assert_agrees(engine: &mut Engine, tokens: &[u32], golden: &Golden, cut: &Cut, tolerance: f64) -> Vec<Moments> {
    let windows = cut.windows().with_bos(golden.bos).of(tokens, cut.nll.len()).expect("windows");
    assert_eq!(windows.len(), cut.nll.len());
    let scores = score(engine, &windows);
    for (index, (score, want)) in scores.iter().zip(&cut.nll).enumerate() {
        let got = score.mean().value;
        assert_eq!(score.count, cut.scored as u64);
        let cut = format!("-c {} --ppl-stride {:?}", cut.context, cut.stride);
        assert!((got - want).abs() <= tolerance, "{cut}, window {index}: {got} is not {want}");
    }
    scores
}

mod oracles {
    use super::*;

    #[test]
    fn the_text_scores_as_with_transformers_in_any_chunks() {
        if !has_device() {
            return;
        }
        let golden = golden("tiny-chat");
        let plain = EngineOptions { scoring: false, ..scoring(64, KvType::F32) };
        let few = |cut: &&Cut| cut.nll.len() <= 8;
        // Not loaded for scoring: a row a step, so not all of the text.
        for (options, chosen) in [(scoring(128, KvType::F32), true), (scoring(13, KvType::F32), true), (plain, false)] {
            let mut engine = load(&chat_model(), options);
            let tokens = text_tokens(&engine);
            assert_eq!(tokens.len(), golden.tokens);
            for cut in golden.cuts.iter().filter(|cut| chosen || few(cut)) {
                assert_agrees(&mut engine, &tokens, &golden, cut, TOLERANCE);
            }
        }
    }

    #[test]
    fn every_family_scores_as_the_logits_of_transformers_say() {
        if !has_device() {
            return;
        }
        for name in ["gemma3-q5_0", "llama-k", "llama3-f32", "qwen2-mixed", "qwen3-q4_0", "smollm2-q4_1"] {
            let folder = oracle("tiny/gguf");
            let expected = Expected::open(&folder.join(format!("{name}.expected.safetensors")));
            let (tokens, logits) = (expected.ids("input_ids.2"), expected.floats("logits.2"));
            let vocabulary = logits.len() / tokens.len();
            let nll = |row: usize| {
                let row_logits = &logits[row * vocabulary..(row + 1) * vocabulary];
                let sum: f64 = row_logits.iter().map(|&x| f64::from(x).exp()).sum();
                sum.ln() - f64::from(row_logits[tokens[row + 1] as usize])
            };
            let mut engine = load(&folder.join(format!("{name}.gguf")), scoring(16, KvType::F32));
            for first_scored in [1, 20, 44] {
                let want: Moments = (first_scored - 1..tokens.len() - 1).map(nll).collect();
                let window = Window { tokens: tokens.clone(), first_scored };
                let got = score(&mut engine, &[window])[0];
                assert_eq!(got.count, want.count);
                let (got, want) = (got.mean().value, want.mean().value);
                assert!((got - want).abs() <= TOLERANCE, "{name} from {first_scored}: {got} is not {want}");
            }
        }
    }

    /// A list of these for each model in `perplexity/llama_cpp.json`.
    #[derive(Deserialize)]
    struct LlamaCpp {
        context: usize,
        /// The perplexity after each window.
        running: Vec<f64>,
    }

    /// llama.cpp's running perplexities: of the file as it is, whose activations it rounds to 8 bits, and of its weights in
    /// F32 where they were recorded.
    fn assert_agrees_with_llama_cpp(name: &str, context: usize, scores: &[Moments]) {
        let path = oracle("perplexity/llama_cpp.json");
        let all: serde_json::Value = serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON");
        for (key, tolerance) in [(name.to_owned(), 0.03), (format!("{name}-f32"), 1e-3)] {
            if all[&key].is_null() {
                continue;
            }
            let runs: Vec<LlamaCpp> = serde_json::from_value(all[&key].clone()).expect("a list of runs");
            let run = runs.into_iter().find(|run| run.context == context).expect("a run with this context");
            let mut total = Moments::default();
            for (window, (score, want)) in scores.iter().zip(&run.running).enumerate() {
                total += *score;
                let got = total.mean().exp().value;
                assert!((got / want - 1.0).abs() <= tolerance, "{key}, window {window}: {got} is not {want}");
            }
        }
    }

    /// The windows of a real model's goldens that are short enough for a software device.
    fn check_real(path: &Path, name: &str) {
        let golden = golden(name);
        let mut engine = load(path, scoring(128, KvType::F32));
        let tokens = text_tokens(&engine);
        assert_eq!(tokens.len(), golden.tokens, "{name}");
        assert_eq!(engine.tokenizer().prefix().first().copied(), golden.bos, "{name}");
        for cut in golden.cuts.iter().filter(|cut| cut.context <= 128) {
            let scores = assert_agrees(&mut engine, &tokens, &golden, cut, 1e-3);
            if cut.stride.is_none() {
                assert_agrees_with_llama_cpp(name, cut.context, &scores);
            }
        }
    }

    #[test]
    fn smollm2_scores_as_with_transformers() {
        let path = std::env::var_os("WGPT_TEST_MODEL").expect("WGPT_TEST_MODEL names the default model");
        check_real(Path::new(&path), "smollm2-135m-instruct-q4_1");
    }

    #[test]
    fn gemma3_and_qwen2_score_as_with_transformers() {
        for (file, name) in [
            ("gemma-3-270m-q4_k_m.gguf", "gemma-3-270m-q4_k_m"),
            ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m"),
        ] {
            if let Some(path) = crate::models_real::real_model(file) {
                check_real(&path, name);
            }
        }
    }
}

mod runs {
    use super::*;

    fn windows(engine: &Engine, most: usize) -> Vec<Window> {
        Windows::side_by_side(40).expect("valid").of(&text_tokens(engine), most).expect("windows")
    }

    #[test]
    fn an_interrupt_and_an_error_end_a_run_and_leave_the_engine_usable() {
        if !has_device() {
            return;
        }
        let mut engine = load(&chat_model(), scoring(16, KvType::F32));
        let windows = windows(&engine, 4);
        let whole = score(&mut engine, &windows);

        let flag = AtomicBool::new(false);
        let mut seen = 0;
        let done = engine.score(&windows, Some(&flag), &mut |rows| {
            seen += usize::from(rows.ends_window);
            flag.store(seen == 2, Ordering::Relaxed);
            Ok::<_, EngineError>(())
        });
        assert!(matches!(done, Ok(2 | 3)), "{done:?}");

        let failed = engine.score(&windows, None, &mut |rows| match rows.window {
            0 => Ok(()),
            _ => Err(EngineError::EmptyPrompt),
        });
        assert!(matches!(failed, Err(EngineError::EmptyPrompt)));
        assert_eq!(score(&mut engine, &windows), whole);
    }

    #[test]
    fn windows_that_cannot_be_scored_are_errors() {
        if !has_device() {
            return;
        }
        let mut engine = load(&chat_model(), scoring(16, KvType::F32));
        let mut fails = |tokens: Vec<u32>, first_scored: usize| {
            let nothing = &mut |_: LogitRows<'_>| Ok(());
            engine.score::<EngineError>(&[Window { tokens, first_scored }], None, nothing).expect_err("an error")
        };
        for (tokens, first) in [(0, 0), (0, 1), (3, 0), (3, 3), (3, usize::MAX)] {
            assert!(matches!(fails(vec![5; tokens], first), EngineError::Window { .. }));
        }
        assert!(fails(vec![5, 400], 1).to_string().contains("400"));
        assert!(fails(vec![5; 130], 1).to_string().contains("context"));
    }

    #[test]
    fn logits_that_are_not_finite_are_an_error() {
        if !has_device() {
            return;
        }
        let folder = chat_model_with(&[("model.norm.weight", &|_, _| 3.3e38)]);
        let mut engine = load(folder.path(), scoring(16, KvType::F32));
        let windows = windows(&engine, 1);
        let result = engine.score::<EngineError>(&windows, None, &mut |_| Ok(()));
        assert!(matches!(result, Err(EngineError::NotFinite { .. })), "{result:?}");
    }
}

mod saved {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> Result<usize, SavedLogitsError> {
        let mut reader = Reader::new(bytes, bytes.len() as u64)?;
        let rows = reader.header().windows() * reader.header().rows_per_window();
        (0..rows).try_for_each(|_| reader.rows(1).map(drop))?;
        Ok(rows)
    }

    #[test]
    fn the_file_of_llama_cpp_is_read() {
        let bytes = std::fs::read(LLAMA_CPP_BASE).expect("the file");
        let reader = Reader::new(&*bytes, bytes.len() as u64).expect("a header");
        let header = reader.header();
        assert_eq!((header.window, header.vocabulary, header.windows()), (64, 400, 1));
        assert_eq!(read_all(&bytes).expect("rows"), 31);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let good = std::fs::read(LLAMA_CPP_BASE).expect("the file");
        for length in [0, 7, 8, 19, 20, 21, 100, 276, 277, good.len() - 1] {
            assert!(read_all(&good[..length]).is_err(), "{length} bytes");
        }
        assert!(matches!(read_all(&[&good[..], &[0]].concat()), Err(SavedLogitsError::Length { .. })));
        let with = |at: usize, word: u32| {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            read_all(&bytes).expect_err("damaged")
        };
        assert!(matches!(with(0, 0), SavedLogitsError::Magic));
        for (at, word) in [(8, 0), (8, 2), (12, 0), (12, u32::MAX), (16, 0), (16, 1 << 31)] {
            assert!(matches!(with(at, word), SavedLogitsError::Sizes { .. }), "{word} at {at}");
        }
        // Sizes whose products are far beyond 64 bits, and beyond what the file has.
        for (at, word) in [(8, u32::MAX), (8, 65), (12, i32::MAX as u32), (12, 402), (16, i32::MAX as u32), (16, 2)] {
            assert!(matches!(with(at, word), SavedLogitsError::Length { .. }), "{word} at {at}");
        }
        for token in [400, u32::MAX] {
            assert!(matches!(with(24, token), SavedLogitsError::Token { .. }));
        }
        // The first row's scale and its least log-probability.
        for (at, number) in [(276, f32::NAN), (276, -1.0), (276, 1.0), (280, f32::NEG_INFINITY), (280, 1.0)] {
            assert!(matches!(with(at, number.to_bits()), SavedLogitsError::Row { row: 0 }), "{number} at {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(head in prop::collection::vec(any::<u8>(), 0..64), at in 0..25_324_usize) {
            let mut bytes = std::fs::read(LLAMA_CPP_BASE).expect("the file");
            let end = (at + head.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&head[..end - at]);
            let _ = read_all(&bytes);
        }
    }
}

mod command {
    use super::*;
    use crate::support::command::{send, std_wgpt, wait, wgpt};
    use predicates::prelude::*;
    use predicates::str::{contains, is_empty};
    use serde_json::Value;
    use std::io::Read;
    use std::process::Stdio;

    /// By so much the file's rounding may move a log-probability, and so a divergence.
    const HALF_A_STEP: f64 = 16.0 / 65535.0 / 2.0 + 1e-5;

    fn perplexity(arguments: &[&str]) -> assert_cmd::Command {
        let model = chat_model();
        wgpt(&[&["perplexity", "-m", model.to_str().expect("UTF-8")], arguments].concat())
    }

    fn json(arguments: &[&str]) -> Value {
        let output = perplexity(&[&["--json", "--quiet"], arguments].concat()).assert().success().stderr("");
        serde_json::from_slice(&output.get_output().stdout).expect("one JSON value")
    }

    fn near(value: &Value, want: f64, tolerance: f64) {
        let got = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }

    #[test]
    fn a_file_and_stdin_give_llama_cpps_lines_and_the_same_json() {
        if !has_device() {
            return;
        }
        let flags = ["-c", "64", "--chunks", "3", "--kv-type", "f32"];
        let final_line =
            predicate::str::is_match(r"^Final estimate: PPL = \d+\.\d{4} \+/- \d+\.\d{5}\n$").expect("a regex");
        let running =
            predicate::str::is_match(r"(?m)^\[1\]\d+\.\d{4},\[2\]\d+\.\d{4},\[3\]\d+\.\d{4},$").expect("a regex");
        perplexity(&[&flags[..], &[TEXT]].concat()).assert().success().stdout(final_line).stderr(running);

        let report = json(&[&flags[..], &[TEXT]].concat());
        let want = golden("tiny-chat").cuts.remove(0).nll;
        for (window, want) in report["windows"].as_array().expect("windows").iter().zip(&want) {
            near(&window["nll"], *want, TOLERANCE);
        }
        let nll = want[..3].iter().sum::<f64>() / 3.0;
        near(&report["nll"], nll, TOLERANCE);
        near(&report["perplexity"], nll.exp(), nll.exp() * TOLERANCE);
        assert_eq!(report["tokens"], 93);
        assert_eq!(report["windows_finished"], 3);
        assert!(report["kl_divergence"].is_null());

        let mut piped = perplexity(&[&["--json", "--quiet"], &flags[..]].concat());
        let output = piped.write_stdin(std::fs::read(TEXT).expect("the text")).assert().success();
        let from_stdin: Value = serde_json::from_slice(&output.get_output().stdout).expect("JSON");
        assert_eq!(from_stdin["nll"], report["nll"]);
    }

    #[test]
    fn saved_logits_are_llama_cpps_and_no_divergence_from_themselves() {
        if !has_device() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let saved = folder.path().join("base.kld");
        let saved = saved.to_str().expect("UTF-8");
        let flags = ["-c", "64", "--chunks", "1", "--kv-type", "f32", "--save-logits", saved];
        perplexity(&[&flags[..], &[TEXT]].concat()).assert().success();
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing else is left");
        let (ours, theirs) = (std::fs::read(saved).expect("saved"), std::fs::read(LLAMA_CPP_BASE).expect("the file"));
        assert_eq!(ours.len(), theirs.len());
        assert_eq!(ours[..276], theirs[..276], "the header and the tokens");

        let report = json(&["--kl-divergence", saved, "--kv-type", "f32"]);
        let divergence = &report["kl_divergence"];
        near(&divergence["kld"]["value"], 0.0, HALF_A_STEP);
        near(&divergence["kld_quantiles"]["1"], 0.0, HALF_A_STEP);
        near(&divergence["ratio"]["value"], 1.0, 1e-4);
        near(&divergence["p_diff_rms"]["value"], 0.0, 1e-4);
        near(&divergence["same_top"]["value"], 1.0, 0.0);

        // llama.cpp computed its file with this model's weights in float32.
        let report = json(&["--kl-divergence", LLAMA_CPP_BASE, "--kv-type", "f32", TEXT]);
        let divergence = &report["kl_divergence"];
        near(&divergence["kld"]["value"], 0.0, HALF_A_STEP);
        near(&divergence["ln_ratio"]["value"], 0.0, TOLERANCE);
        near(&divergence["same_top"]["value"], 1.0, 0.0);

        // A cache of half the precision differs a little.
        let table = perplexity(&["--kl-divergence", saved, "--kv-type", "f16"]).assert().success();
        let table = String::from_utf8(table.get_output().stdout.clone()).expect("UTF-8");
        let mean = table.split("Mean    KLD:").nth(1).and_then(|rest| rest.split_whitespace().next()).expect(&table);
        let mean: f64 = mean.parse().expect("a number");
        assert!((-HALF_A_STEP..1e-2).contains(&mean), "{table}");
        for line in ["Mean PPL(Q)                   : ", "99.9%   KLD: ", "RMS Δp    : ", "Same top p: "] {
            assert!(table.lines().any(|shown| shown.starts_with(line)), "{line} in {table}");
        }
    }

    #[test]
    fn mistakes_are_one_sentence() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (text, base) = (TEXT, LLAMA_CPP_BASE);
        let (no_folder, a_folder) = (path("no/folder"), path(""));
        for (arguments, advice) in [
            (&["-c", "2", text][..], "at least 3"),
            (&["--ppl-stride", "512", text], "less than the window's 512"),
            (&["--ppl-stride", "9", "--save-logits", "x", text], "cannot be used with"),
            (&["--ppl-stride", "9", "--kl-divergence", base], "cannot be used with"),
            (&["-c", "64", "--kl-divergence", base], "cannot be used with"),
            (&["--chunks", "0", text], "1 or more, or -1 for all"),
            (&[text, "-f", text], "cannot be used with"),
        ] {
            perplexity(arguments).assert().code(2).stdout(is_empty()).stderr(contains(advice));
        }
        let one_line = || predicate::function(|text: &str| text.starts_with("wgpt: ") && text.lines().count() == 1);
        for (arguments, advice) in [
            (&["no/such/file"][..], "cannot read the text from no/such/file"),
            (&["--kl-divergence", "no/such/file"], "cannot read the saved logits in no/such/file"),
            (&["--kl-divergence", text], "does not begin with '_logits_'"),
            (&["--save-logits", &no_folder, text], "its folder does not exist"),
            (&["--save-logits", &a_folder, text], "no file"),
        ] {
            perplexity(arguments).assert().code(1).stdout(is_empty()).stderr(contains(advice).and(one_line()));
        }
        if !has_device() {
            return;
        }
        let other = path("other.txt");
        std::fs::write(&other, "Another text. ".repeat(30)).expect("written");
        for (arguments, advice) in [
            (&["--kl-divergence", base, &other, "-q"][..], "of another text"),
            (&["-c", "1024", &other, "-q"], "not enough for a window of 1024"),
            (&["-c", "4096", text, "-q"], "use a smaller -c"),
        ] {
            perplexity(arguments).assert().code(1).stdout(is_empty()).stderr(contains(advice));
        }
    }

    #[test]
    fn a_signal_prints_what_is_known_and_saves_nothing() {
        if !has_device() {
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let saved = folder.path().join("base.kld");
        let model = chat_model();
        // A step a token: long enough to be amid it, whatever the device.
        let mut child = std_wgpt(&["perplexity", "-m", model.to_str().expect("UTF-8"), "-c", "64", "-b", "1", TEXT])
            .arg("--save-logits")
            .arg(&saved)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wgpt runs");
        let mut stderr = child.stderr.take().expect("piped");
        let mut shown = Vec::new();
        while !shown.ends_with(b"[1]") {
            let mut byte = [0];
            stderr.read_exact(&mut byte).expect("a first window");
            shown.push(byte[0]);
        }
        send("-INT", &child);
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).expect("UTF-8");
        assert_eq!(wait(&mut child).code(), Some(130), "{rest}");
        let mut result = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut result).expect("UTF-8");
        let known = contains("Interrupted after ").and(contains("of 60 windows\nFinal estimate: PPL = "));
        assert!(known.eval(&result), "{result}");
        assert!(contains("no logits were saved").eval(&rest), "{rest}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 0, "nothing is left");
    }
}
