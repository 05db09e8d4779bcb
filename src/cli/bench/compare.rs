//! `wgpt bench compare`: two runs side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use wgpt::bench::compare::{compare, read};
use wgpt::bench::output::{Format, render};

use crate::cli::terminal::{note, print};

const NOTES: &str = "\
Examples:
  wgpt bench model -m model.gguf -o json > before.json
  wgpt bench model -m model.gguf -o json > after.json
  wgpt bench compare before.json after.json
  wgpt bench compare --threshold 10% main.csv branch.csv -o md

Measurements are of the same thing where test, model, settings, device and backend are the same. One is
slower or faster if its median changed by more than the threshold and the samples' ranges of one
standard deviation around the mean do not meet; anything else may be chance. Of several runs in one file
(JSON lines can be put one behind the other), the ranges are joined.
The exit code is 1 if something became slower.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Compare two files of measurements")]
#[command(long_about = "Compare two files of measurements, and find out what became slower or faster.\n\n\
    The files are what `wgpt bench` prints with -o json, jsonl or csv.")]
pub struct CompareArgs {
    /// Measurements before a change
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// Measurements after it
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// The least change that counts, in percent
    #[arg(short, long, value_name = "PERCENT", default_value = "5%", value_parser = parse_percent)]
    threshold: f64,

    /// How the comparison is printed: table, md, json, jsonl or csv
    #[arg(short, long, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
}

/// A fraction.
fn parse_percent(text: &str) -> Result<f64, String> {
    let percent: Option<f64> = text.trim_end_matches('%').trim().parse().ok();
    let percent = percent.filter(|percent| percent.is_finite() && *percent >= 0.0);
    percent.map(|percent| percent / 100.0).ok_or_else(|| "use a number of percent, such as 5%".to_owned())
}

/// Prints the comparison.
///
/// # Errors
/// A file cannot be read, they have nothing in common, or something became slower.
pub fn execute(args: CompareArgs) -> anyhow::Result<ExitCode> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = compare(&before, &after, args.threshold)?;
    print(&render(args.output, &comparison.changes)?)?;
    for (path, only) in [(&args.before, &comparison.only_before), (&args.after, &comparison.only_after)] {
        if !only.is_empty() {
            note(&format!("only in {}: {}", path.display(), only.join(", ")));
        }
    }
    let slower: Vec<_> = comparison.slower().collect();
    if let Some(worst) = slower.iter().max_by(|a, b| a.percent.total_cmp(&b.percent)) {
        let (count, all) = (slower.len(), comparison.changes.len());
        bail!("{count} of {all} measurements became slower, the most {}: by {:.1} %", worst.what, worst.percent);
    }
    Ok(ExitCode::SUCCESS)
}
