//! `wgpt bench`: measurements, a file a benchmark.

mod kernels;

use std::process::ExitCode;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(long_about = "Measure how fast things are, and how fast they could be.")]
pub struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Time each kernel on each adapter, beside what the adapter can do
    Kernels(Box<kernels::KernelsArgs>),
}

/// Runs the benchmark that was named.
///
/// # Errors
/// As of the benchmark.
pub fn execute(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.bench {
        Bench::Kernels(args) => kernels::execute(*args),
    }
}
