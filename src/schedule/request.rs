//! One request: its known tokens and how many of them the model has computed.

use std::fmt;

/// Names a request within one scheduler. Never reused, so a late result cannot reach the wrong request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Why a request ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It generated `max_new_tokens` tokens.
    Length,
    /// Prompt and generated tokens fill the context (or all pages of the cache).
    ContextFull,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// In the queue; holds no pages.
    Waiting,
    /// Admitted; holds the pages of its computed tokens.
    Running,
    /// Ended by itself; holds no pages and waits to be taken with [`Scheduler::finish`](super::Scheduler::finish).
    Finished(FinishReason),
}

/// A prompt to continue, or a text to score.
#[derive(Clone, Debug)]
pub struct Request {
    /// The prompt, then the generated tokens: everything that is known.
    tokens: Vec<u32>,
    prompt_len: usize,
    max_new_tokens: usize,
    logits_from: Option<usize>,
    state: RequestState,
    num_computed: usize,
    num_in_flight: usize,
    num_awaited: usize,
    num_scored: usize,
    num_cached: Option<usize>,
}

impl Request {
    /// A request that continues `prompt` by at most `max_new_tokens` tokens. With 0 the prompt is only computed.
    pub fn new(prompt: Vec<u32>, max_new_tokens: usize) -> Self {
        Self {
            prompt_len: prompt.len(),
            tokens: prompt,
            max_new_tokens,
            logits_from: None,
            state: RequestState::Waiting,
            num_computed: 0,
            num_in_flight: 0,
            num_awaited: 0,
            num_scored: 0,
            num_cached: None,
        }
    }

    /// Asks for the logits of every position, not only of the last one: this is how a text is scored.
    pub fn with_all_logits(self) -> Self {
        self.with_logits_from(0)
    }

    /// Asks for the logits of position `first` and all after it; the last one's are computed in any case.
    pub fn with_logits_from(mut self, first: usize) -> Self {
        self.logits_from = Some(first);
        self
    }

    /// The prompt's tokens.
    pub fn prompt(&self) -> &[u32] {
        &self.tokens[..self.prompt_len]
    }

    /// The tokens sampled so far.
    pub fn generated(&self) -> &[u32] {
        &self.tokens[self.prompt_len..]
    }

    /// The prompt followed by the generated tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The most tokens that may be generated.
    pub fn max_new_tokens(&self) -> usize {
        self.max_new_tokens
    }

    /// The position from which on all logits are wanted; `None` where only the last one's are.
    pub fn logits_from(&self) -> Option<usize> {
        self.logits_from
    }

    /// Where the request stands.
    pub fn state(&self) -> RequestState {
        self.state
    }

    /// Leading tokens whose keys and values are in the cache. 0 again after a preemption.
    pub fn num_computed(&self) -> usize {
        self.num_computed
    }

    /// Leading tokens of the prompt whose keys and values were in the cache, from other requests, when this one was admitted
    /// first.
    pub fn num_cached(&self) -> usize {
        self.num_cached.unwrap_or(0)
    }

    /// Tokens in steps that were scheduled and are not completed yet.
    pub fn num_in_flight(&self) -> usize {
        self.num_in_flight
    }

    /// Tokens that steps in flight will have sampled.
    pub(super) fn num_awaited(&self) -> usize {
        self.num_awaited
    }

    /// Tokens, known or awaited.
    pub(super) fn num_expected(&self) -> usize {
        self.tokens.len() + self.num_awaited
    }

    /// Tokens, known or awaited, that no step has computed or is computing. There is at most one of the awaited: all that
    /// come before it are in flight.
    pub(super) fn num_pending(&self) -> usize {
        self.num_expected() - self.num_computed - self.num_in_flight
    }

    /// First position whose logits nobody has got: a request that is recomputed must not score a position twice.
    pub(super) fn num_scored(&self) -> usize {
        self.num_scored
    }

    /// Leading tokens that need not be computed if their keys and values are there: all but those whose logits are wanted.
    pub(super) fn num_skippable(&self) -> usize {
        let unscored = self.logits_from.map_or(usize::MAX, |first| first.max(self.num_scored));
        unscored.min(self.tokens.len().saturating_sub(1))
    }

    pub(super) fn wants_token(&self) -> bool {
        self.tokens.len() - self.prompt_len < self.max_new_tokens
    }

    /// Whether it wants a token behind those that are awaited.
    pub(super) fn wants_another(&self) -> bool {
        self.num_expected() - self.prompt_len < self.max_new_tokens
    }

    pub(super) fn reserve(&mut self, total_tokens: usize) {
        self.tokens.reserve(total_tokens.saturating_sub(self.tokens.len()));
    }

    /// Begins behind the tokens whose keys and values the cache holds.
    pub(super) fn admit(&mut self, cached: usize) {
        self.state = RequestState::Running;
        self.num_computed = cached;
        self.num_cached.get_or_insert(cached);
    }

    /// As if it had never run, but for what it has generated.
    pub(super) fn reset(&mut self) {
        self.preempt();
        self.num_cached = None;
    }

    /// Puts tokens in flight; behind the last of them the next one is sampled, if another is wanted.
    pub(super) fn launch(&mut self, tokens: usize) {
        self.num_in_flight += tokens;
        if self.num_pending() == 0 && self.wants_another() {
            self.num_awaited += 1;
        }
    }

    /// Forgets the cache's contents, not the tokens: those sampled so far are recomputed like a prompt.
    pub(super) fn preempt(&mut self) {
        self.state = RequestState::Waiting;
        self.num_computed = 0;
        self.num_in_flight = 0;
        self.num_awaited = 0;
    }

    /// The first `tokens` of the tokens in flight are in the cache now.
    pub(super) fn land(&mut self, tokens: usize) {
        self.num_computed += tokens;
        self.num_in_flight -= tokens;
        self.num_scored = self.num_scored.max(self.num_computed);
    }

    /// The first of the awaited tokens is known now.
    pub(super) fn push(&mut self, token: u32) {
        self.num_awaited -= 1;
        self.tokens.push(token);
    }

    pub(super) fn end(&mut self, reason: FinishReason) {
        self.state = RequestState::Finished(reason);
    }
}
