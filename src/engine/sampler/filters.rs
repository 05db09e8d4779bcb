//! What may be drawn at all: top-k, top-p, min-p. None of them sorts the whole vocabulary.

use std::cmp::Ordering;

use super::Candidate;
use crate::kernels::sample;

/// Falling logits, ties by rising token: a total order, for there is no NaN among candidates.
fn by_rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.partial_cmp(&a.logit).unwrap_or(Ordering::Equal).then(a.token.cmp(&b.token))
}

/// Fills `candidates` with the `k` largest logits; for `k` = 0, or as large as the vocabulary, with all of them. Logits of
/// -infinity are left out.
///
/// Unlike Hugging Face's `TopKLogitsWarper`, and like llama.cpp, it keeps exactly `k` of several equal logits.
pub(super) fn top_k(row: &[f32], k: usize, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let candidate = |(token, &logit): (usize, &f32)| Candidate { token: token as u32, logit, probability: 0.0 };
    if k == 0 || k >= row.len() {
        candidates.extend(row.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY).map(candidate));
        return;
    }
    // Gather whatever beats the k-th best so far and cut back to k now and then: after the first few thousand tokens
    // hardly any does, and the loop is one comparison a token.
    let limit = k.saturating_mul(2).max(512);
    let mut threshold = f32::NEG_INFINITY;
    for (token, logit) in row.iter().enumerate() {
        if *logit > threshold {
            candidates.push(candidate((token, logit)));
            if candidates.len() == limit {
                candidates.select_nth_unstable_by(k - 1, by_rank);
                candidates.truncate(k);
                threshold = candidates[k - 1].logit;
            }
        }
    }
    if candidates.len() > k {
        candidates.select_nth_unstable_by(k - 1, by_rank);
        candidates.truncate(k);
    }
}

/// Keeps the fewest best candidates whose probabilities reach `p`; all of them for `p` = 1. `max` is the largest logit.
pub(super) fn top_p(candidates: &mut Vec<Candidate>, p: f32, max: f32) {
    if p >= 1.0 {
        return;
    }
    let mut total = 0.0;
    for candidate in candidates.iter_mut() {
        candidate.probability = libm::expf(candidate.logit - max);
        total += f64::from(candidate.probability);
    }
    let target = f64::from(p) * total;
    // The nucleus is small as a rule: sort a few of the best, and four times as many if it does not end there.
    let mut sorted = 256.min(candidates.len());
    loop {
        if sorted < candidates.len() {
            candidates.select_nth_unstable_by(sorted, by_rank);
        }
        candidates[..sorted].sort_unstable_by(by_rank);
        let mut reached = 0.0;
        let last = candidates[..sorted].iter().position(|candidate| {
            reached += f64::from(candidate.probability);
            reached >= target
        });
        if let Some(last) = last {
            candidates.truncate(last + 1);
            return;
        }
        if sorted == candidates.len() {
            return;
        }
        sorted = sorted.saturating_mul(4).min(candidates.len());
    }
}

/// Keeps candidates at least `p` times as probable as the best. `max` is the largest logit.
pub(super) fn min_p(candidates: &mut Vec<Candidate>, p: f32, max: f32) {
    if p > 0.0 {
        // exp(logit) >= p * exp(max), without the exponentials.
        let threshold = max + libm::logf(p);
        candidates.retain(|candidate| candidate.logit >= threshold);
    }
}

/// The order of the draw, as the device has it: few best tokens by their rank, else the order of tokens.
pub(super) fn sort(candidates: &mut [Candidate], top_k: usize) {
    if sample::is_sorted(top_k) {
        candidates.sort_unstable_by(by_rank);
    } else {
        candidates.sort_unstable_by_key(|candidate| candidate.token);
    }
}
