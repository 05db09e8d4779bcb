//! How a model's time grows with the length of its text, beside what counting operations predicts.
//!
//! With a KV cache, `T` tokens cost `T dim^2 + T^2 dim`; without, where each step computes the whole sequence again,
//! `T^2 dim^2 + T^3 dim`. A prompt of `L` costs `L dim^2 + L^2 dim` once, and a decode step a constant and a part that is linear
//! in its context. Small sizes are ruled by `dim^2`, so the predicted exponents are those of this model over the measured
//! sizes, found by the same fit as the measured ones.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::work_of_model::WorkOfModel;
use super::workload::{Runner, Workload};
use super::{BenchError, ComplexityRecord, Progress, Stats};
use crate::engine::{Engine, EngineError, EngineOptions};
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::stats::{BeyondConstant, Estimate, PowerLaw, beyond_constant, power_law};

/// The fewest tokens of a generation.
const FEWEST: usize = 8;
/// Steps whose mean is a sample of a decode step.
const STEPS: usize = 8;
/// Samples of a decode step: it grows by little, so that noise shows.
const SAMPLES: usize = 3;

/// A kind of work whose growth is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Generation with the KV cache.
    Cached,
    /// Generation without: each step computes the whole sequence.
    Uncached,
    Prefill,
    Decode,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Cached, Kind::Uncached, Kind::Prefill, Kind::Decode];

    /// As `--only` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cached => "cached",
            Kind::Uncached => "uncached",
            Kind::Prefill => "prefill",
            Kind::Decode => "decode",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("there is no '{name}'; use {}", Kind::ALL.map(Kind::name).join(", ")))
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kinds: Vec<Kind>,
    /// The longest generation. Prompts are up to 8 times as long, contexts up to 16 times.
    pub most: usize,
    /// Device, KV cache, chunk size and kernels; its context and number of sequences are not looked at.
    pub engine: EngineOptions,
}

/// The law that a series follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    Power(PowerLaw),
    BeyondConstant(BeyondConstant),
}

impl Law {
    pub fn at(&self, x: f64) -> f64 {
        match self {
            Law::Power(law) => law.at(x),
            Law::BeyondConstant(law) => law.at(x),
        }
    }

    pub fn exponent(&self) -> Estimate {
        match self {
            Law::Power(law) => law.exponent,
            Law::BeyondConstant(law) => law.exponent,
        }
    }
}

/// What kind of law a series follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Power,
    BeyondConstant,
}

/// Time over tokens.
#[derive(Clone, Debug)]
pub struct Series {
    pub what: &'static str,
    growth: Growth,
    /// Operations in the number of tokens and the model's width.
    pub theory: &'static str,
    /// The exponents where `dim` rules, and where the length does.
    pub limits: &'static str,
    pub points: Vec<Point>,
    /// Of the measured nanoseconds, and of the operations; `None` where there are too few points, or nothing grows.
    pub measured: Option<Law>,
    pub predicted: Option<Law>,
}

/// A measurement.
#[derive(Clone, Debug)]
pub struct Point {
    pub tokens: f64,
    pub samples_ns: Vec<f64>,
    pub median_ns: f64,
    pub operations: f64,
}

/// All series of a model, and a record for each point.
pub struct Measured {
    pub series: Vec<Series>,
    pub records: Vec<ComplexityRecord>,
    /// What is odd about the model or the device.
    pub warnings: Vec<String>,
}

/// Measures a series of each kind.
///
/// # Errors
/// When the model cannot be loaded or run, or its context is too short.
pub fn measure(
    path: &Path,
    settings: &Settings,
    on_point: &mut dyn FnMut(Progress<'_>),
) -> Result<Measured, BenchError> {
    on_point(Progress { done: 0, total: 0, name: "loading" });
    let (engine, context) = load(path, settings)?;
    let sizes = Sizes::new(settings.most, context)?;
    let config = engine.config().clone();
    let total = settings.kinds.iter().map(|kind| sizes.of(*kind).len()).sum();
    let mut run = Run { runner: Runner::new(engine), work: WorkOfModel(&config), done: 0, total, on_point };
    // What is made at the first use of a kernel is made now: they are chosen by the number of tokens.
    for tokens in (1..FEWEST).chain(sizes.generated.iter().copied()) {
        run.runner.first_token(tokens)?;
    }
    let mut series = Vec::with_capacity(settings.kinds.len());
    for &kind in &settings.kinds {
        let mut one = run.series(kind, sizes.of(kind))?;
        one.fit();
        series.push(one);
    }
    let info = run.runner.engine.info();
    let records = series
        .iter()
        .flat_map(|one| one.points.iter().map(move |point| (one, point)))
        .map(|(one, point)| ComplexityRecord::new(info, &settings.engine, one, point))
        .collect();
    Ok(Measured { series, records, warnings: info.warnings.clone() })
}

/// Loads the model with room for all sizes, or with all the room that it has.
fn load(path: &Path, settings: &Settings) -> Result<(Engine, usize), BenchError> {
    let wanted = Sizes::context(settings.most);
    let load = |context: usize| {
        let options = EngineOptions {
            context: Some(context as u32),
            max_sequences: 1,
            prefix_cache: true,
            ..settings.engine.clone()
        };
        Engine::load(path, &options, &mut |_| {}).map(|engine| (engine, context))
    };
    match load(wanted) {
        // It is found before anything is loaded.
        Err(EngineError::ContextTooLong { limit, .. }) => Ok(load(limit)?),
        loaded => Ok(loaded?),
    }
}

/// The lengths to measure at.
struct Sizes {
    generated: Vec<usize>,
    prompts: Vec<usize>,
    contexts: Vec<usize>,
}

impl Sizes {
    /// Tokens of context that the largest of them take.
    fn context(most: usize) -> usize {
        16 * most + STEPS + 2
    }

    fn new(most: usize, context: usize) -> Result<Sizes, BenchError> {
        let page = PAGE_SIZE as usize;
        let doubling = |from: usize, to: usize| {
            let sizes = std::iter::successors(Some(from), |size| Some(2 * size)).take_while(move |size| *size <= to);
            sizes.filter(move |size| size + 1 < context).collect::<Vec<_>>()
        };
        // Whole pages, so that all of it is in the cache.
        let contexts = [most / 4, 2 * most, 4 * most, 6 * most, 8 * most, 12 * most, 16 * most];
        let mut contexts: Vec<usize> = contexts.map(|tokens| tokens.next_multiple_of(page)).to_vec();
        contexts.retain(|tokens| tokens + STEPS + 1 < context);
        contexts.dedup();
        let sizes = Sizes { generated: doubling(FEWEST, most), prompts: doubling(most, 8 * most), contexts };
        if sizes.generated.len() < 2 || sizes.prompts.len() < 2 {
            return Err(BenchError::TooLong { tokens: 2 * most + 2, limit: context });
        }
        Ok(sizes)
    }

    fn of(&self, kind: Kind) -> &[usize] {
        match kind {
            Kind::Cached | Kind::Uncached => &self.generated,
            Kind::Prefill => &self.prompts,
            Kind::Decode => &self.contexts,
        }
    }
}

/// What is being measured.
struct Run<'r> {
    runner: Runner,
    work: WorkOfModel<'r>,
    done: usize,
    total: usize,
    on_point: &'r mut dyn FnMut(Progress<'_>),
}

const ALONE: Workload = Workload { sequences: 1, depth: 0, prompt: 0, generate: 0 };

impl Run<'_> {
    fn series(&mut self, kind: Kind, sizes: &[usize]) -> Result<Series, BenchError> {
        match kind {
            Kind::Cached => self.with_cache(sizes),
            Kind::Uncached => self.without_cache(sizes),
            Kind::Prefill => self.prefill(sizes),
            Kind::Decode => self.decode(sizes),
        }
    }

    fn with_cache(&mut self, sizes: &[usize]) -> Result<Series, BenchError> {
        let mut series = Series::new("generation with the cache", Growth::Power, "T dim^2 + T^2 dim", "1 to 2");
        for &tokens in sizes {
            self.announce(series.what, tokens);
            // The first comes from the prompt's step.
            let elapsed = self.runner.run(&Workload { prompt: 1, generate: tokens - 1, ..ALONE })?;
            series.push(tokens as f64, &[elapsed.prefill + elapsed.decode], self.work.with_cache(tokens));
        }
        Ok(series)
    }

    /// One run of all steps, which passes each size.
    fn without_cache(&mut self, sizes: &[usize]) -> Result<Series, BenchError> {
        let mut series = Series::new("generation without a cache", Growth::Power, "T^2 dim^2 + T^3 dim", "2 to 3");
        let (mut length, mut elapsed) = (0, Duration::ZERO);
        for &tokens in sizes {
            self.announce(series.what, tokens);
            while length < tokens {
                length += 1;
                elapsed += self.runner.run(&Workload { prompt: length, ..ALONE })?.prefill;
            }
            series.push(tokens as f64, &[elapsed], self.work.without_cache(tokens));
        }
        Ok(series)
    }

    fn prefill(&mut self, sizes: &[usize]) -> Result<Series, BenchError> {
        let mut series = Series::new("prefill", Growth::Power, "L dim^2 + L^2 dim", "1 to 2");
        for &tokens in sizes {
            self.announce(series.what, tokens);
            let elapsed = self.runner.run(&Workload { prompt: tokens, ..ALONE })?;
            series.push(tokens as f64, &[elapsed.prefill], self.work.prefill(tokens));
        }
        Ok(series)
    }

    fn decode(&mut self, contexts: &[usize]) -> Result<Series, BenchError> {
        let mut series = Series::new("decode step", Growth::BeyondConstant, "dim^2 + L dim", "1 beyond the constant");
        let at = |depth: usize| Workload { depth, generate: STEPS, ..ALONE };
        // The shorter ones are the beginning of the longest, so that all are in the cache then.
        if let Some(&longest) = contexts.last() {
            self.runner.fill(&at(longest))?;
        }
        // In turns, so that a change of the machine's speed meets all of them alike.
        let mut samples = vec![Vec::with_capacity(SAMPLES); contexts.len()];
        for round in 0..SAMPLES {
            for (&depth, samples) in contexts.iter().zip(&mut samples) {
                if round == 0 {
                    self.announce(series.what, depth);
                }
                samples.push(self.runner.run(&at(depth))?.decode / STEPS as u32);
            }
        }
        for (depth, samples) in contexts.iter().zip(samples) {
            // In the middle of the steps.
            let keys = depth + STEPS.div_ceil(2);
            series.push(keys as f64, &samples, self.work.decode(keys));
        }
        Ok(series)
    }

    fn announce(&mut self, what: &str, tokens: usize) {
        (self.on_point)(Progress { done: self.done, total: self.total, name: &format!("{what}, {tokens} tokens") });
        self.done += 1;
    }
}

impl Series {
    fn new(what: &'static str, growth: Growth, theory: &'static str, limits: &'static str) -> Series {
        Series { what, growth, theory, limits, points: Vec::new(), measured: None, predicted: None }
    }

    fn push(&mut self, tokens: f64, samples: &[Duration], operations: f64) {
        let samples_ns: Vec<f64> = samples.iter().map(|time| time.as_nanos() as f64).collect();
        if let Some(stats) = Stats::of(&samples_ns) {
            self.points.push(Point { tokens, samples_ns, median_ns: stats.median, operations });
        }
    }

    fn fit(&mut self) {
        let law = |points: Vec<(f64, f64)>| match self.growth {
            Growth::Power => power_law(&points).map(Law::Power),
            Growth::BeyondConstant => beyond_constant(&points).map(Law::BeyondConstant),
        };
        self.measured = law(self.points.iter().map(|point| (point.tokens, point.median_ns)).collect());
        self.predicted = law(self.points.iter().map(|point| (point.tokens, point.operations)).collect());
    }
}
