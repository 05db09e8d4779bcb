//! What a check of a device comes to: a line a variant, and every failure.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::tolerances::Tolerance;
use super::{Case, Outcome};

/// How a device did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// By kernel and variant.
    pub variants: Vec<VariantReport>,
    pub failures: Vec<Failure>,
    /// The error of the device that ended the check before its last case; one line.
    pub aborted: Option<String>,
    /// Wall-clock time.
    pub seconds: f64,
}

/// How one variant of a kernel did.
#[derive(Clone, Debug, Serialize)]
pub struct VariantReport {
    pub kernel: &'static str,
    pub variant: &'static str,
    /// Cases that ran.
    pub cases: usize,
    pub failed: usize,
    pub skipped: Vec<Skipped>,
    /// The worst normalised mean squared error.
    pub nmse: f64,
    /// The worst absolute error of an element, in units of the reference's root mean square.
    pub max_error: f64,
    /// What is allowed; where the cases differ, the loosest.
    pub tolerance: &'static Tolerance,
    /// Wall-clock time, the reference's included.
    pub seconds: f64,
}

/// Cases that did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub cases: usize,
    pub reason: &'static str,
}

/// A case that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub kernel: &'static str,
    /// The name, without the seed.
    pub case: String,
    /// In hexadecimal, as a [`Case`] displays it: JSON's numbers are too short.
    pub seed: String,
    /// The faults, or the error; one line.
    pub fault: String,
    /// Why the case is allowed to be as far from the reference as it is, and no further.
    pub tolerance: &'static str,
}

impl Report {
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.aborted.is_none()
    }

    /// Cases that ran.
    pub fn cases(&self) -> usize {
        self.variants.iter().map(|line| line.cases).sum()
    }

    pub(super) fn ran(&mut self, case: &Case, outcome: &Outcome, seconds: f64) {
        let line = self.line(case);
        line.cases += 1;
        line.failed += usize::from(!outcome.passed());
        line.nmse = line.nmse.max(outcome.nmse);
        line.max_error = line.max_error.max(outcome.max_error);
        line.seconds += seconds;
        if !outcome.passed() {
            let faults: Vec<String> = outcome.faults.iter().map(ToString::to_string).collect();
            self.failures.push(Failure::new(case, &faults.join("; ")));
        }
    }

    pub(super) fn failed(&mut self, case: &Case, error: &impl fmt::Display, seconds: f64) {
        let line = self.line(case);
        line.cases += 1;
        line.failed += 1;
        line.seconds += seconds;
        self.failures.push(Failure::new(case, &error.to_string()));
    }

    pub(super) fn skipped(&mut self, case: &Case, reason: &'static str) {
        let skipped = &mut self.line(case).skipped;
        match skipped.iter_mut().find(|skipped| skipped.reason == reason) {
            Some(skipped) => skipped.cases += 1,
            None => skipped.push(Skipped { cases: 1, reason }),
        }
    }

    /// The line of a case's variant, made where there is none; its tolerance admits the case's.
    fn line(&mut self, case: &Case) -> &mut VariantReport {
        let (kernel, variant) = (case.program.kernel, case.program.variant);
        let place = self.variants.binary_search_by_key(&(kernel, variant), |line| (line.kernel, line.variant));
        let place = place.unwrap_or_else(|place| {
            let line = VariantReport {
                kernel,
                variant,
                cases: 0,
                failed: 0,
                skipped: Vec::new(),
                nmse: 0.0,
                max_error: 0.0,
                tolerance: case.tolerance,
                seconds: 0.0,
            };
            self.variants.insert(place, line);
            place
        });
        let line = &mut self.variants[place];
        if case.tolerance.nmse > line.tolerance.nmse {
            line.tolerance = case.tolerance;
        }
        line
    }
}

impl Failure {
    fn new(case: &Case, fault: &str) -> Failure {
        Failure {
            kernel: case.program.kernel,
            case: case.name(),
            seed: format!("{:#x}", case.seed),
            fault: one_line(fault),
            tolerance: case.tolerance.reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seed {}: {}", self.case, self.seed, self.fault)
    }
}

/// A table of the variants that ran, and a line for each reason to skip cases.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>5} {:>6} {:>10} {:>8} {:>9} {:>8} {:>8}",
            "kernel/variant", "cases", "failed", "worst NMSE", "allowed", "max error", "allowed", "time"
        )?;
        let mut skipped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for line in &self.variants {
            let name = format!("{}/{}", line.kernel, line.variant);
            for Skipped { cases, reason } in &line.skipped {
                skipped.entry(reason).or_default().push(format!("{cases} of {name}"));
            }
            let VariantReport { cases, failed, seconds, .. } = line;
            if *cases == 0 {
                continue;
            }
            let errors = [line.nmse, line.tolerance.nmse, line.max_error, line.tolerance.max];
            let [nmse, nmse_allowed, error, error_allowed] = errors.map(short);
            writeln!(
                f,
                "{name:<26} {cases:>5} {failed:>6} {nmse:>10} {nmse_allowed:>8} {error:>9} {error_allowed:>8} {seconds:>6.2} s"
            )?;
        }
        for (reason, names) in skipped {
            writeln!(f, "left out {}: {reason}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Drivers' messages have many lines.
pub(super) fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn short(error: f64) -> String {
    if error == 0.0 { "0".to_owned() } else { format!("{error:.1e}") }
}
