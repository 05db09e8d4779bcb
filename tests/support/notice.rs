//! Lines that a test run shows whatever happens.

use std::io::Write;

/// Prints a line past the capture of a passing test's output: which adapters and tools a run used, and what it skipped for
/// want of them, is part of its result.
pub fn notice(line: &str) {
    // A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "note: {line}");
}
