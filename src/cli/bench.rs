//! `wgpt bench`: measurements, a file a benchmark.

mod compare;
mod complexity;
mod kernels;
mod model;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use wgpt::bench::Progress;
use wgpt::bench::output::Format;
use wgpt::bench::plot::PlotError;
use wgpt::gpu::DeviceInfo;

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Model(Box<model::ModelArgs>),
    Kernels(Box<kernels::KernelsArgs>),
    Complexity(complexity::ComplexityArgs),
    Compare(compare::CompareArgs),
}

/// Runs the benchmark that was named.
///
/// # Errors
/// As of the benchmark.
pub fn execute(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.bench {
        Bench::Model(args) => model::execute(*args),
        Bench::Kernels(args) => kernels::execute(*args),
        Bench::Complexity(args) => complexity::execute(args),
        Bench::Compare(args) => compare::execute(args),
    }
}

/// Shows how far a benchmark has come.
fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    bar.set_length(progress.total as u64);
    bar.set_position(progress.done as u64);
    bar.set_message(progress.name.to_owned());
}

/// What cannot be drawn into its file is found out before minutes of measuring.
fn check_plot(path: Option<&Path>) -> Result<(), PlotError> {
    let Some(path) = path else { return Ok(()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let checked = match path.metadata() {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => Err(io::Error::other("there is something else that is no file")),
        _ => tempfile::tempfile_in(folder).map(drop),
    };
    checked.map_err(|source| PlotError::Writing { path: path.display().to_string(), source })
}

/// Whether what is printed is for people, who want to know what it is of.
fn is_for_people(format: Format) -> bool {
    matches!(format, Format::Table | Format::Md)
}

/// The line above a device's table.
fn title(device: &DeviceInfo, format: Format) -> String {
    let driver = format!("{} {}", device.driver, device.driver_info);
    let heading = if format == Format::Md { "### " } else { "" };
    format!(
        "{heading}{}: {} ({}, {}, {})",
        device.index,
        device.name,
        device.device_type,
        device.backend,
        driver.trim()
    )
}

/// The values in their order, each once.
fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    values.into_iter().fold(Vec::new(), |mut all, value| {
        if !all.contains(&value) {
            all.push(value);
        }
        all
    })
}
