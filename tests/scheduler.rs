//! The scheduler, its pages and its batches: known cases, then random ones against a fake model.

use std::collections::{HashMap, HashSet, VecDeque};

use proptest::prelude::*;
use wgpt::schedule::{
    Batch, BatchError, FinishReason, Limits, LogitsWanted, PageAllocator, PageError, PrefixHash, Request, RequestId,
    RequestState, SAMPLED, ScheduleError, Scheduler, SequenceStep,
};

const LIMITS: Limits = Limits {
    token_budget: 1024,
    max_tokens_per_request: 1024,
    max_sequences: 16,
    num_pages: 1024,
    page_size: 16,
    max_context: 4096,
};

fn prompt(len: usize) -> Vec<u32> {
    (0..len as u32).collect()
}

/// A scheduler with one request per prompt length, each of which generates `max_new_tokens`.
fn scheduler_with(limits: Limits, prompts: &[usize], max_new_tokens: usize) -> (Scheduler, Vec<RequestId>) {
    let mut scheduler = Scheduler::new(limits).unwrap();
    let ids = prompts.iter().map(|&len| scheduler.add(Request::new(prompt(len), max_new_tokens)).unwrap()).collect();
    (scheduler, ids)
}

/// Schedules a step, completes it with token 7 where one is due, and returns each sequence's number of tokens.
fn step(scheduler: &mut Scheduler) -> Vec<(RequestId, usize)> {
    let mut batch = Batch::default();
    scheduler.schedule(&mut batch);
    let limits = *scheduler.limits();
    batch.validate(limits.num_pages, limits.page_size).unwrap();
    complete(scheduler, &batch);
    batch.sequences().map(|(id, tokens, _)| (id, tokens)).collect()
}

fn complete(scheduler: &mut Scheduler, batch: &Batch) {
    let due = (0..batch.num_sequences()).filter(|&index| scheduler.awaits_token(batch, index));
    let sampled: Vec<_> = due.map(|index| (batch.request_ids[index], 7)).collect();
    scheduler.complete(batch, &sampled).unwrap();
}

fn zip(ids: &[RequestId], tokens: &[usize]) -> Vec<(RequestId, usize)> {
    ids.iter().copied().zip(tokens.iter().copied()).collect()
}

#[test]
fn concurrent_prompts_share_the_budget() {
    let (mut s, ids) = scheduler_with(Limits { max_tokens_per_request: 400, ..LIMITS }, &[800, 800, 800], 10);
    assert_eq!(step(&mut s), zip(&ids, &[400, 400, 224]));
    assert_eq!(step(&mut s), zip(&ids, &[400, 400, 224]));
    assert_eq!(step(&mut s), zip(&ids, &[1, 1, 352]));
    assert_eq!(step(&mut s), zip(&ids, &[1, 1, 1]));
}

#[test]
fn only_the_chunk_that_ends_the_prompt_yields_logits() {
    let (mut s, _) = scheduler_with(Limits { max_tokens_per_request: 400, ..LIMITS }, &[800, 10], 10);
    let mut batch = Batch::default();
    assert!(s.schedule(&mut batch));
    assert_eq!(
        (batch.logits_rows.as_slice(), s.awaits_token(&batch, 0), s.awaits_token(&batch, 1)),
        (&[409][..], false, true)
    );
    assert_eq!((batch.logits_range(0), batch.logits_range(1), batch.logits_range(2)), (0..0, 0..1, 1..1));
    complete(&mut s, &batch);
    assert!(s.schedule(&mut batch));
    assert_eq!(batch.logits_rows, [399, 400]);
    assert_eq!((batch.logits_range(0), batch.logits_range(1)), (0..1, 1..2));
}

#[test]
fn two_chunked_and_one_whole_are_admitted_without_overtaking() {
    // The sequence limit stops the fourth.
    let limits = Limits { max_tokens_per_request: 400, max_sequences: 3, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[800, 800, 10, 10], 10);
    assert_eq!(step(&mut s), zip(&ids, &[400, 400, 10]));
    assert_eq!(s.stats().waiting, 1);
    // The budget stops the fourth.
    let limits = Limits { max_tokens_per_request: 507, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[800, 800, 10, 10], 10);
    assert_eq!(step(&mut s), zip(&ids, &[507, 507, 10]));
    assert_eq!(step(&mut s), zip(&ids, &[293, 293, 1, 10]));
}

#[test]
fn a_small_request_does_not_overtake_one_that_waits_for_pages() {
    let limits = Limits { num_pages: 10, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[100, 100, 10], 10);
    assert_eq!(step(&mut s), zip(&ids, &[100]));
    assert_eq!((s.stats().waiting, s.stats().free_pages), (2, 3));
}

#[test]
fn a_prompt_over_the_budget_is_cut_at_the_budget() {
    let (mut s, ids) = scheduler_with(Limits { token_budget: 50, ..LIMITS }, &[80], 1);
    assert_eq!(step(&mut s), zip(&ids, &[50]));
    assert_eq!(step(&mut s), zip(&ids, &[30]));
    assert_eq!(s.request(ids[0]).unwrap().state(), RequestState::Finished(FinishReason::Length));
    assert!(s.is_idle());
}

#[test]
fn the_chunk_size_can_change_between_steps() {
    let (mut s, ids) = scheduler_with(LIMITS, &[100], 1);
    s.set_chunk_size(20);
    assert_eq!(step(&mut s), zip(&ids, &[20]));
    s.set_chunk_size(0);
    assert_eq!(step(&mut s), zip(&ids, &[1]));
    s.set_chunk_size(usize::MAX);
    assert_eq!(step(&mut s), zip(&ids, &[79]));
}

#[test]
fn out_of_pages_in_decode_preempts_the_newest_and_keeps_its_token() {
    // Two prompts fill both pages each; the first decode step needs a fifth page.
    let limits = Limits { num_pages: 4, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[32, 32], 3);
    assert_eq!(step(&mut s), zip(&ids, &[32, 32]));
    assert_eq!(step(&mut s), zip(&ids, &[1]));
    let newest = s.request(ids[1]).unwrap();
    assert_eq!((newest.state(), newest.num_computed(), newest.generated()), (RequestState::Waiting, 0, &[7][..]));
    assert_eq!((s.stats().preemptions, s.stats().free_pages), (1, 1));
    // The oldest ends; the newest recomputes prompt and token in one go, and goes on.
    assert_eq!(step(&mut s), zip(&ids, &[1]));
    assert_eq!(s.request(ids[0]).unwrap().state(), RequestState::Finished(FinishReason::Length));
    assert_eq!(step(&mut s), [(ids[1], 33)]);
    assert_eq!(s.request(ids[1]).unwrap().generated(), [7, 7]);
}

#[test]
fn the_preempted_return_to_the_front_in_their_order() {
    let limits = Limits { num_pages: 6, max_sequences: 3, max_tokens_per_request: 32, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[88, 32, 32, 16], 3);
    assert_eq!(step(&mut s), zip(&ids, &[32, 32, 32]));
    // The first goes on with its prompt and takes the others' pages, one after the other.
    assert_eq!(step(&mut s), zip(&ids, &[32]));
    assert_eq!(step(&mut s), zip(&ids, &[24]));
    assert_eq!(s.stats().preemptions, 2);
    s.abort(ids[0]).unwrap();
    assert_eq!(step(&mut s), zip(&ids[1..], &[32, 32, 16]));
}

#[test]
fn scoring_yields_each_position_once() {
    let limits = Limits { max_tokens_per_request: 4, ..LIMITS };
    let mut s = Scheduler::new(limits).unwrap();
    let id = s.add(Request::new(prompt(10), 0).with_all_logits()).unwrap();
    let mut batch = Batch::default();
    let mut rows = 0;
    while s.schedule(&mut batch) {
        assert_eq!(batch.logits_rows.len(), batch.num_tokens());
        assert!(!s.awaits_token(&batch, 0));
        rows += batch.logits_rows.len();
        s.complete(&batch, &[]).unwrap();
    }
    assert_eq!((rows, s.request(id).unwrap().state()), (10, RequestState::Finished(FinishReason::Length)));
}

#[test]
fn logits_are_computed_from_the_position_asked_for_and_for_the_last_in_any_case() {
    for (first, rows) in [(0, [4, 4, 2]), (3, [1, 4, 2]), (4, [0, 4, 2]), (9, [0, 0, 1]), (50, [0, 0, 1])] {
        let mut s = Scheduler::new(Limits { max_tokens_per_request: 4, ..LIMITS }).unwrap();
        s.add(Request::new(prompt(10), 0).with_logits_from(first)).unwrap();
        let mut batch = Batch::default();
        for rows in rows {
            assert!(s.schedule(&mut batch));
            let last = batch.num_tokens() as u32;
            assert_eq!(batch.logits_rows, (last - rows..last).collect::<Vec<_>>(), "from {first}");
            s.complete(&batch, &[]).unwrap();
        }
        assert!(s.is_idle());
    }
}

#[test]
fn the_end_of_context_or_cache_ends_a_request() {
    for limits in [Limits { max_context: 20, ..LIMITS }, Limits { num_pages: 5, page_size: 4, ..LIMITS }] {
        let (mut s, ids) = scheduler_with(limits, &[15], 1000);
        while !s.is_idle() {
            assert!(!step(&mut s).is_empty());
        }
        let request = s.finish(ids[0]).unwrap();
        assert_eq!((request.tokens().len(), request.state()), (20, RequestState::Finished(FinishReason::ContextFull)));
        assert_eq!(s.stats().free_pages, limits.num_pages as usize);
    }
}

#[test]
fn impossible_requests_are_refused_with_advice() {
    let mut s = Scheduler::new(Limits { num_pages: 4, max_context: 100, ..LIMITS }).unwrap();
    assert_eq!(s.add(Request::new(vec![], 5)), Err(ScheduleError::EmptyPrompt));
    assert_eq!(
        s.add(Request::new(prompt(100), 1)),
        Err(ScheduleError::PromptTooLong { prompt_len: 100, new_tokens: 1, max_context: 100 })
    );
    let error = s.add(Request::new(prompt(65), 0)).unwrap_err();
    assert_eq!(error, ScheduleError::CacheTooSmall { prompt_len: 65, new_tokens: 0, capacity: 64 });
    assert!(error.to_string().contains("allocate more pages"), "{error}");
    assert!(s.add(Request::new(prompt(64), 0)).is_ok());
    assert!(s.add(Request::new(prompt(63), usize::MAX)).is_ok());
}

#[test]
fn impossible_limits_are_refused() {
    for (limits, expected) in [
        (Limits { token_budget: 0, ..LIMITS }, ScheduleError::ZeroLimit { name: "token_budget" }),
        (Limits { max_tokens_per_request: 0, ..LIMITS }, ScheduleError::ZeroLimit { name: "max_tokens_per_request" }),
        (Limits { max_sequences: 0, ..LIMITS }, ScheduleError::ZeroLimit { name: "max_sequences" }),
        (Limits { max_context: 0, ..LIMITS }, ScheduleError::ZeroLimit { name: "max_context" }),
        (Limits { max_context: usize::MAX, ..LIMITS }, ScheduleError::ContextTooLarge { max_context: usize::MAX }),
        (Limits { num_pages: 0, ..LIMITS }, PageError::Empty { num_pages: 0, page_size: 16 }.into()),
        (Limits { page_size: 0, ..LIMITS }, PageError::Empty { num_pages: 1024, page_size: 0 }.into()),
        (Limits { num_pages: 1 << 30, ..LIMITS }, PageError::TooLarge { num_pages: 1 << 30, page_size: 16 }.into()),
    ] {
        assert_eq!(Scheduler::new(limits).map(|_| ()), Err(expected));
    }
}

#[test]
fn a_step_is_completed_once_and_with_the_right_tokens() {
    let (mut s, ids) = scheduler_with(Limits { max_tokens_per_request: 20, ..LIMITS }, &[10, 30], 5);
    let mut batch = Batch::default();
    assert!(s.schedule(&mut batch));
    let [due, chunked] = ids[..] else { unreachable!() };
    let stranger = RequestId(99);
    for (sampled, expected) in [
        (vec![], ScheduleError::MissingToken { id: due }),
        (vec![(due, 1), (chunked, 2)], ScheduleError::UnexpectedToken { id: chunked }),
        (vec![(due, 1), (due, 2)], ScheduleError::UnexpectedToken { id: due }),
        (vec![(stranger, 1), (due, 2)], ScheduleError::UnexpectedToken { id: stranger }),
    ] {
        assert_eq!(s.complete(&batch, &sampled), Err(expected));
        assert_eq!((s.request(due).unwrap().num_computed(), s.request(chunked).unwrap().num_computed()), (0, 0));
    }
    let mut wrong = batch.clone();
    wrong.context_len[1] += 1;
    assert_eq!(s.complete(&wrong, &[(due, 1)]), Err(ScheduleError::NotInFlight { id: chunked }));
    s.complete(&batch, &[(due, 1)]).unwrap();
    assert_eq!(s.complete(&batch, &[(due, 1)]), Err(ScheduleError::NotInFlight { id: due }));
}

#[test]
fn requests_in_flight_are_passed_over_and_never_preempted() {
    let limits = Limits { num_pages: 4, max_tokens_per_request: 32, ..LIMITS };
    let (mut s, ids) = scheduler_with(limits, &[32], 9);
    let (mut first, mut second, mut third) = (Batch::default(), Batch::default(), Batch::default());
    assert!(s.schedule(&mut first));
    assert!(!s.schedule(&mut second) && second.is_empty());
    let late = s.add(Request::new(prompt(32), 9)).unwrap();
    assert!(s.schedule(&mut second));
    assert_eq!(second.request_ids, [late]);
    complete(&mut s, &first);
    // The first needs a page now, but the second's result is on its way; whoever waits gets nothing either.
    s.add(Request::new(prompt(1), 1)).unwrap();
    assert!(!s.schedule(&mut third));
    assert_eq!(s.stats().preemptions, 0);
    complete(&mut s, &second);
    assert_eq!(step(&mut s), zip(&ids, &[1]));
    assert_eq!(s.stats().preemptions, 1);
}

mod ahead {
    use super::*;

    fn ahead(s: &mut Scheduler) -> Batch {
        let mut batch = Batch::default();
        s.schedule_ahead(&mut batch);
        batch
    }

    #[test]
    fn a_step_takes_its_tokens_from_the_rows_of_the_step_before() {
        let (mut s, ids) = scheduler_with(Limits { max_tokens_per_request: 8, ..LIMITS }, &[12, 3, 8], 9);
        // The first has no row of logits yet: the others' are the first and the second.
        let first = ahead(&mut s);
        assert_eq!((first.num_tokens(), first.logits_rows.len()), (19, 2));
        let second = ahead(&mut s);
        assert_eq!(second.request_ids, ids);
        assert_eq!(second.token_ids[4..], [Batch::sampled(0), Batch::sampled(1)]);
        assert_eq!(second.positions[4..], [3, 8]);
        let third = ahead(&mut s);
        assert_eq!(third.token_ids, [0, 1, 2].map(Batch::sampled));
        complete(&mut s, &first);
        assert_eq!(s.request(ids[1]).unwrap().generated(), [7]);
        complete(&mut s, &second);
        complete(&mut s, &third);
        let generated = ids.iter().map(|id| s.request(*id).unwrap().generated().len()).collect::<Vec<_>>();
        assert_eq!((generated, s.stats().wasted_tokens), (vec![2, 3, 3], 0));
    }

    #[test]
    fn ends_that_are_known_beforehand_waste_nothing() {
        for (limits, new) in [(LIMITS, 3), (Limits { max_context: 13, ..LIMITS }, 99)] {
            let (mut s, ids) = scheduler_with(limits, &[10], new);
            let steps = [ahead(&mut s), ahead(&mut s), ahead(&mut s), ahead(&mut s)];
            assert_eq!(steps.each_ref().map(Batch::num_tokens), [10, 1, 1, 0]);
            steps[..3].iter().for_each(|step| complete(&mut s, step));
            assert_eq!(s.finish(ids[0]).unwrap().generated(), [7; 3]);
            assert_eq!(s.stats().wasted_tokens, 0);
        }
    }

    #[test]
    fn what_is_in_flight_behind_an_end_is_counted_and_passed_over() {
        let (mut s, ids) = scheduler_with(LIMITS, &[10, 10], 9);
        let steps = [ahead(&mut s), ahead(&mut s), ahead(&mut s)];
        complete(&mut s, &steps[0]);
        assert_eq!(s.finish(ids[0]).unwrap().num_in_flight(), 2);
        // The pages are free, and go to another while the steps in flight still have them.
        let late = s.add(Request::new(prompt(4), 1)).unwrap();
        let next = ahead(&mut s);
        assert_eq!((next.request_ids.as_slice(), next.token_ids[0]), (&[ids[1], late][..], Batch::sampled(1)));
        steps[1..].iter().for_each(|step| complete(&mut s, step));
        complete(&mut s, &next);
        assert_eq!((s.stats().wasted_tokens, s.request(ids[1]).unwrap().generated().len()), (2, 4));
    }

    #[test]
    fn a_sequence_that_missed_a_step_waits_for_its_token() {
        let (mut s, ids) = scheduler_with(LIMITS, &[10], 9);
        let first = ahead(&mut s);
        let late = s.add(Request::new(prompt(4), 9)).unwrap();
        let mut second = Batch::default();
        assert!(s.schedule(&mut second));
        // The rows are those of the late one now.
        let third = ahead(&mut s);
        assert_eq!((second.request_ids.as_slice(), third.request_ids.as_slice()), (&[late][..], &[late][..]));
        complete(&mut s, &first);
        let fourth = ahead(&mut s);
        assert_eq!(
            (fourth.request_ids.as_slice(), fourth.token_ids.as_slice()),
            (&[ids[0], late][..], &[7, SAMPLED][..])
        );
    }

    #[test]
    fn steps_land_in_their_order() {
        let (mut s, ids) = scheduler_with(LIMITS, &[10], 9);
        let (first, second) = (ahead(&mut s), ahead(&mut s));
        assert!(!s.awaits_token(&second, 0));
        let early = s.complete(&second, &[(ids[0], 7)]);
        assert_eq!(early, Err(ScheduleError::NotInFlight { id: ids[0] }));
        complete(&mut s, &first);
        complete(&mut s, &second);
        assert_eq!(s.request(ids[0]).unwrap().generated(), [7, 7]);
    }

    #[test]
    fn pages_that_run_out_ahead_preempt_nobody() {
        // Two prompts fill both pages each: what is ahead needs a fifth page, and so waits.
        let (mut s, _) = scheduler_with(Limits { num_pages: 4, ..LIMITS }, &[32, 32], 3);
        let first = ahead(&mut s);
        assert!(ahead(&mut s).is_empty());
        assert_eq!(s.stats().preemptions, 0);
        complete(&mut s, &first);
        assert_eq!((ahead(&mut s).num_tokens(), s.stats().preemptions), (1, 1));
    }
}

#[test]
fn a_request_can_leave_at_any_time() {
    let (mut s, ids) = scheduler_with(Limits { max_sequences: 2, ..LIMITS }, &[20, 20, 20], 5);
    let mut batch = Batch::default();
    assert!(s.schedule(&mut batch));
    assert_eq!(s.abort(ids[1]).unwrap().prompt(), prompt(20));
    assert_eq!(s.abort(ids[1]).map(|_| ()), None);
    s.abort(ids[2]).unwrap();
    assert!(s.pages(ids[1]).is_empty());
    // Its token arrives late and is passed over.
    s.complete(&batch, &[(ids[0], 1), (ids[1], 2)]).unwrap();
    assert_eq!(s.finish(ids[0]).unwrap().generated(), [1]);
    assert_eq!(s.finish(ids[0]).map(|_| ()), Err(ScheduleError::UnknownRequest { id: ids[0] }));
    let stats = s.stats();
    assert!(s.is_idle());
    assert_eq!((stats.finished, stats.aborted, stats.free_pages), (1, 2, LIMITS.num_pages as usize));
}

#[test]
fn pages_are_handed_out_whole_or_not_at_all() {
    let mut pages = PageAllocator::new(4, 16).unwrap();
    let mut a = pages.allocate(17).unwrap();
    assert_eq!((a.as_slice().len(), pages.num_free()), (2, 2));
    pages.grow(&mut a, 32).unwrap();
    assert_eq!(a.as_slice().len(), 2);
    assert_eq!(pages.grow(&mut a, 81), Err(PageError::Exhausted { needed: 4, free: 2 }));
    assert_eq!((a.as_slice().len(), pages.num_free()), (2, 2));
    let mut b = pages.allocate(32).unwrap();
    let owned: HashSet<_> = a.as_slice().iter().chain(b.as_slice()).copied().collect();
    assert_eq!(owned, HashSet::from([0, 1, 2, 3]));
    assert_eq!(pages.allocate(1), Err(PageError::Exhausted { needed: 1, free: 0 }));
    pages.free(&mut a);
    pages.free(&mut b);
    assert_eq!((pages.num_free(), a.as_slice()), (4, &[][..]));
}

mod shared_prefixes {
    use super::*;

    fn sharing(limits: Limits) -> Scheduler {
        Scheduler::new(limits).unwrap().share_prefixes(true)
    }

    fn add(s: &mut Scheduler, tokens: &[u32], new: usize) -> RequestId {
        s.add(Request::new(tokens.to_vec(), new)).unwrap()
    }

    /// Runs everything to its end; the numbers of tokens that each step computed.
    fn run(s: &mut Scheduler) -> Vec<usize> {
        let mut steps = Vec::new();
        while !s.is_idle() {
            steps.push(step(s).iter().map(|(_, tokens)| tokens).sum());
        }
        steps
    }

    #[test]
    fn a_request_starts_behind_the_pages_that_another_has_left() {
        let mut s = sharing(LIMITS);
        add(&mut s, &prompt(40), 2);
        assert_eq!(run(&mut s), [40, 1]);
        let second = add(&mut s, &prompt(40), 2);
        assert_eq!(run(&mut s), [8, 1]);
        assert_eq!(s.finish(second).unwrap().num_cached(), 32);
        // As far as the texts are the same.
        let other: Vec<u32> = (0..40).map(|i| if i == 20 { 99 } else { i }).collect();
        let third = add(&mut s, &other, 2);
        assert_eq!(run(&mut s), [24, 1]);
        assert_eq!((s.request(third).unwrap().num_cached(), s.stats().cached_tokens), (16, 48));
        assert_eq!(s.stats().free_pages, LIMITS.num_pages as usize);
    }

    #[test]
    fn off_unless_asked_for() {
        let (mut s, _) = scheduler_with(LIMITS, &[40, 40], 2);
        assert_eq!(run(&mut s), [80, 2]);
        add(&mut s, &prompt(40), 2);
        assert_eq!((run(&mut s), s.stats().cached_tokens), (vec![40, 1], 0));
    }

    #[test]
    fn one_token_is_always_left_to_compute() {
        let mut s = sharing(LIMITS);
        add(&mut s, &prompt(32), 1);
        run(&mut s);
        add(&mut s, &prompt(32), 1);
        assert_eq!(run(&mut s), [16]);
        add(&mut s, &prompt(33), 1);
        assert_eq!(run(&mut s), [1]);
    }

    #[test]
    fn what_was_generated_is_a_prefix_as_well() {
        let mut s = sharing(LIMITS);
        let first = add(&mut s, &prompt(20), 20);
        run(&mut s);
        let mut conversation = s.finish(first).unwrap().tokens().to_vec();
        conversation.extend([1, 2, 3]);
        add(&mut s, &conversation, 1);
        // The last token was sampled and never computed, but of 39 computed ones two pages are full.
        assert_eq!(run(&mut s), [43 - 32]);
    }

    #[test]
    fn only_computed_pages_are_found() {
        let mut s = sharing(Limits { max_tokens_per_request: 40, ..LIMITS });
        let mut batch = Batch::default();
        let first = add(&mut s, &prompt(100), 5);
        assert!(s.schedule(&mut batch));
        // Nothing is known of a step in flight, nor of one that never ended.
        let second = add(&mut s, &prompt(100), 5);
        let mut late = Batch::default();
        assert!(s.schedule(&mut late));
        assert_eq!((late.num_tokens(), s.request(second).unwrap().num_cached()), (40, 0));
        s.abort(second).unwrap();
        s.complete(&late, &[]).unwrap();
        s.complete(&batch, &[]).unwrap();
        let third = add(&mut s, &prompt(100), 5);
        assert_eq!(step(&mut s), [(first, 40), (third, 40)]);
        assert_eq!(s.request(third).unwrap().num_cached(), 32);
        assert_eq!(s.pages(first)[..2], s.pages(third)[..2]);
        assert_ne!(s.pages(first)[2], s.pages(third)[2]);
    }

    #[test]
    fn pages_that_others_hold_stay_when_one_gives_them_back() {
        let mut s = sharing(LIMITS);
        let first = add(&mut s, &prompt(40), 100);
        step(&mut s);
        let second = add(&mut s, &prompt(40), 100);
        step(&mut s);
        let shared = s.pages(first)[..2].to_vec();
        assert_eq!(s.pages(second)[..2], shared);
        assert_eq!(s.stats().free_pages, LIMITS.num_pages as usize - 4);
        s.abort(first).unwrap();
        assert_eq!((s.pages(second)[..2].to_vec(), s.stats().free_pages), (shared, LIMITS.num_pages as usize - 3));
        s.abort(second).unwrap();
        assert_eq!(s.stats().free_pages, LIMITS.num_pages as usize);
    }

    #[test]
    fn the_pages_freed_first_are_used_first_and_of_a_sequence_the_last() {
        let limits = Limits { num_pages: 6, page_size: 4, ..LIMITS };
        let mut s = sharing(limits);
        let text = |first: u32, len: u32| (first..first + len).collect::<Vec<_>>();
        let cached = |s: &mut Scheduler, tokens: &[u32]| {
            let id = add(s, tokens, 0);
            run(s);
            s.finish(id).unwrap().num_cached()
        };
        // Three named pages, then two, and one that never had a name.
        assert_eq!(cached(&mut s, &text(100, 12)), 0);
        assert_eq!(cached(&mut s, &text(200, 8)), 0);
        // Two fresh pages: the nameless one, and the end of what was freed first.
        assert_eq!(cached(&mut s, &text(300, 5)), 0);
        assert_eq!(cached(&mut s, &text(200, 9)), 8);
        assert_eq!(cached(&mut s, &text(100, 9)), 8);
        // One that uses all pages leaves nothing of the others.
        assert_eq!(cached(&mut s, &text(400, 24)), 0);
        assert_eq!(cached(&mut s, &text(200, 9)), 0);
    }

    #[test]
    fn a_cached_prefix_does_not_admit_what_has_no_room_beside_it() {
        let limits = Limits { num_pages: 4, page_size: 4, ..LIMITS };
        let mut s = sharing(limits);
        let other: Vec<u32> = (50..57).collect();
        add(&mut s, &prompt(8), 0);
        run(&mut s);
        let running = add(&mut s, &other, 4);
        step(&mut s);
        // Two cached pages are all that is free: a third for the rest of the prompt is not there.
        let waiting = add(&mut s, &prompt(9), 1);
        assert_eq!((step(&mut s), s.stats().free_pages), (vec![(running, 1)], 2));
        assert!(s.pages(waiting).is_empty());
        s.abort(running).unwrap();
        assert_eq!(step(&mut s), [(waiting, 1)]);
    }

    #[test]
    fn the_preempted_find_their_own_pages_again() {
        let limits = Limits { num_pages: 5, max_tokens_per_request: 32, ..LIMITS };
        let mut s = sharing(limits);
        let other: Vec<u32> = (50..82).collect();
        let first = add(&mut s, &prompt(40), 3);
        let second = add(&mut s, &other, 3);
        assert_eq!(step(&mut s), [(first, 32), (second, 32)]);
        assert_eq!(step(&mut s), [(first, 8)]);
        assert_eq!(s.stats().preemptions, 1);
        s.abort(first).unwrap();
        // Of its 33 known tokens all but the last were computed.
        assert_eq!(step(&mut s), [(second, 1)]);
        let request = s.request(second).unwrap();
        assert_eq!((request.num_cached(), request.generated(), s.stats().cached_tokens), (0, &[7, 7][..], 32));
    }

    #[test]
    fn a_text_to_score_computes_every_position_itself() {
        let mut s = sharing(LIMITS);
        for _ in 0..2 {
            s.add(Request::new(prompt(40), 0).with_all_logits()).unwrap();
            assert_eq!(run(&mut s), [40]);
        }
        add(&mut s, &prompt(40), 0);
        assert_eq!(run(&mut s), [8]);
    }

    #[test]
    fn what_is_forgotten_is_not_found() {
        let mut s = sharing(LIMITS);
        let running = add(&mut s, &prompt(40), 50);
        step(&mut s);
        s.forget_prefixes();
        add(&mut s, &prompt(40), 1);
        assert_eq!(step(&mut s)[1].1, 40);
        // Pages that become full later are found again.
        s.abort(running).unwrap();
        add(&mut s, &prompt(40), 1);
        assert_eq!(run(&mut s), [8]);
    }

    #[test]
    fn names_tell_every_text_apart() {
        let name = |texts: &[&[u32]]| {
            texts.iter().fold(None, |parent: Option<PrefixHash>, text| Some(PrefixHash::new(parent.as_ref(), text)))
        };
        let names = [
            name(&[&[1, 2]]),
            name(&[&[2, 1]]),
            name(&[&[1, 2], &[1, 2]]),
            name(&[&[1, 2], &[2, 1]]),
            name(&[&[2, 1], &[1, 2]]),
        ];
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert_eq!(names[2], name(&[&[1, 2], &[1, 2]]));
    }
}

#[test]
fn a_page_may_be_shared_by_those_that_only_read_it() {
    let mut batch = Batch::new(2);
    for (id, pages) in [(0, [3, 0]), (1, [3, 1])] {
        let request_id = RequestId(id);
        let step =
            SequenceStep { request_id, tokens: &[5], first_position: 4, pages: &pages, logits: LogitsWanted::None };
        batch.push_sequence(step, 4).unwrap();
    }
    assert_eq!(batch.validate(4, 4), Ok(()));
    let writer = SequenceStep {
        request_id: RequestId(2),
        tokens: &[5],
        first_position: 3,
        pages: &[3],
        logits: LogitsWanted::None,
    };
    batch.push_sequence(writer, 4).unwrap();
    assert_eq!(batch.validate(4, 4), Err(BatchError::SharedPage { page: 3 }));
    let twice = Batch::single(&[5], 8, &[2, 2, 1], 4, LogitsWanted::None).unwrap();
    assert_eq!(twice.validate(4, 4), Err(BatchError::SharedPage { page: 2 }));
}

#[test]
fn a_batch_lays_its_sequences_out_as_documented() {
    let mut batch = Batch::new(3);
    let decode = SequenceStep {
        request_id: RequestId(4),
        tokens: &[50],
        first_position: 5,
        pages: &[7, 2],
        logits: LogitsWanted::Last,
    };
    let chunk = SequenceStep {
        request_id: RequestId(9),
        tokens: &[60, 61, 62],
        first_position: 3,
        pages: &[1, 0, 5],
        logits: LogitsWanted::From(1),
    };
    batch.push_sequence(decode, 4).unwrap();
    batch.push_sequence(chunk, 4).unwrap();
    let expected = Batch {
        token_ids: vec![50, 60, 61, 62],
        positions: vec![5, 3, 4, 5],
        slot_mapping: vec![9, 7, 0, 1],
        query_start: vec![0, 1, 4],
        context_len: vec![6, 6],
        page_table: vec![7, 2, 0, 1, 0, 0],
        page_table_stride: 3,
        logits_rows: vec![0, 2, 3],
        request_ids: vec![RequestId(4), RequestId(9)],
    };
    assert_eq!(batch, expected);
    assert_eq!(batch.validate(8, 4), Ok(()));
    assert_eq!(batch.validate(7, 4), Err(BatchError::PageOutOfRange { sequence: 0, page: 7, num_pages: 7 }));
}

#[test]
fn dense_batches_are_ragged_ones_of_equal_length() {
    let batch = Batch::dense(&prompt(10), 2, 5, 4, LogitsWanted::ALL).unwrap();
    assert_eq!((batch.query_start.as_slice(), batch.context_len.as_slice()), (&[0, 5, 10][..], &[5, 5][..]));
    assert_eq!((batch.page_table.as_slice(), batch.page_table_stride), (&[0, 1, 2, 3][..], 2));
    assert_eq!(batch.logits_rows, prompt(10));
    batch.validate(4, 4).unwrap();
    let single = Batch::single(&prompt(5), 0, &[0, 1], 4, LogitsWanted::None).unwrap();
    assert_eq!(single, Batch::dense(&prompt(5), 1, 5, 4, LogitsWanted::None).unwrap());
    assert!(Batch::dense(&[], 0, 5, 4, LogitsWanted::ALL).unwrap().is_empty());
    assert_eq!(
        Batch::dense(&prompt(9), 2, 5, 4, LogitsWanted::ALL),
        Err(BatchError::Length { field: "token_ids", len: 9, expected: 10 })
    );
    assert_eq!(Batch::dense(&[], 2, 0, 4, LogitsWanted::ALL), Err(BatchError::EmptySequence { sequence: 0 }));
    assert_eq!(Batch::dense(&[1], 1, 1, 0, LogitsWanted::ALL), Err(BatchError::ZeroPageSize));
}

#[test]
fn sequences_that_do_not_fit_a_batch_are_refused() {
    let push = |tokens: &[u32], first_position, pages: &[u32]| {
        let mut batch = Batch::new(2);
        let step = SequenceStep { request_id: RequestId(0), tokens, first_position, pages, logits: LogitsWanted::Last };
        let result = batch.push_sequence(step, 4);
        assert!(result.is_ok() || batch == Batch::new(2));
        result
    };
    assert_eq!(push(&[1], 7, &[0, 1, 2]), Ok(()));
    assert_eq!(push(&[], 0, &[0]), Err(BatchError::EmptySequence { sequence: 0 }));
    assert_eq!(push(&[1], 4, &[0]), Err(BatchError::Pages { sequence: 0, needed: 2, available: 1 }));
    assert_eq!(push(&[1], 8, &[0, 1, 2]), Err(BatchError::Pages { sequence: 0, needed: 3, available: 2 }));
    assert_eq!(push(&[1], usize::MAX, &[0]), Err(BatchError::Overflow { what: "the context length" }));
    assert_eq!(push(&[1], 0, &[u32::MAX]), Err(BatchError::Overflow { what: "a slot number" }));
}

#[test]
fn every_broken_invariant_of_a_batch_is_named() {
    let good = Batch::dense(&prompt(10), 2, 5, 4, LogitsWanted::ALL).unwrap();
    let broken = |change: fn(&mut Batch)| {
        let mut batch = good.clone();
        change(&mut batch);
        batch.validate(4, 4).unwrap_err()
    };
    assert_eq!(broken(|b| b.positions.truncate(9)), BatchError::Length { field: "positions", len: 9, expected: 10 });
    assert_eq!(broken(|b| b.slot_mapping.clear()), BatchError::Length { field: "slot_mapping", len: 0, expected: 10 });
    assert_eq!(broken(|b| b.query_start.clear()), BatchError::Length { field: "query_start", len: 0, expected: 3 });
    assert_eq!(broken(|b| b.context_len.push(1)), BatchError::Length { field: "context_len", len: 3, expected: 2 });
    assert_eq!(broken(|b| b.page_table.push(1)), BatchError::Length { field: "page_table", len: 5, expected: 4 });
    assert_eq!(broken(|b| b.query_start[2] = 9), BatchError::QueryStart { sequence: 0 });
    assert_eq!(broken(|b| b.query_start[1] = 11), BatchError::QueryStart { sequence: 1 });
    assert_eq!(broken(|b| b.query_start[1] = 0), BatchError::EmptySequence { sequence: 0 });
    assert_eq!(broken(|b| b.request_ids[1] = RequestId(0)), BatchError::DuplicateRequest { id: RequestId(0) });
    assert_eq!(broken(|b| b.context_len[1] = 9), BatchError::Pages { sequence: 1, needed: 3, available: 2 });
    assert_eq!(broken(|b| b.context_len[1] = 4), BatchError::Position { token: 5, position: 0, expected: 0 });
    assert_eq!(broken(|b| b.positions[1] = 2), BatchError::Position { token: 1, position: 2, expected: 1 });
    assert_eq!(broken(|b| b.slot_mapping[6] = 0), BatchError::Slot { token: 6, slot: 0, expected: 9 });
    assert_eq!(broken(|b| b.logits_rows[1] = 0), BatchError::LogitsRow { row: 0, tokens: 10 });
    assert_eq!(broken(|b| b.logits_rows[9] = 10), BatchError::LogitsRow { row: 10, tokens: 10 });
    let mut shared = good.clone();
    shared.page_table.copy_within(0..2, 2);
    shared.slot_mapping.copy_within(0..5, 5);
    assert_eq!(shared.validate(4, 4), Err(BatchError::SharedPage { page: 0 }));
    assert_eq!(Batch::default().validate(4, 4), Err(BatchError::Length { field: "query_start", len: 0, expected: 1 }));
    assert_eq!(good.validate(4, 0), Err(BatchError::ZeroPageSize));
}

/// A model whose next token is a hash of all tokens before it, read from a paged cache as attention would. A token
/// that was never written, or was overwritten by another sequence, changes everything after it.
struct FakeModel {
    cache: Vec<Option<(u32, u32)>>,
    page_size: u32,
    /// What the last step sampled from each of its rows.
    sampled: Vec<u32>,
}

impl FakeModel {
    /// Runs a batch; returns the hash for each wanted row with its sequence and position.
    fn run(&mut self, batch: &Batch) -> Vec<Sampled> {
        for ((&slot, &token), &position) in batch.slot_mapping.iter().zip(&batch.token_ids).zip(&batch.positions) {
            let token = if token & SAMPLED == 0 { token } else { self.sampled[(token & !SAMPLED) as usize] };
            self.cache[slot as usize] = Some((token, position));
        }
        let mut results = Vec::new();
        for (s, &id) in batch.request_ids.iter().enumerate() {
            let row = &batch.page_table[s * batch.page_table_stride as usize..][..batch.page_table_stride as usize];
            for &t in &batch.logits_rows[batch.logits_range(s)] {
                let last = batch.positions[t as usize];
                let seen = (0..=last).map(|position| {
                    let slot = row[(position / self.page_size) as usize] * self.page_size + position % self.page_size;
                    let (token, at) = self.cache[slot as usize].expect("a slot within the context was never written");
                    assert_eq!(at, position, "a slot within the context belongs to another position");
                    token
                });
                results.push((id, last, hash(seen)));
            }
        }
        if !results.is_empty() {
            self.sampled = results.iter().map(|(_, _, token)| *token).collect();
        }
        results
    }
}

fn hash(tokens: impl IntoIterator<Item = u32>) -> u32 {
    tokens.into_iter().fold(17, |h: u32, token| (h ^ token).wrapping_mul(0x0100_0193).rotate_left(5)) & !SAMPLED
}

#[derive(Clone, Debug)]
enum Op {
    /// `common` tokens are those that all such prompts of the `family` begin with.
    Add {
        prompt: usize,
        family: u32,
        common: usize,
        new: usize,
        score: bool,
    },
    Step,
    Abort(prop::sample::Index),
    ChunkSize(usize),
    Forget,
}

fn some_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1usize..40, 0u32..2, 0usize..40, 0usize..12, prop::bool::weighted(0.2))
            .prop_map(|(prompt, family, common, new, score)| Op::Add { prompt, family, common, new, score }),
        6 => Just(Op::Step),
        1 => any::<prop::sample::Index>().prop_map(Op::Abort),
        1 => (0usize..20).prop_map(Op::ChunkSize),
        1 => prop::bool::weighted(0.1).prop_map(|forget| if forget { Op::Forget } else { Op::Step }),
    ]
}

prop_compose! {
    fn some_limits()(
        token_budget in 1usize..40, max_tokens_per_request in 1usize..20, max_sequences in 1usize..6,
        num_pages in 1u32..24, page_size in 1u32..6, max_context in 1usize..60,
    ) -> Limits {
        Limits { token_budget, max_tokens_per_request, max_sequences, num_pages, page_size, max_context }
    }
}

/// A request, the position of one of its tokens, and the hash of what that sees, which is what is sampled there.
type Sampled = (RequestId, u32, u32);

/// A scheduler, the fake model it drives, and what must have come out of each request.
struct World {
    scheduler: Scheduler,
    model: FakeModel,
    /// Steps that the model has run and the scheduler does not know of, with what they gave; at most so many.
    flight: VecDeque<(Batch, Vec<Sampled>)>,
    most: usize,
    live: Vec<RequestId>,
    next_token: u32,
    newest_admitted: Option<RequestId>,
    scored: HashMap<RequestId, Vec<u32>>,
}

impl World {
    fn new(limits: Limits, share: bool, most: usize) -> Self {
        let slots = (limits.num_pages * limits.page_size) as usize;
        Self {
            scheduler: Scheduler::new(limits).unwrap().share_prefixes(share),
            model: FakeModel { cache: vec![None; slots], page_size: limits.page_size, sampled: Vec::new() },
            flight: VecDeque::new(),
            most,
            live: Vec::new(),
            next_token: 1000,
            newest_admitted: None,
            scored: HashMap::new(),
        }
    }

    fn add(&mut self, prompt: usize, family: u32, common: usize, new: usize, score: bool) {
        let common = (family * 500..).take(common);
        let tokens = common.chain(self.next_token..).take(prompt).collect();
        self.next_token += prompt as u32;
        let request = Request::new(tokens, new);
        let request = if score { request.with_all_logits() } else { request };
        let Limits { num_pages, page_size, max_context, .. } = *self.scheduler.limits();
        let longest = max_context.min((num_pages * page_size) as usize);
        match self.scheduler.add(request) {
            Ok(id) => self.live.push(id),
            Err(error) => assert!(prompt + new.min(1) > longest, "refused without need: {error}"),
        }
    }

    fn abort(&mut self, index: prop::sample::Index) {
        if !self.live.is_empty() {
            let id = self.live.swap_remove(index.index(self.live.len()));
            self.scheduler.abort(id).unwrap();
            self.check_pages();
        }
    }

    /// Starts a step, or where as many are in flight as may be, or none can start, completes the oldest; false if there was
    /// nothing to do at all.
    fn step(&mut self) -> bool {
        (self.flight.len() < self.most && self.launch()) || self.land()
    }

    /// Starts a step, with all invariants checked; false if none can start.
    fn launch(&mut self) -> bool {
        let limits = *self.scheduler.limits();
        let mut batch = Batch::default();
        let ran = match self.most {
            1 => self.scheduler.schedule(&mut batch),
            _ => self.scheduler.schedule_ahead(&mut batch),
        };
        assert_eq!(ran, !batch.is_empty());
        batch.validate(limits.num_pages, limits.page_size).unwrap();
        assert!(batch.num_tokens() <= limits.token_budget);
        assert!(batch.num_sequences() <= limits.max_sequences);
        for (id, tokens, context) in batch.sequences() {
            assert!(tokens <= limits.max_tokens_per_request);
            assert!(context <= limits.max_context, "{id} goes beyond the context");
            let request = self.scheduler.request(id).unwrap();
            assert!(context < request.prompt().len() + request.max_new_tokens().max(1), "{id} goes beyond its length");
            // Ids rise in the order of arrival, so the first time each is seen they must rise as well.
            let first_time = self.scored.insert(id, self.scored.get(&id).cloned().unwrap_or_default()).is_none();
            assert!(!first_time || self.newest_admitted < Some(id), "{id} was overtaken");
            self.newest_admitted = self.newest_admitted.max(Some(id));
        }
        self.check_pages();
        self.check_writes(&batch);
        let results = self.model.run(&batch);
        self.flight.push_back((batch, results));
        ran
    }

    /// Completes the oldest step in flight, if there is one.
    fn land(&mut self) -> bool {
        let Some((batch, results)) = self.flight.pop_front() else { return false };
        let mut sampled = Vec::new();
        for (id, position, token) in results {
            let Some(request) = self.scheduler.request(id) else { continue };
            if request.logits_from().is_some() {
                self.scored.entry(id).or_default().push(position);
            }
            let sequence = batch.request_ids.iter().position(|other| *other == id).unwrap();
            if position as usize + 1 == request.tokens().len() && self.scheduler.awaits_token(&batch, sequence) {
                sampled.push((id, token));
            }
        }
        self.scheduler.complete(&batch, &sampled).unwrap();
        self.check_pages();
        self.take_ended();
        true
    }

    /// Every page is owned or free, it has several owners only as the same full page of a common prefix, and nobody but
    /// running requests owns any.
    fn check_pages(&self) {
        let page_size = self.scheduler.limits().page_size as usize;
        let mut owned: HashMap<u32, &[u32]> = HashMap::new();
        for &id in &self.live {
            let pages = self.scheduler.pages(id);
            let mut own = HashSet::new();
            for (index, &page) in pages.iter().enumerate() {
                assert!(own.insert(page), "a request has a page twice");
                let tokens = self.scheduler.request(id).unwrap().tokens();
                let prefix = &tokens[..tokens.len().min((index + 1) * page_size)];
                let other = owned.insert(page, prefix);
                assert!(
                    other.is_none_or(|other| other == prefix && prefix.len().is_multiple_of(page_size)),
                    "two texts in a page"
                );
            }
            assert!(pages.is_empty() || self.scheduler.request(id).unwrap().state() == RequestState::Running);
        }
        let free = self.scheduler.stats().free_pages;
        assert_eq!(owned.len() + free, self.scheduler.limits().num_pages as usize, "a page was lost");
    }

    /// No token of the step goes to a page that another request has, too.
    fn check_writes(&self, batch: &Batch) {
        let owners = |page| self.live.iter().filter(|&&id| self.scheduler.pages(id).contains(&page)).count();
        let page_size = self.scheduler.limits().page_size;
        assert!(batch.slot_mapping.iter().all(|slot| owners(slot / page_size) == 1), "a shared page is written");
    }

    fn take_ended(&mut self) {
        let ended = |id: &RequestId| matches!(self.scheduler.request(*id).unwrap().state(), RequestState::Finished(_));
        let (ended, live): (Vec<_>, Vec<_>) = self.live.iter().partition(|id| ended(id));
        self.live = live;
        for id in ended {
            let request = self.scheduler.finish(id).unwrap();
            let mut expected = request.prompt().to_vec();
            for _ in request.generated() {
                expected.push(hash(expected.iter().copied()));
            }
            assert_eq!(request.tokens(), expected, "chunks, pages or preemption changed the text");
            let full = request.state() == RequestState::Finished(FinishReason::ContextFull);
            assert!(full || request.generated().len() == request.max_new_tokens());
            if request.logits_from().is_some() {
                let computed = request.tokens().len() - usize::from(request.max_new_tokens() > 0);
                assert_eq!(self.scored[&id], (0..computed as u32).collect::<Vec<_>>());
            }
        }
    }
}

proptest! {
    #[test]
    fn no_page_budget_or_token_is_ever_lost(
        limits in some_limits(), share in any::<bool>(), most in 1usize..5, ops in prop::collection::vec(some_op(), 1..80),
    ) {
        let mut world = World::new(limits, share, most);
        for op in ops {
            match op {
                Op::Add { prompt, family, common, new, score } => world.add(prompt, family, common, new, score),
                Op::Step => { world.step(); }
                Op::Abort(index) => world.abort(index),
                Op::ChunkSize(tokens) => world.scheduler.set_chunk_size(tokens),
                Op::Forget => world.scheduler.forget_prefixes(),
            }
        }
        // Every request ends: each step of an idle-free scheduler runs something, and the work is finite.
        let mut steps = 0;
        while !world.scheduler.is_idle() {
            assert!(world.step(), "nothing runs though requests are left");
            steps += 1;
            assert!(steps < 100_000, "requests do not end");
        }
        // Of requests that were aborted last.
        while world.land() {}
        prop_assert!(world.live.is_empty());
        prop_assert_eq!(world.scheduler.stats().free_pages, limits.num_pages as usize);
    }
}
