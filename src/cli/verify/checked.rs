//! How `wgpt verify` shows what became of a device, and what all of it comes to.

use std::fmt;

use anyhow::bail;
use serde_json::{Value, json};
use wgpt::gpu::DeviceInfo;
use wgpt::verify::{Failure, Report};

use crate::cli::figures::seconds;

/// A device and what became of it.
pub struct Checked {
    pub device: DeviceInfo,
    pub outcome: Outcome,
}

pub enum Outcome {
    Ran(Report),
    /// Why nothing ran.
    Skipped(String),
}

impl Checked {
    /// One object; `skipped` is null where cases ran, and the figures are those of none where they did not.
    pub fn to_json(&self) -> Value {
        let none = Report::default();
        let (report, skipped) = match &self.outcome {
            Outcome::Ran(report) => (report, None),
            Outcome::Skipped(reason) => (&none, Some(reason)),
        };
        let failures = report.failures.iter().map(|failure| {
            json!({
                "case": failure.case,
                "seed": failure.seed,
                "fault": failure.fault,
                "tolerance": failure.tolerance,
                "command": self.command(failure),
            })
        });
        json!({
            "device": self.device,
            "skipped": skipped,
            "passed": skipped.is_none() && report.passed(),
            "aborted": report.aborted,
            "cases": report.cases(),
            "failed": report.failures.len(),
            "seconds": report.seconds,
            "variants": report.variants,
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    /// What runs the failed case alone. The seed follows from the case's name, and no other case has it.
    fn command(&self, failure: &Failure) -> String {
        format!("wgpt verify --device {} --kernel {} --case {}", self.device.index, failure.kernel, failure.seed)
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = &self.device;
        let driver = format!("{} {}", device.driver, device.driver_info);
        write!(f, "{}: {} ({}, {}", device.index, device.name, device.device_type, device.backend)?;
        match driver.trim() {
            "" => writeln!(f, ")")?,
            driver => writeln!(f, ", {driver})")?,
        }
        let report = match &self.outcome {
            Outcome::Skipped(reason) => return writeln!(f, "skipped: {reason}\n"),
            Outcome::Ran(report) => report,
        };
        write!(f, "{report}")?;
        for failure in &report.failures {
            writeln!(f, "FAILED {failure}; alone: {}", self.command(failure))?;
        }
        if let Some(error) = &report.aborted {
            writeln!(f, "ended early: {error}")?;
        }
        let (cases, failed) = (report.cases(), report.failures.len());
        let time = seconds(std::time::Duration::from_secs_f64(report.seconds));
        writeln!(f, "{} of {} passed in {time}\n", cases - failed, count(cases, "case"))
    }
}

/// The one sentence for stderr if not all is well.
///
/// # Errors
/// A case failed or a device did, nothing was checked, or, when devices were `named`, one of them was not.
pub fn verdict(all: &[Checked], named: bool) -> anyhow::Result<()> {
    let ran = |checked: &&Checked| matches!(checked.outcome, Outcome::Ran(_));
    let reports = all.iter().filter_map(|checked| match &checked.outcome {
        Outcome::Ran(report) => Some(report),
        Outcome::Skipped(_) => None,
    });
    let (mut cases, mut failed, mut broken) = (0, 0, 0);
    for report in reports {
        cases += report.cases();
        failed += report.failures.len();
        broken += usize::from(!report.passed());
    }
    let checked = all.iter().filter(ran).count();
    if broken > 0 {
        let devices = count(checked, "device");
        bail!("{failed} of {} failed, on {broken} of {devices}; do not trust text made there", count(cases, "case"));
    }
    let skipped = all.iter().filter_map(|checked| match &checked.outcome {
        Outcome::Skipped(reason) => Some(format!("{} ({}): {reason}", checked.device.name, checked.device.backend)),
        Outcome::Ran(_) => None,
    });
    let reasons = skipped.collect::<Vec<_>>().join("; ");
    match (checked, reasons.is_empty()) {
        (0, true) => bail!("no device could be checked"),
        (0, false) => bail!("no device could be checked: {reasons}"),
        (_, false) if named => bail!("a device that was asked for could not be checked: {reasons}"),
        _ => Ok(()),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
