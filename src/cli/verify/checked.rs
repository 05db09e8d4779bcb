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
    /// Why the device cannot be used.
    Unusable(String),
}

impl Checked {
    fn report(&self) -> Option<&Report> {
        match &self.outcome {
            Outcome::Ran(report) => Some(report),
            Outcome::Unusable(_) => None,
        }
    }

    /// Why no case ran, if none did.
    fn skipped(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Unusable(reason) => Some(reason),
            Outcome::Ran(report) if report.variants.is_empty() => Some("none of its cases matches --kernel and --case"),
            Outcome::Ran(report) if report.cases() == 0 => Some("all of its cases were left out"),
            Outcome::Ran(_) => None,
        }
    }

    /// One object; `skipped` is null where cases ran, and the figures are those of none where they did not.
    pub fn to_json(&self) -> Value {
        let none = Report::default();
        let report = self.report().unwrap_or(&none);
        let skipped = self.skipped();
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
            "passed": skipped.is_none() && report.passed(),
            "skipped": skipped,
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
        let report = self.report().filter(|report| !report.variants.is_empty());
        if let Some(report) = report {
            write!(f, "{report}")?;
        }
        if let Some(reason) = self.skipped() {
            return writeln!(f, "skipped: {reason}\n");
        }
        let Some(report) = report else { return Ok(()) };
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
/// A case failed or a device did, nothing was checked, or, when devices were `named`, one of them cannot be used.
pub fn verdict(all: &[Checked], named: bool) -> anyhow::Result<()> {
    let (mut cases, mut failed, mut broken) = (0, 0, 0);
    for report in all.iter().filter_map(Checked::report) {
        cases += report.cases();
        failed += report.failures.len();
        broken += usize::from(!report.passed());
    }
    let mut unusable = false;
    let mut reasons = Vec::new();
    for checked in all {
        if let Some(reason) = checked.skipped() {
            reasons.push(format!("{} ({}): {reason}", checked.device.name, checked.device.backend));
            unusable |= checked.report().is_none();
        }
    }
    let checked = all.len() - reasons.len();
    if broken > 0 {
        let devices = count(checked, "device");
        bail!("{failed} of {} failed, on {broken} of {devices}; do not trust text made there", count(cases, "case"));
    }
    if checked == 0 {
        bail!("no device could be checked: {}", reasons.join("; "));
    }
    if named && unusable {
        bail!("a device that was asked for could not be checked: {}", reasons.join("; "));
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
