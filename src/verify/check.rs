//! Runs a plan's cases and collects how they went.

use std::time::Instant;

use super::plan::{Filter, Plan};
use super::report::one_line;
use super::{Case, Report, Runner};
use crate::gpu::GpuExecutor;
use crate::recording::{ExecutionError, Executor};

const SLOW: &str =
    "a software device takes seconds for each, and the others cover nearly all of the same code; --all runs them";
const TOO_LARGE: &str = "the device does not allow buffers of that size";
const UNREACHED: &str = "the device had failed before";

/// The case that is about to run.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    /// Cases before it.
    pub done: usize,
    pub total: usize,
    pub case: &'a Case,
}

/// Checks an open device against the CPU reference, with the cases that the filter admits.
pub fn device(executor: &mut GpuExecutor, filter: &Filter, on_case: &mut dyn FnMut(Progress<'_>)) -> Report {
    let plan = Plan::new(&executor.selection(), executor.info().is_software(), filter);
    check(executor, &plan, on_case)
}

/// Checks any executor against the CPU reference.
///
/// An error of the executor fails its case. After one that leaves the device of no use, the other cases are skipped.
pub fn check(executor: &mut dyn Executor, plan: &Plan, on_case: &mut dyn FnMut(Progress<'_>)) -> Report {
    let began = Instant::now();
    let mut report = Report::default();
    let mut runner = Runner::new(executor);
    for (done, case) in plan.cases.iter().enumerate() {
        if report.aborted.is_some() {
            report.skipped(case, UNREACHED);
            continue;
        }
        on_case(Progress { done, total: plan.cases.len(), case });
        let began = Instant::now();
        let result = runner.run(case);
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(outcome) => report.ran(case, &outcome, seconds),
            Err(ExecutionError::BufferTooLarge { .. }) => report.skipped(case, TOO_LARGE),
            Err(error) => {
                report.failed(case, &error, seconds);
                let fatal = matches!(error, ExecutionError::DeviceLost(_) | ExecutionError::OutOfMemory { .. });
                if fatal || !runner.device_answers() {
                    report.aborted = Some(one_line(&error.to_string()));
                }
            }
        }
    }
    plan.left_out.iter().for_each(|case| report.skipped(case, SLOW));
    report.seconds = began.elapsed().as_secs_f64();
    report
}
