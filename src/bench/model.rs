//! How fast a model runs: llama-bench's tests, and what loading it takes.
//!
//! `pp512` computes a prompt of 512 tokens, `tg128` generates 128 tokens one by one, `@ d512` does so behind 512 tokens of
//! context. Tokens are random and always the same; texts, tokenisers and samplers have no part in it, and nothing ends a
//! generation early. Each test runs once before it is measured. The product's own loop runs them all.

use std::path::Path;
use std::time::Duration;

use super::workload::{Elapsed, Runner, Workload, is_whole_pages};
use super::{BenchError, ModelRecord, Origin, Progress, Stats, process_memory};
use crate::engine::{Engine, EngineError, EngineOptions};
use crate::kernels::kv_cache::PAGE_SIZE;

/// Tokens of the prompt whose first token is waited for after loading.
const FIRST_PROMPT: usize = 16;

/// What a test runs in each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens that are generated.
    pub generate: usize,
    /// Tokens of context before them.
    pub depth: usize,
}

impl Test {
    /// As llama-bench has it: `pp512 @ d1024`.
    pub fn name(&self) -> String {
        let Test { prompt, generate, depth } = self;
        let what = match (prompt, generate) {
            (_, 0) => format!("pp{prompt}"),
            (0, _) => format!("tg{generate}"),
            _ => format!("pp{prompt}+tg{generate}"),
        };
        if *depth == 0 { what } else { format!("{what} @ d{depth}") }
    }

    /// Tokens of a sequence at the end.
    fn context(&self) -> usize {
        self.depth + self.prompt.max(1) + self.generate + 1
    }

    /// The time that counts.
    fn time(&self, elapsed: Elapsed) -> Duration {
        match (self.prompt, self.generate) {
            (_, 0) => elapsed.prefill,
            (0, _) => elapsed.decode,
            _ => elapsed.prefill + elapsed.decode,
        }
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    pub tests: Vec<Test>,
    /// Samples of each test, at least one.
    pub repetitions: usize,
    /// Tokens of a prefill chunk; `None` is the engine's own choice.
    pub chunk_sizes: Vec<Option<u32>>,
    /// Sequences that run at once.
    pub sequences: Vec<u32>,
    /// Device, KV cache and kernels; its chunk size, context and number of sequences are not looked at.
    pub engine: EngineOptions,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    pub records: Vec<ModelRecord>,
    /// What is odd about the model or the device, each once.
    pub warnings: Vec<String>,
}

/// Runs every test with every chunk size and number of sequences.
///
/// # Errors
/// When the model cannot be loaded or run, or a test does not fit into its context.
pub fn measure(
    path: &Path,
    settings: &Settings,
    on_test: &mut dyn FnMut(Progress<'_>),
) -> Result<Measured, BenchError> {
    let (chunk_sizes, tests) = (&settings.chunk_sizes, &settings.tests);
    for test in tests {
        // In a part of a page, context and prompt cannot be told apart.
        if test.prompt > 0 && !is_whole_pages(test.depth) {
            return Err(BenchError::Depth { depth: test.depth, page: PAGE_SIZE as usize });
        }
    }
    let total = chunk_sizes.len() * settings.sequences.len() * tests.len();
    let Measured { mut records, mut warnings } = Measured::default();
    for &sequences in &settings.sequences {
        for &chunk_size in chunk_sizes {
            let mut progress = |done, name: &str| on_test(Progress { done, total, name });
            progress(records.len(), "loading");
            let mut loaded = load(path, settings, chunk_size, sequences)?;
            for warning in &loaded.runner.engine.info().warnings {
                if !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
            for test in tests {
                progress(records.len(), &test.name());
                records.push(loaded.measure(test, settings.repetitions.max(1))?);
            }
        }
    }
    Ok(Measured { records, warnings })
}

/// An engine, and what the user waits for before it answers.
struct Loaded {
    runner: Runner,
    model_filename: String,
    options: EngineOptions,
    first_token: Duration,
}

fn load(path: &Path, settings: &Settings, chunk_size: Option<u32>, sequences: u32) -> Result<Loaded, BenchError> {
    let context = settings.tests.iter().map(Test::context).max().unwrap_or(1).max(FIRST_PROMPT + 1);
    let options = EngineOptions {
        context: Some(context as u32),
        chunk_size,
        max_sequences: sequences,
        prefix_cache: true,
        ..settings.engine.clone()
    };
    let engine = Engine::load(path, &options, &mut |_| {}).map_err(|error| match error {
        EngineError::ContextTooLong { limit, .. } => BenchError::TooLong { tokens: context, limit },
        other => other.into(),
    })?;
    let mut runner = Runner::new(engine);
    let answered = runner.first_token(FIRST_PROMPT)?;
    let first_token = runner.engine.info().load + answered;
    Ok(Loaded { runner, model_filename: path.display().to_string(), options, first_token })
}

impl Loaded {
    fn measure(&mut self, test: &Test, repetitions: usize) -> Result<ModelRecord, BenchError> {
        let sequences = self.options.max_sequences as usize;
        let workload = Workload { sequences, depth: test.depth, prompt: test.prompt, generate: test.generate };
        let runner = &mut self.runner;
        runner.fill(&workload)?;
        // Makes what is made at the first use. One token is enough for that.
        runner.run(&Workload { generate: test.generate.min(1), ..workload })?;
        let mut runs = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            runs.push(runner.run(&workload)?);
        }
        Ok(self.record(test, &runs))
    }

    fn record(&self, test: &Test, runs: &[Elapsed]) -> ModelRecord {
        let list = |of: &dyn Fn(&Elapsed) -> Duration| runs.iter().map(|run| of(run).as_nanos() as f64).collect();
        let samples_ns: Vec<f64> = list(&|run| test.time(*run));
        let host: Vec<f64> = list(&|run| run.host_per_step);
        let info = self.runner.engine.info();
        let nanoseconds = |duration: Duration| duration.as_nanos() as u64;
        let tokens = self.options.max_sequences as usize * (test.prompt + test.generate);
        let samples_ts: Vec<f64> = samples_ns.iter().map(|time| tokens as f64 / time * 1e9).collect();
        let (times, rates) = (Stats::of(&samples_ns), Stats::of(&samples_ts));
        ModelRecord {
            origin: Origin::of_device("model", &info.device),
            name: test.name(),
            model: info.name.clone(),
            model_filename: self.model_filename.clone(),
            model_type: format!("{} {}", info.architecture, info.quantisation),
            model_size: info.size,
            model_n_params: info.parameters,
            n_ctx: info.context,
            n_ubatch: info.chunk_size,
            n_parallel: self.options.max_sequences,
            kv_type: self.options.kv_type.name(),
            deterministic: self.options.deterministic,
            kernels: info.kernels.join("; "),
            n_prompt: test.prompt,
            n_gen: test.generate,
            n_depth: test.depth,
            samples_ns,
            avg_ns: times.map(|stats| stats.mean),
            stddev_ns: times.map(|stats| stats.stddev),
            median_ns: times.map(|stats| stats.median),
            min_ns: times.map(|stats| stats.min),
            p95_ns: times.map(|stats| stats.p95),
            samples_ts,
            avg_ts: rates.map(|stats| stats.mean),
            stddev_ts: rates.map(|stats| stats.stddev),
            host_ns_per_step: Stats::of(&host).map(|stats| stats.mean).filter(|_| test.generate > 0),
            load_ns: nanoseconds(info.load),
            load_device_ns: nanoseconds(info.load_timings.device),
            load_read_ns: nanoseconds(info.load_timings.read),
            load_upload_ns: nanoseconds(info.load_timings.upload),
            load_compile_ns: nanoseconds(info.load_timings.compile),
            first_token_ns: nanoseconds(self.first_token),
            memory_weights: info.memory.weights,
            memory_kv_cache: info.memory.kv_cache,
            memory_scratch: info.memory.scratch,
            memory_peak: process_memory::peak(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_have_the_names_of_llama_bench() {
        let name = |prompt, generate, depth| Test { prompt, generate, depth }.name();
        assert_eq!(name(512, 0, 0), "pp512");
        assert_eq!(name(0, 128, 512), "tg128 @ d512");
        assert_eq!(name(64, 32, 16), "pp64+tg32 @ d16");
    }

    #[test]
    fn what_a_test_computes_is_what_its_time_is_of() {
        let elapsed = Elapsed {
            prefill: Duration::from_secs(3),
            decode: Duration::from_secs(5),
            host_per_step: Duration::from_secs(1),
        };
        let seconds = |prompt, generate| Test { prompt, generate, depth: 0 }.time(elapsed).as_secs();
        assert_eq!((seconds(8, 0), seconds(0, 8), seconds(8, 8)), (3, 5, 8));
    }
}
