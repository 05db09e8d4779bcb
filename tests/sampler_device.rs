//! Drawing on the device beside drawing on the host.

use wgpt::engine::sampler::{Sampler, SamplingOptions};
use wgpt::kernels::run_peaks::{self, Params};
use wgpt::kernels::sample::{self, Draw, Slices};
use wgpt::recording::{Executor, Label, Recording, Slice};
use wgpt::verify::Random;

use crate::support::command::has_device;
use crate::support::models::{gpu, reference};

/// Draws of each filter set.
const DRAWS: usize = 600;

/// Every filter alone, all of them, and none.
fn filter_sets() -> [SamplingOptions; 9] {
    let open =
        SamplingOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: Some(1), ..Default::default() };
    [
        SamplingOptions { seed: Some(7), ..SamplingOptions::default() },
        SamplingOptions { top_k: 25, temperature: 1.7, ..open },
        SamplingOptions { top_k: 64, top_p: 0.7, temperature: 0.9, ..open },
        SamplingOptions { min_p: 0.02, temperature: 1.3, ..open },
        SamplingOptions { top_p: 0.9, temperature: 0.8, ..open },
        SamplingOptions { top_p: 0.95, min_p: 0.01, temperature: 1.5, ..open },
        SamplingOptions { top_k: 65, temperature: 2.0, ..open },
        SamplingOptions { top_k: 100, top_p: 0.99, temperature: 2.0, ..open },
        open,
    ]
}

/// A row of a language model's shape: a few tokens far above a broad rest.
fn row() -> Vec<f32> {
    let mut random = Random::new(5);
    let (rest, above) = (random.floats(700, 2.0), random.floats(700, 1.0));
    rest.iter().zip(above).map(|(logit, above)| logit + 4.0 * above.max(0.0).powi(3) * 2.0).collect()
}

/// A token for each draw from the same row.
fn draw_all(executor: &mut dyn Executor, row: &[f32], draws: &[Draw]) -> Vec<u32> {
    let params = Params { rows: draws.len() as u32, width: row.len() as u32 };
    let mut slice = |what, words: usize| {
        let size = 4 * words as u64;
        Slice { buffer: executor.allocate(what, size).expect("memory"), offset: 0, size }
    };
    let runs = draws.len() * run_peaks::runs(params.width) as usize;
    let [logits, peaks] = [slice("logits", draws.len() * row.len()), slice("peaks", runs)];
    let [asked, tokens] = [slice("draws", size_of_val(draws) / 4), slice("tokens", draws.len())];
    executor.write(logits, bytemuck::cast_slice(&row.repeat(draws.len()))).expect("written");
    executor.write(asked, bytemuck::cast_slice(draws)).expect("written");
    let mut recording = Recording::default();
    let label = Label { layer: None, what: "a draw" };
    recording.push(label, run_peaks::dispatch(logits, peaks, params));
    recording.push(label, sample::dispatch(Slices { logits, peaks, draws: asked, tokens }, params));
    executor.run_once(&recording).expect("drawn");
    let mut out = vec![0; draws.len()];
    executor.read(tokens, bytemuck::cast_slice_mut(&mut out)).expect("tokens");
    out
}

/// Pearson's statistic of the tokens against what the sampler on the host gives each, with the degrees of freedom. Tokens that
/// are expected fewer than five times are counted as one.
fn chi_square(tokens: &[u32], options: SamplingOptions, row: &[f32]) -> (f64, usize) {
    let mut sampler = Sampler::new(options).expect("options");
    let mut rest = (0.0, tokens.len());
    let (mut statistic, mut bins) = (0.0, 0);
    let term = |expected: f64, seen: usize| (seen as f64 - expected).powi(2) / expected;
    for candidate in sampler.distribution(row, &[]).expect("a distribution") {
        let expected = f64::from(candidate.probability) * tokens.len() as f64;
        let seen = tokens.iter().filter(|token| **token == candidate.token).count();
        if expected < 5.0 {
            rest.0 += expected;
        } else {
            rest.1 -= seen;
            statistic += term(expected, seen);
            bins += 1;
        }
    }
    if rest.0 >= 5.0 {
        statistic += term(rest.0, rest.1);
        bins += 1;
    }
    (statistic, bins - 1)
}

fn check(executor: &mut dyn Executor) {
    let row = row();
    for options in filter_sets() {
        assert!(options.fits_device());
        let [mut on_host, mut on_device] = [(); 2].map(|()| Sampler::new(options).expect("options"));
        let draws: Vec<Draw> = (0..DRAWS).map(|_| on_device.draw()).collect();
        let tokens = draw_all(executor, &row, &draws);

        // The same numbers of the same generator: a token may differ where one lies on the border of two.
        let expected = (0..DRAWS).map(|_| on_host.sample(&row, &[]).expect("a token"));
        let different = tokens.iter().zip(expected).filter(|(token, expected)| **token != *expected).count();
        assert!(different <= DRAWS / 200, "{options:?}: {different} of {DRAWS} tokens differ");

        // Far beyond what chance brings in a million runs, for the few degrees of freedom that there are.
        let (statistic, freedom) = chi_square(&tokens, options, &row);
        let bound = freedom as f64 + 5.0 * (2.0 * freedom as f64).sqrt() + 12.0;
        assert!(freedom >= 3, "{options:?}: {freedom} degrees of freedom");
        assert!(statistic < bound, "{options:?}: chi-square {statistic} of {freedom} degrees of freedom");
    }
}

#[test]
fn the_device_draws_what_the_host_draws_from_the_same_seed() {
    if has_device() {
        check(&mut *gpu());
    }
}

#[test]
fn the_reference_draws_what_the_host_draws_from_the_same_seed() {
    check(&mut reference());
}

/// Rows of any width, half of them with many equal logits, under any filters.
fn check_any(executor: &mut dyn Executor) {
    const ROWS: u64 = 60;
    const DRAWS: usize = 20;
    let mut different = 0;
    for seed in 0..ROWS {
        let mut random = Random::new(seed);
        let dice = random.floats(8, 0.5);
        let [width, max, k, p, min_p, temperature, has_k, has_p] = std::array::from_fn(|i| dice[i] + 0.5);
        let options = SamplingOptions {
            temperature: 0.1 + 3.0 * temperature,
            top_k: if has_k < 0.5 { 0 } else { 1 + (300.0 * k) as usize },
            top_p: if has_p < 0.3 { 1.0 } else { p },
            min_p: if min_p < 0.5 { 0.0 } else { 0.2 * (min_p - 0.5) },
            seed: Some(seed),
            ..SamplingOptions::default()
        };
        let mut row = random.floats(1 + (5000.0 * width * width) as usize, 1.0 + 9.0 * max);
        if seed % 2 == 0 {
            row.iter_mut().for_each(|logit| *logit = logit.round());
        }
        let [mut on_host, mut on_device] = [(); 2].map(|()| Sampler::new(options).expect("options"));
        let draws: Vec<Draw> = (0..DRAWS).map(|_| on_device.draw()).collect();
        let tokens = draw_all(executor, &row, &draws);
        let differ = tokens.iter().filter(|token| **token != on_host.sample(&row, &[]).expect("a token")).count();
        // A rounding that moves the last token by one moves some draws, but seldom many.
        assert!(differ <= DRAWS / 4, "{options:?}, {} logits: {differ} of {DRAWS} tokens differ", row.len());
        different += differ;
    }
    assert!(different <= ROWS as usize * DRAWS / 200, "{different} tokens differ");
}

#[test]
fn the_device_draws_what_the_host_draws_under_any_filters() {
    if has_device() {
        check_any(&mut *gpu());
    }
    check_any(&mut reference());
}

#[test]
fn what_the_device_cannot_select_is_left_to_the_host() {
    let usual = SamplingOptions::default;
    for (fits, options) in [
        (true, usual()),
        (true, SamplingOptions::greedy()),
        (true, SamplingOptions { top_k: sample::MAX_TOP_K + 1, ..usual() }),
        (true, SamplingOptions { top_k: 0, top_p: 0.9, ..usual() }),
        (false, SamplingOptions { repeat_penalty: 1.1, ..usual() }),
        (false, SamplingOptions { presence_penalty: 0.1, ..SamplingOptions::greedy() }),
        (true, SamplingOptions { presence_penalty: 0.1, repeat_last_n: 0, ..usual() }),
    ] {
        assert_eq!(options.fits_device(), fits, "{options:?}");
    }
}
