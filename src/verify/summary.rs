//! What a run of the case list comes to, a line a variant.

use std::collections::BTreeMap;
use std::fmt;

use super::{Case, Outcome};

#[derive(Default)]
struct Line {
    cases: usize,
    failed: usize,
    nmse: f64,
    max_error: f64,
}

/// Collects outcomes; prints as a table.
#[derive(Default)]
pub struct Summary {
    lines: BTreeMap<(&'static str, &'static str), Line>,
}

impl Summary {
    pub fn add(&mut self, case: &Case, outcome: &Outcome) {
        let line = self.lines.entry((case.program.kernel, case.program.variant)).or_default();
        line.cases += 1;
        line.failed += usize::from(!outcome.passed());
        line.nmse = line.nmse.max(outcome.nmse);
        line.max_error = line.max_error.max(outcome.max_error);
    }

    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.lines.values().map(|line| line.failed).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>5} {:>6} {:>11} {:>9}", "kernel", "cases", "failed", "worst NMSE", "max/RMS")?;
        for ((kernel, variant), line) in &self.lines {
            let name = format!("{kernel}/{variant}");
            let Line { cases, failed, nmse, max_error } = line;
            writeln!(f, "{name:<28} {cases:>5} {failed:>6} {nmse:>11.1e} {max_error:>9.1e}")?;
        }
        Ok(())
    }
}
