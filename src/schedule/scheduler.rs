//! Which tokens of which requests run next.
//!
//! Running requests come first, each with the next chunk of its pending tokens (in decode that is one), then waiting
//! ones in the order they came, while the token budget, the sequence limit and the pages last. A running request
//! that gets no pages preempts the one admitted last, which goes back to the front of the queue and recomputes its
//! known tokens later.
//!
//! A step that was handed out counts as in flight until [`Scheduler::complete`]. Requests in flight are passed over,
//! so a second step may be scheduled meanwhile for the others. Or they are [run ahead](Scheduler::schedule_ahead): a step
//! may hold the tokens that the step before it will have sampled, before anyone knows them. Whether it is the last that a
//! request wants is known beforehand; where one ends sooner, at a stop token for instance, what was computed behind that is
//! wasted, and counted.
//!
//! Requests may [share prefixes](Scheduler::share_prefixes): one that is admitted takes the pages of its longest prefix that
//! any request has computed, and starts behind them.

use std::collections::VecDeque;

use thiserror::Error;

use super::batch::{Batch, LogitsWanted, SequenceStep};
use super::pages::{PageAllocator, PageError, PageList};
use super::prefix::PrefixHash;
use super::request::{FinishReason, Request, RequestId, RequestState};

/// What a step and the cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens in a step, of all sequences together.
    pub token_budget: usize,
    /// Most tokens of one request in a step: the prefill chunk.
    pub max_tokens_per_request: usize,
    /// Most sequences that run at a time.
    pub max_sequences: usize,
    /// Pages in the cache.
    pub num_pages: u32,
    /// Tokens a page holds.
    pub page_size: u32,
    /// Most tokens of one sequence, prompt and generated together.
    pub max_context: usize,
}

/// Why the scheduler refused something; it is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// A limit allows nothing.
    #[error("the limit {name} is 0, so nothing could ever run; set it to at least 1")]
    ZeroLimit { name: &'static str },
    /// The context's positions do not fit in the 32 bits that the shaders use.
    #[error("a context of {max_context} tokens is over 2^32 - 1; use a smaller one")]
    ContextTooLarge { max_context: usize },
    /// The cache's shape is impossible.
    #[error(transparent)]
    Pages(#[from] PageError),
    /// There is nothing to compute.
    #[error("the prompt is empty; give at least one token (a beginning-of-sequence token will do)")]
    EmptyPrompt,
    /// The prompt leaves no room in the context.
    #[error(
        "the prompt's {prompt_len} tokens and {new_tokens} to generate do not fit in the context of {max_context}; shorten the prompt or raise the context size"
    )]
    PromptTooLong { prompt_len: usize, new_tokens: usize, max_context: usize },
    /// The prompt would not fit in the cache even if it ran alone.
    #[error(
        "the prompt's {prompt_len} tokens and {new_tokens} to generate can never fit in the cache's {capacity}; shorten the prompt or allocate more pages"
    )]
    CacheTooSmall { prompt_len: usize, new_tokens: usize, capacity: usize },
    /// No such request, or it was taken already.
    #[error("there is no request {id}; it was finished or aborted before, or belongs to another scheduler")]
    UnknownRequest { id: RequestId },
    /// The completed batch is not the step in flight.
    #[error("the batch is not the step in flight for request {id}; complete each scheduled batch once, unchanged")]
    NotInFlight { id: RequestId },
    /// A request whose logits were computed to sample from got no token.
    #[error("request {id} awaits a sampled token and got none; sample one from its last row of logits")]
    MissingToken { id: RequestId },
    /// A token for a request that awaits none.
    #[error("request {id} awaits no sampled token in this step; sample only where Scheduler::awaits_token says so")]
    UnexpectedToken { id: RequestId },
}

/// Counts since the scheduler was made, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Steps scheduled.
    pub steps: u64,
    /// Tokens scheduled, recomputed ones included.
    pub scheduled_tokens: u64,
    /// Tokens that were not scheduled since the cache held their keys and values.
    pub cached_tokens: u64,
    /// Tokens that were in flight, and computed for nothing, when their request was taken.
    pub wasted_tokens: u64,
    /// Times a request lost its pages to another.
    pub preemptions: u64,
    /// Requests taken with [`Scheduler::finish`].
    pub finished: u64,
    /// Requests taken with [`Scheduler::abort`].
    pub aborted: u64,
    /// Requests in the queue now.
    pub waiting: usize,
    /// Requests that hold pages now.
    pub running: usize,
    /// Pages that nobody holds now.
    pub free_pages: usize,
}

#[derive(Debug)]
struct Sequence {
    id: RequestId,
    request: Request,
    pages: PageList,
    /// The names of its full pages, as far as they were needed.
    names: Vec<PrefixHash>,
    /// Leading pages that were found by their names or given to the allocator with them.
    num_named: usize,
    /// The step, by its number, that samples the last of its awaited tokens, and from which row of logits.
    sampled_in: Option<(u64, usize)>,
}

/// Decides what each step runs; owns the requests and the pages they hold.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    /// Most tokens a sequence can reach: the context, or the whole cache if that is smaller. Any one request can
    /// therefore run to its end alone, which is why every request ends.
    max_len: usize,
    page_table_stride: u32,
    pages: PageAllocator,
    /// In the order of admission: the newest is preempted first.
    running: Vec<Sequence>,
    waiting: VecDeque<Sequence>,
    /// Ended by themselves and not yet taken.
    ended: Vec<Sequence>,
    share_prefixes: bool,
    next_id: u64,
    stats: Stats,
}

impl Scheduler {
    /// A scheduler with an empty cache and no requests.
    ///
    /// # Errors
    /// [`ScheduleError::ZeroLimit`] for a limit of 0; [`ScheduleError::Pages`] or [`ScheduleError::ContextTooLarge`] if
    /// slots or positions do not fit in 32 bits.
    pub fn new(limits: Limits) -> Result<Self, ScheduleError> {
        for (name, value) in [
            ("token_budget", limits.token_budget),
            ("max_tokens_per_request", limits.max_tokens_per_request),
            ("max_sequences", limits.max_sequences),
            ("max_context", limits.max_context),
        ] {
            if value == 0 {
                return Err(ScheduleError::ZeroLimit { name });
            }
        }
        if u32::try_from(limits.max_context).is_err() {
            return Err(ScheduleError::ContextTooLarge { max_context: limits.max_context });
        }
        let pages = PageAllocator::new(limits.num_pages, limits.page_size)?;
        let max_len = limits.max_context.min(pages.capacity());
        Ok(Self {
            limits,
            max_len,
            page_table_stride: pages.pages_for(max_len) as u32,
            pages,
            running: Vec::with_capacity(limits.max_sequences.min(1024)),
            waiting: VecDeque::new(),
            ended: Vec::new(),
            share_prefixes: false,
            next_id: 0,
            stats: Stats::default(),
        })
    }

    /// Lets requests share the pages of common prefixes, also with requests that have ended, until the pages are used again.
    /// Only full pages are shared, and of a prompt at least one token is left to compute. Off in a new scheduler.
    pub fn share_prefixes(mut self, on: bool) -> Self {
        self.share_prefixes = on;
        self
    }

    /// Forgets what the pages hold, so that no later request shares those there are: after a step that failed.
    pub fn forget_prefixes(&mut self) {
        self.pages.forget_names();
    }

    /// The limits, with the chunk size as it is now.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Entries in a row of the page tables of this scheduler's batches: the pages of the longest sequence.
    pub fn page_table_stride(&self) -> u32 {
        self.page_table_stride
    }

    /// Changes the most tokens of one request in a step, from the next step on; 0 counts as 1.
    pub fn set_chunk_size(&mut self, tokens: usize) {
        self.limits.max_tokens_per_request = tokens.max(1);
    }

    /// Changes the most tokens of a step, from the next one on; 0 counts as 1.
    pub fn set_token_budget(&mut self, tokens: usize) {
        self.limits.token_budget = tokens.max(1);
    }

    /// Puts a request at the end of the queue.
    ///
    /// It may ask for more new tokens than fit; then it ends with [`FinishReason::ContextFull`].
    ///
    /// # Errors
    /// [`ScheduleError::EmptyPrompt`]; [`ScheduleError::PromptTooLong`] or [`ScheduleError::CacheTooSmall`] if the
    /// prompt and one new token (where any is wanted) exceed the context or the whole cache.
    pub fn add(&mut self, mut request: Request) -> Result<RequestId, ScheduleError> {
        let prompt_len = request.tokens().len();
        let new_tokens = usize::from(request.wants_token());
        if prompt_len == 0 {
            return Err(ScheduleError::EmptyPrompt);
        }
        let needed = prompt_len.saturating_add(new_tokens);
        if needed > self.limits.max_context {
            return Err(ScheduleError::PromptTooLong { prompt_len, new_tokens, max_context: self.limits.max_context });
        }
        if needed > self.max_len {
            return Err(ScheduleError::CacheTooSmall { prompt_len, new_tokens, capacity: self.max_len });
        }
        // Room for all tokens now, so that decode allocates nothing; and a request that comes back starts over.
        request.reserve(request.prompt().len().saturating_add(request.max_new_tokens()).min(self.max_len));
        request.reset();
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back(Sequence {
            id,
            request,
            pages: PageList::default(),
            names: Vec::new(),
            num_named: 0,
            sampled_in: None,
        });
        Ok(id)
    }

    /// Fills `batch` with the next step. Returns false, with an empty batch, if nothing can run now: no requests are
    /// left, or all that could run are in flight.
    pub fn schedule(&mut self, batch: &mut Batch) -> bool {
        self.fill(batch, false)
    }

    /// As [`Scheduler::schedule`], but goes on with requests that are in flight, too. Where the next token is one that the
    /// step before this one samples, the batch has [its place](Batch::sampled). Steps must run, and be completed, in the
    /// order in which they were scheduled.
    pub fn schedule_ahead(&mut self, batch: &mut Batch) -> bool {
        self.fill(batch, true)
    }

    fn fill(&mut self, batch: &mut Batch, ahead: bool) -> bool {
        batch.clear(self.page_table_stride);
        let mut budget = self.limits.token_budget;
        let out_of_pages = self.schedule_running(batch, &mut budget, ahead);
        // Whoever was just preempted would be the first to come back, and running requests want the pages it freed.
        if !out_of_pages {
            self.admit_waiting(batch, &mut budget);
        }
        if batch.is_empty() {
            return false;
        }
        debug_assert_eq!(batch.validate(self.pages.num_pages(), self.pages.page_size()), Ok(()));
        self.stats.steps += 1;
        self.stats.scheduled_tokens += batch.num_tokens() as u64;
        true
    }

    /// Gives running requests their next tokens; returns whether pages ran out.
    fn schedule_running(&mut self, batch: &mut Batch, budget: &mut usize, ahead: bool) -> bool {
        let last_step = self.stats.steps;
        let mut out_of_pages = false;
        let mut index = 0;
        while *budget > 0 && index < self.running.len() {
            let sequence = &mut self.running[index];
            let tokens = self.limits.chunk(sequence.request.num_pending(), *budget);
            let waits = sequence.request.num_in_flight() > 0 && !(ahead && sequence.goes_on(self.max_len, last_step));
            if waits || tokens == 0 {
                index += 1;
                continue;
            }
            if sequence.grow(tokens, &mut self.pages) {
                sequence.launch(tokens, batch, self.pages.page_size(), last_step + 1);
                *budget -= tokens;
                index += 1;
                continue;
            }
            // The newest is at `index` or after it, so it has nothing in this step yet. If it is in flight in an
            // earlier one, its result is worth waiting for.
            out_of_pages = true;
            if self.running.last().is_some_and(|newest| newest.request.num_in_flight() > 0) {
                break;
            }
            self.preempt_newest();
        }
        out_of_pages
    }

    fn preempt_newest(&mut self) {
        if let Some(mut newest) = self.running.pop() {
            self.pages.free(&mut newest.pages);
            newest.request.preempt();
            newest.num_named = 0;
            self.waiting.push_front(newest);
            self.stats.preemptions += 1;
        }
    }

    /// Admits from the front of the queue, never past a request that does not fit.
    fn admit_waiting(&mut self, batch: &mut Batch, budget: &mut usize) {
        while *budget > 0 && self.running.len() < self.limits.max_sequences {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            let Some(tokens) = self.admit(&mut sequence, *budget) else {
                self.waiting.push_front(sequence);
                break;
            };
            sequence.launch(tokens, batch, self.pages.page_size(), self.stats.steps + 1);
            *budget -= tokens;
            self.running.push(sequence);
        }
    }

    /// Gets a waiting sequence the pages of its cached prefix and those for its next tokens; returns how many tokens these
    /// are, or nothing if there are not enough pages.
    fn admit(&mut self, sequence: &mut Sequence, budget: usize) -> Option<usize> {
        let page_size = self.pages.page_size() as usize;
        let request = &sequence.request;
        let shareable = if self.share_prefixes { request.num_skippable() / page_size } else { 0 };
        sequence.name_pages(shareable, page_size);
        let found = self.pages.count_named(&sequence.names[..shareable]);
        let cached = found * page_size;
        let tokens = self.limits.chunk(sequence.request.tokens().len() - cached, budget);
        sequence.pages = self.pages.allocate_named(&sequence.names[..found], cached + tokens).ok()?;
        sequence.num_named = found;
        sequence.request.admit(cached);
        self.stats.cached_tokens += cached as u64;
        Some(tokens)
    }

    /// Whether the step computes the logits from which the next token of its sequence `sequence` is to be sampled. It must be
    /// the oldest in flight.
    pub fn awaits_token(&self, batch: &Batch, sequence: usize) -> bool {
        let (Some(id), Some(context)) = (batch.request_ids.get(sequence), batch.context_len.get(sequence)) else {
            return false;
        };
        find_near(&self.running, sequence, |s| s.id == *id).is_some_and(|at| self.running[at].awaits_token(*context))
    }

    /// Records the results of the oldest step in flight: its tokens are computed, and `sampled` holds the next token of each
    /// request that [awaits](Scheduler::awaits_token) one. Entries are found fastest in the batch's order.
    ///
    /// Requests that reached their length or the context's end give their pages back and wait, in the state
    /// [`RequestState::Finished`], to be taken with [`Scheduler::finish`]. Requests that were finished or aborted
    /// while in flight are passed over, with their tokens.
    ///
    /// # Errors
    /// [`ScheduleError::NotInFlight`], [`ScheduleError::MissingToken`] or [`ScheduleError::UnexpectedToken`] if the batch
    /// or the tokens are not the step's; nothing is recorded then.
    pub fn complete(&mut self, batch: &Batch, sampled: &[(RequestId, u32)]) -> Result<(), ScheduleError> {
        self.check_completion(batch, sampled)?;
        for (i, (id, tokens, context)) in batch.sequences().enumerate() {
            let Some(at) = find_near(&self.running, i, |s| s.id == id) else { continue };
            let sequence = &mut self.running[at];
            let awaits_token = sequence.awaits_token(context as u32);
            sequence.request.land(tokens);
            if self.share_prefixes {
                sequence.offer_pages(&mut self.pages);
            }
            if sequence.request.num_computed() < sequence.request.tokens().len() {
                continue;
            }
            if awaits_token && let Some(at) = find_near(sampled, i, |entry| entry.0 == id) {
                sequence.request.push(sampled[at].1);
            }
            if !sequence.request.wants_token() {
                sequence.request.end(FinishReason::Length);
            } else if sequence.request.tokens().len() >= self.max_len {
                sequence.request.end(FinishReason::ContextFull);
            }
        }
        self.retire_ended();
        Ok(())
    }

    fn check_completion(&self, batch: &Batch, sampled: &[(RequestId, u32)]) -> Result<(), ScheduleError> {
        let mut matched = 0;
        for (i, (id, query_len, context_len)) in batch.sequences().enumerate() {
            let has_token = find_near(sampled, i, |entry| entry.0 == id).is_some();
            matched += usize::from(has_token);
            let Some(at) = find_near(&self.running, i, |s| s.id == id) else {
                // Unknown, but handed out once: it was taken while in flight.
                if self.request(id).is_some() || id.0 >= self.next_id {
                    return Err(ScheduleError::NotInFlight { id });
                }
                continue;
            };
            let sequence = &self.running[at];
            let in_flight = sequence.request.num_in_flight();
            if query_len > in_flight || context_len != sequence.request.num_computed() + query_len {
                return Err(ScheduleError::NotInFlight { id });
            }
            match (sequence.awaits_token(context_len as u32), has_token) {
                (true, false) => return Err(ScheduleError::MissingToken { id }),
                (false, true) => return Err(ScheduleError::UnexpectedToken { id }),
                _ => {}
            }
        }
        if matched == sampled.len() {
            return Ok(());
        }
        let is_stray =
            |i: usize, id| !batch.request_ids.contains(&id) || sampled[..i].iter().any(|entry| entry.0 == id);
        match sampled.iter().enumerate().find(|&(i, entry)| is_stray(i, entry.0)) {
            Some((_, &(id, _))) => Err(ScheduleError::UnexpectedToken { id }),
            None => Ok(()),
        }
    }

    /// Moves requests that reached an end out of the running ones and frees their pages.
    fn retire_ended(&mut self) {
        let pages = &mut self.pages;
        self.ended.extend(self.running.extract_if(.., |s| s.request.state() != RequestState::Running).map(|mut s| {
            pages.free(&mut s.pages);
            s
        }));
    }

    /// Takes a request that is done: one in the state [`RequestState::Finished`], or one whose output the caller
    /// ends, at a stop token for instance. Its pages are free at once; a step in flight may still write to them,
    /// but before any later step does.
    ///
    /// # Errors
    /// [`ScheduleError::UnknownRequest`] if there is no such request.
    pub fn finish(&mut self, id: RequestId) -> Result<Request, ScheduleError> {
        let request = self.take(id).ok_or(ScheduleError::UnknownRequest { id })?;
        self.stats.finished += 1;
        Ok(request)
    }

    /// Cancels a request in whatever state it is and returns it; `None` if it is already gone, as a cancellation may
    /// cross the request's end. Its pages are free at once, as in [`Scheduler::finish`].
    pub fn abort(&mut self, id: RequestId) -> Option<Request> {
        let request = self.take(id)?;
        self.stats.aborted += 1;
        Some(request)
    }

    /// Ends all requests, wherever they are.
    pub fn abort_all(&mut self) {
        let ids: Vec<RequestId> =
            self.running.iter().chain(&self.ended).chain(&self.waiting).map(|sequence| sequence.id).collect();
        for id in ids {
            self.abort(id);
        }
    }

    fn take(&mut self, id: RequestId) -> Option<Request> {
        let mut sequence = if let Some(at) = self.running.iter().position(|s| s.id == id) {
            self.running.remove(at)
        } else if let Some(at) = self.ended.iter().position(|s| s.id == id) {
            self.ended.remove(at)
        } else {
            let at = self.waiting.iter().position(|s| s.id == id)?;
            self.waiting.remove(at)?
        };
        self.pages.free(&mut sequence.pages);
        self.stats.wasted_tokens += sequence.request.num_in_flight() as u64;
        Some(sequence.request)
    }

    fn sequence(&self, id: RequestId) -> Option<&Sequence> {
        self.running.iter().chain(&self.ended).chain(&self.waiting).find(|s| s.id == id)
    }

    /// A request that was not taken yet.
    pub fn request(&self, id: RequestId) -> Option<&Request> {
        self.sequence(id).map(|s| &s.request)
    }

    /// The pages that a request holds; none unless it is running.
    pub fn pages(&self, id: RequestId) -> &[u32] {
        self.sequence(id).map_or(&[], |s| s.pages.as_slice())
    }

    /// Whether no request is running or waiting. Ended ones may still have to be taken.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Counts since the start, and the queues' lengths now.
    pub fn stats(&self) -> Stats {
        Stats {
            waiting: self.waiting.len(),
            running: self.running.len(),
            free_pages: self.pages.num_free(),
            ..self.stats
        }
    }
}

impl Limits {
    /// Tokens of a request that may run now, with so many pending and `budget` left in the step.
    fn chunk(&self, pending: usize, budget: usize) -> usize {
        pending.min(self.max_tokens_per_request).min(budget)
    }
}

impl Sequence {
    /// Gets pages for `tokens` more tokens; false if there are not enough.
    fn grow(&mut self, tokens: usize, pages: &mut PageAllocator) -> bool {
        let launched = self.request.num_computed() + self.request.num_in_flight();
        pages.grow(&mut self.pages, launched + tokens).is_ok()
    }

    /// Makes the names of the first `count` pages, which the known tokens fill.
    fn name_pages(&mut self, count: usize, page_size: usize) {
        let tokens = self.request.tokens().chunks_exact(page_size);
        for page in tokens.take(count).skip(self.names.len()) {
            self.names.push(PrefixHash::new(self.names.last(), page));
        }
    }

    /// Gives the allocator the names of the pages that have become full and computed.
    fn offer_pages(&mut self, pages: &mut PageAllocator) {
        let page_size = pages.page_size() as usize;
        let full = self.request.num_computed() / page_size;
        self.name_pages(full, page_size);
        for index in self.num_named..full {
            pages.name(&self.pages, index, self.names[index]);
        }
        self.num_named = full;
    }

    /// Whether a request in flight can run in the step behind `last_step`, too: either on tokens that are known, or on one
    /// that the device has by then. Ends that are known beforehand are not passed.
    fn goes_on(&self, max_len: usize, last_step: u64) -> bool {
        let request = &self.request;
        if request.num_awaited() == 0 {
            return true;
        }
        let ends = !request.wants_another() || request.num_expected() >= max_len;
        !ends && self.sampled_in.is_some_and(|(step, _)| step == last_step)
    }

    /// Puts the next `tokens` tokens in the batch, which is the step of this number. Their pages are there.
    fn launch(&mut self, tokens: usize, batch: &mut Batch, page_size: u32, step: u64) {
        let request = &mut self.request;
        let first = request.num_computed() + request.num_in_flight();
        let last = first + tokens;
        let ends = last == request.num_expected();
        let logits = match request.logits_from() {
            Some(from) => {
                let from = from.max(request.num_scored());
                LogitsWanted::From(if ends { from.min(last - 1) } else { from }.saturating_sub(first))
            }
            None if ends => LogitsWanted::Last,
            None => LogitsWanted::None,
        };
        let place = self.sampled_in.map_or(0, |(_, row)| Batch::sampled(row));
        let tokens_now = request.tokens().get(first..last).unwrap_or(std::slice::from_ref(&place));
        let pages = self.pages.as_slice();
        batch.append(
            SequenceStep { request_id: self.id, tokens: tokens_now, first_position: first, pages, logits },
            page_size,
        );
        request.launch(tokens);
        if ends {
            self.sampled_in = Some((step, batch.logits_rows.len() - 1));
        }
    }

    /// The step that ends at `context` tokens catches up with the known ones, and another is wanted.
    fn awaits_token(&self, context: u32) -> bool {
        let known = self.request.tokens().len();
        self.request.num_in_flight() > 0 && context as usize == known && self.request.wants_token()
    }
}

/// Index of the item that `is_it`, looked for at `hint` first: results come in the order of the running requests,
/// but for those in between that were not in the step.
fn find_near<T>(items: &[T], hint: usize, is_it: impl Fn(&T) -> bool) -> Option<usize> {
    match items.get(hint) {
        Some(item) if is_it(item) => Some(hint),
        _ => items.iter().position(is_it),
    }
}
