//! Sampling from a row of logits: against hand-computed distributions, transformers' processors, and a plain sort.

use std::collections::HashMap;

use proptest::prelude::*;
use serde::Deserialize;
use wgpt::engine::sampler::{OptionsError, SampleError, Sampler, SamplingOptions, greedy};

/// No filter, no penalty, temperature 1: the model's own distribution.
fn plain() -> SamplingOptions {
    SamplingOptions { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, seed: Some(1), ..SamplingOptions::default() }
}

fn distribution(options: SamplingOptions, logits: &[f32], recent: &[u32]) -> Vec<(u32, f32)> {
    let mut sampler = Sampler::new(options).unwrap();
    let candidates = sampler.distribution(logits, recent).unwrap();
    candidates.iter().map(|c| (c.token, c.probability)).collect()
}

fn assert_distribution(options: SamplingOptions, logits: &[f32], recent: &[u32], expected: &[(u32, f32)]) {
    let actual = distribution(options, logits, recent);
    let close = |(a, e): (&(u32, f32), &(u32, f32))| a.0 == e.0 && (a.1 - e.1).abs() < 1e-6;
    assert!(actual.len() == expected.len() && actual.iter().zip(expected).all(close), "{actual:?} != {expected:?}");
}

/// Logits whose softmax is 0.1, 0.4, 0.2, 0.3.
fn tenths() -> [f32; 4] {
    [1.0f32, 4.0, 2.0, 3.0].map(f32::ln)
}

#[test]
fn filters_keep_what_their_papers_say() {
    let l = tenths();
    assert_distribution(plain(), &l, &[], &[(0, 0.1), (1, 0.4), (2, 0.2), (3, 0.3)]);
    assert_distribution(SamplingOptions { top_k: 2, ..plain() }, &l, &[], &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]);
    // 0.4 + 0.3 reaches 0.65; top-p counts the token that crosses the line.
    assert_distribution(SamplingOptions { top_p: 0.65, ..plain() }, &l, &[], &[(1, 4.0 / 7.0), (3, 3.0 / 7.0)]);
    assert_distribution(SamplingOptions { top_p: 0.0, ..plain() }, &l, &[], &[(1, 1.0)]);
    // 0.45 * 0.4 = 0.18 lets 0.2 pass.
    let thirds = [(1, 4.0 / 9.0), (2, 2.0 / 9.0), (3, 3.0 / 9.0)];
    assert_distribution(SamplingOptions { min_p: 0.45, ..plain() }, &l, &[], &thirds);
    // Top-p sees top-k's survivors renormalised: 4/7 alone reaches 0.5.
    assert_distribution(SamplingOptions { top_k: 2, top_p: 0.5, ..plain() }, &l, &[], &[(1, 1.0)]);
}

/// As the device draws: a number that it is given means the same token on both.
#[test]
fn only_few_best_stand_in_falling_order() {
    let logits: Vec<f32> = (0..200).map(|i| (i * 37 % 101) as f32 / 20.0).collect();
    let tokens = |options| distribution(options, &logits, &[]).into_iter().map(|kept| kept.0).collect::<Vec<_>>();
    // Tokens 30 and 131 have the largest logit, of which there are two.
    assert_eq!(tokens(SamplingOptions { top_k: 64, ..plain() })[..2], [30, 131]);
    assert!(!tokens(SamplingOptions { top_k: 64, top_p: 0.9, ..plain() }).is_sorted());
    for options in [
        SamplingOptions { top_k: 65, ..plain() },
        SamplingOptions { top_k: 65, top_p: 0.9, ..plain() },
        SamplingOptions { top_p: 0.9, ..plain() },
        plain(),
    ] {
        assert!(tokens(options).is_sorted(), "{options:?}");
    }
}

#[test]
fn temperature_reshapes_but_does_not_let_more_tokens_pass() {
    // 1, 4, 2, 3 to the power of 1/2, for temperature 2; the nucleus is that of temperature 1.
    let (a, b) = (2.0, 3f32.sqrt());
    let options = SamplingOptions { temperature: 2.0, top_p: 0.65, ..plain() };
    assert_distribution(options, &tenths(), &[], &[(1, a / (a + b)), (3, b / (a + b))]);
    let tiny = SamplingOptions { temperature: f32::MIN_POSITIVE, ..plain() };
    assert_distribution(tiny, &tenths(), &[], &[(0, 0.0), (1, 1.0), (2, 0.0), (3, 0.0)]);
}

#[test]
fn penalties_follow_their_formulas() {
    // Token 0 twice and token 1 once in the window; token 2 has left it.
    let options = SamplingOptions {
        repeat_penalty: 2.0,
        repeat_last_n: 3,
        presence_penalty: 0.25,
        frequency_penalty: 0.5,
        ..plain()
    };
    let logits = [4.0f32, -1.0, 3.0, f32::NEG_INFINITY];
    let mut sampler = Sampler::new(options).unwrap();
    let seen: Vec<_> =
        sampler.distribution(&logits, &[2, 0, 1, 0]).unwrap().iter().map(|c| (c.token, c.logit)).collect();
    assert_eq!(seen, [(0, 4.0 / 2.0 - 2.0 * 0.5 - 0.25), (1, -2.0 - 0.5 - 0.25), (2, 3.0)]);
    let all = SamplingOptions { repeat_last_n: SamplingOptions::ALL_TOKENS, ..options };
    let seen = Sampler::new(all).unwrap().distribution(&logits, &[2, 0, 1, 0]).unwrap()[2].logit;
    assert_eq!(seen, 3.0 / 2.0 - 0.5 - 0.25);
    let none = SamplingOptions { repeat_last_n: 0, ..options };
    assert_eq!(Sampler::new(none).unwrap().distribution(&logits, &[0]).unwrap()[0].logit, 4.0);
}

#[test]
fn extreme_penalties_stay_finite_and_masks_stay_masks() {
    let options = SamplingOptions { repeat_penalty: f32::MIN_POSITIVE, presence_penalty: -f32::MAX, ..plain() };
    let kept = distribution(options, &[f32::MAX, f32::NEG_INFINITY, 0.0], &[0, 1]);
    assert_eq!(kept, [(0, 1.0), (2, 0.0)]);
}

#[derive(Deserialize)]
struct Golden {
    name: String,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repeat_penalty: Option<f32>,
    #[serde(default)]
    recent: Vec<u32>,
    logits: Vec<f32>,
    probabilities: HashMap<u32, f32>,
}

#[test]
fn agrees_with_transformers() {
    let goldens: Vec<Golden> = serde_json::from_str(include_str!("oracle/sampler_goldens.json")).unwrap();
    assert!(goldens.len() >= 10);
    for golden in goldens {
        let base = plain();
        let options = SamplingOptions {
            temperature: golden.temperature.unwrap_or(base.temperature),
            top_k: golden.top_k.unwrap_or(base.top_k),
            top_p: golden.top_p.unwrap_or(base.top_p),
            min_p: golden.min_p.unwrap_or(base.min_p),
            repeat_penalty: golden.repeat_penalty.unwrap_or(base.repeat_penalty),
            ..base
        };
        let actual: HashMap<_, _> = distribution(options, &golden.logits, &golden.recent).into_iter().collect();
        assert_eq!(actual.len(), golden.probabilities.len(), "{}", golden.name);
        for (token, expected) in golden.probabilities {
            let actual = actual.get(&token).copied().unwrap_or(-1.0);
            assert!((actual - expected).abs() < 1e-6, "{}: token {token}: {actual} != {expected}", golden.name);
        }
    }
}

#[test]
fn draws_follow_the_distribution() {
    const DRAWS: usize = 20_000;
    let mut sampler = Sampler::new(SamplingOptions { seed: Some(42), ..plain() }).unwrap();
    let mut counts = [0usize; 4];
    for _ in 0..DRAWS {
        counts[sampler.sample(&tenths(), &[]).unwrap() as usize] += 1;
    }
    let chi_square: f64 = counts
        .iter()
        .zip([0.1, 0.4, 0.2, 0.3])
        .map(|(&n, p)| {
            let expected = p * DRAWS as f64;
            (n as f64 - expected).powi(2) / expected
        })
        .sum();
    // 3 degrees of freedom: exceeded once in 1,000 seeds.
    assert!(chi_square < 16.27, "chi-square {chi_square}, counts {counts:?}");
}

/// The tokens that a seed gives may not change between versions or platforms.
#[test]
fn a_seed_pins_the_tokens() {
    let logits: Vec<f32> = (0..100).map(|i| (i * 37 % 101) as f32 / 20.0).collect();
    let draw = |seed| {
        let mut sampler = Sampler::new(SamplingOptions { seed: Some(seed), ..SamplingOptions::default() }).unwrap();
        (0..12).map(|_| sampler.sample(&logits, &[]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_eq!(draw(7), [81, 43, 27, 68, 32, 60, 60, 49, 68, 8, 60, 35]);
    assert_eq!(draw(8), [95, 79, 19, 8, 68, 98, 46, 79, 98, 54, 79, 76]);
}

#[test]
fn a_seed_from_the_system_can_be_repeated() {
    let options = SamplingOptions { seed: None, ..plain() };
    let mut first = Sampler::new(options).unwrap();
    let mut again = Sampler::new(SamplingOptions { seed: Some(first.seed()), ..options }).unwrap();
    for _ in 0..50 {
        assert_eq!(first.sample(&tenths(), &[]), again.sample(&tenths(), &[]));
    }
    assert_ne!(first.seed(), Sampler::new(options).unwrap().seed());
}

#[test]
fn greedy_takes_the_first_of_equals_wherever_it_stands() {
    let mut row = vec![0.0f32; 100];
    for (a, b) in [(3, 4), (15, 16), (17, 31), (98, 99)] {
        row.fill(0.0);
        row[a] = 2.5;
        row[b] = 2.5;
        assert_eq!(greedy(&row), Ok(a as u32));
        assert_eq!(Sampler::new(SamplingOptions::greedy()).unwrap().sample(&row, &[]), Ok(a as u32));
    }
    assert_eq!(greedy(&[f32::NEG_INFINITY, -0.0, 0.0]), Ok(1));
}

#[test]
fn temperature_zero_still_obeys_penalties() {
    let options = SamplingOptions { presence_penalty: 1.0, ..SamplingOptions::greedy() };
    assert_eq!(Sampler::new(options).unwrap().sample(&[1.5, 1.0], &[0]), Ok(1));
}

#[test]
fn broken_rows_are_errors() {
    let mut sampler = Sampler::new(SamplingOptions { repeat_penalty: 1.1, ..SamplingOptions::default() }).unwrap();
    let masked = f32::NEG_INFINITY;
    for (row, recent, expected) in [
        (vec![], vec![], SampleError::EmptyRow),
        (vec![0.0, f32::NAN, 1.0], vec![], SampleError::NotANumber { token: 1 }),
        (vec![0.0, 1.0, f32::INFINITY], vec![], SampleError::Infinite { token: 2 }),
        (vec![masked; 3], vec![0], SampleError::AllMasked),
        (vec![0.0; 3], vec![1, 3], SampleError::UnknownToken { token: 3, vocab: 3 }),
    ] {
        assert_eq!(sampler.sample(&row, &recent), Err(expected.clone()));
        if recent != [1, 3] {
            assert_eq!(greedy(&row), Err(expected));
        }
    }
}

#[test]
fn nonsense_options_are_errors() {
    let base = SamplingOptions::default();
    assert_eq!(base.validate(), Ok(()));
    for (options, expected) in [
        (SamplingOptions { temperature: -0.5, ..base }, OptionsError::Temperature(-0.5)),
        (SamplingOptions { temperature: f32::INFINITY, ..base }, OptionsError::Temperature(f32::INFINITY)),
        (SamplingOptions { top_p: 1.5, ..base }, OptionsError::TopP(1.5)),
        (SamplingOptions { min_p: -0.1, ..base }, OptionsError::MinP(-0.1)),
        (SamplingOptions { repeat_penalty: 0.0, ..base }, OptionsError::RepeatPenalty(0.0)),
        (SamplingOptions { presence_penalty: f32::INFINITY, ..base }, OptionsError::PresencePenalty(f32::INFINITY)),
        (SamplingOptions { frequency_penalty: f32::INFINITY, ..base }, OptionsError::FrequencyPenalty(f32::INFINITY)),
    ] {
        assert_eq!(Sampler::new(options).map(|_| ()), Err(expected));
    }
    for options in [
        SamplingOptions { temperature: f32::NAN, ..base },
        SamplingOptions { top_p: f32::NAN, ..base },
        SamplingOptions { min_p: f32::NAN, ..base },
        SamplingOptions { repeat_penalty: f32::NAN, ..base },
        SamplingOptions { presence_penalty: f32::NAN, ..base },
        SamplingOptions { frequency_penalty: f32::NAN, ..base },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
}

/// The kept tokens by the definitions, with a full sort and in f64. `slack` widens (+) or narrows (-) the thresholds,
/// to allow for rounding at their edges.
fn kept_by_definition(options: &SamplingOptions, logits: &[f32], slack: f64) -> Vec<u32> {
    let mut ranked: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|&l| f64::from(l))).collect();
    ranked.retain(|c| c.1 > f64::NEG_INFINITY);
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if options.top_k > 0 {
        ranked.truncate(options.top_k);
    }
    let max = ranked[0].1;
    let total: f64 = ranked.iter().map(|c| (c.1 - max).exp()).sum();
    let mut before = 0.0;
    let mut kept = Vec::new();
    for (i, (token, logit)) in ranked.into_iter().enumerate() {
        let weight = (logit - max).exp();
        let in_nucleus = options.top_p >= 1.0 || i == 0 || before < f64::from(options.top_p) * total + slack * total;
        if in_nucleus && weight >= f64::from(options.min_p) * (1.0 - slack) {
            kept.push(token);
        }
        before += weight;
    }
    kept
}

prop_compose! {
    fn some_options()(
        temperature in 0.1f32..3.0, top_k in 0usize..200, top_p in 0.0f32..=1.0, min_p in 0.0f32..=1.0,
        with_k: bool, with_p: bool, with_min: bool, seed: u64,
    ) -> SamplingOptions {
        SamplingOptions {
            temperature,
            top_k: if with_k { top_k } else { 0 },
            top_p: if with_p { top_p } else { 1.0 },
            min_p: if with_min { min_p } else { 0.0 },
            seed: Some(seed),
            ..SamplingOptions::default()
        }
    }
}

/// Rows long enough for the partial sorts to take all their turns, with ties and masks.
fn some_row() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![8 => -8.0f32..8.0, 1 => Just(1.5f32), 1 => Just(f32::NEG_INFINITY)];
    (prop::collection::vec(logit, 1..3000), any::<prop::sample::Index>()).prop_map(|(mut row, at)| {
        let at = at.index(row.len());
        row[at] = 3.0;
        row
    })
}

proptest! {
    #[test]
    fn keeps_what_the_definitions_keep(options in some_options(), row in some_row()) {
        let mut sampler = Sampler::new(options).unwrap();
        let candidates = sampler.distribution(&row, &[]).unwrap().to_vec();
        let kept: Vec<u32> = candidates.iter().map(|c| c.token).collect();
        let (most, least) = (kept_by_definition(&options, &row, 1e-5), kept_by_definition(&options, &row, -1e-5));
        prop_assert!(kept.iter().all(|t| most.contains(t)), "{kept:?} has more than {most:?}");
        prop_assert!(least.iter().all(|t| kept.contains(t)), "{kept:?} lacks some of {least:?}");
        let sum: f64 = candidates.iter().map(|c| f64::from(c.probability)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-5, "sum {sum}");
        for _ in 0..10 {
            let token = sampler.sample(&row, &[]).unwrap();
            prop_assert!(kept.contains(&token));
        }
    }

    #[test]
    fn penalties_make_recent_tokens_less_likely(
        row in prop::collection::vec(-5.0f32..5.0, 2..40),
        recent in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
        repeat in 1.0f32..2.0, presence in 0.01f32..2.0, frequency in 0.0f32..2.0,
    ) {
        let recent: Vec<u32> = recent.iter().map(|i| i.index(row.len()) as u32).collect();
        prop_assume!((0..row.len() as u32).any(|t| !recent.contains(&t)));
        let before = distribution(plain(), &row, &recent);
        let options = SamplingOptions {
            repeat_penalty: repeat, presence_penalty: presence, frequency_penalty: frequency, ..plain()
        };
        let after = distribution(options, &row, &recent);
        // All recent ones together lose; a single one may gain from another's heavier loss.
        let mass = |d: &[(u32, f32)]| d.iter().filter(|c| recent.contains(&c.0)).map(|c| c.1).sum::<f32>();
        prop_assert!(mass(&after) < mass(&before), "{} >= {}", mass(&after), mass(&before));
    }

    #[test]
    fn any_bits_give_a_token_or_an_error(
        bits in prop::collection::vec(any::<u32>(), 0..50), options in some_options(), recent in prop::collection::vec(0u32..60, 0..5),
        repeat in 0.1f32..10.0,
    ) {
        let row: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let mut sampler = Sampler::new(SamplingOptions { repeat_penalty: repeat, ..options }).unwrap();
        if let Ok(token) = sampler.sample(&row, &recent) {
            prop_assert!(row[token as usize] > f32::NEG_INFINITY && row[token as usize].is_finite());
        }
    }
}
