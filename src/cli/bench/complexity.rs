//! `wgpt bench complexity`: how time grows with the length of a text, with a KV cache and without.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use wgpt::bench::complexity::{Kind, Settings, measure};
use wgpt::bench::output::{Format, render};
use wgpt::bench::plot::{self, Chart};
use wgpt::bench::{exponents, growth_chart};

use super::{check_plot, distinct, is_for_people, show};
use crate::cli::device_args::DeviceArgs;
use crate::cli::loading::find_model;
use crate::cli::terminal::{case_bar, note, print};

const NOTES: &str = "\
Examples:
  wgpt bench complexity -m model.gguf
  wgpt bench complexity -m model.gguf --max 256 --plot growth.svg
  wgpt bench complexity -m model.gguf --only decode --max 256
  wgpt bench complexity -m model.gguf -o csv > growth.csv

An exponent is the slope of the logarithm of the time over that of the length, with its standard error;
of the decode step, it is that of the part which grows, fitted together with the constant. The predicted
ones come from the operations that this model takes at the same lengths, by the same fit. Where the
model is wide and texts are short, dim^2 rules and exponents are near the first limit; the second is for
texts far longer than the model is wide. Chunks and kernels that suit long texts can make short ones
dear, and then the measured exponents lie below the predicted ones.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Find out how a model's time grows with the length of a text")]
#[command(long_about = "Measure how time grows with the length of a text, beside what the operations predict.\n\n\
    Tokens are generated with the KV cache, and without it, the whole sequence being computed again for \
    each; prompts of growing length are computed, and steps behind growing contexts.")]
pub struct ComplexityArgs {
    /// A GGUF file, a Hugging Face folder, or a hub name: OWNER/NAME[:QUANT or :FILE.gguf][@REVISION]
    #[arg(short, long, value_name = "MODEL", help_heading = "Model")]
    model: OsString,

    /// Generate up to T tokens; prompts have up to 8 T, contexts up to 16 T, as far as the model goes
    #[arg(long, value_name = "T", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    max: u32,

    /// Measure only some of these: cached (generation), uncached, prefill, decode
    #[arg(long, value_name = "KIND,..", value_delimiter = ',')]
    only: Vec<Kind>,

    #[command(flatten)]
    device: DeviceArgs,

    /// How the records are printed: table, md, json, jsonl or csv
    #[arg(short, long, value_name = "FORMAT", default_value_t = Format::Table, help_heading = "Output")]
    output: Format,

    /// Draw the times and the fitted laws into this file
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    plot: Option<PathBuf>,
}

/// Measures the model and prints the records, and for people the exponents first.
///
/// # Errors
/// The model cannot be loaded or run, or the output cannot be written.
pub fn execute(args: ComplexityArgs) -> anyhow::Result<ExitCode> {
    check_plot(args.plot.as_deref())?;
    let path = find_model(&args.model, false)?;
    let only = distinct(args.only);
    let kinds = if only.is_empty() { Kind::ALL.to_vec() } else { only };
    let settings = Settings { kinds, most: args.max as usize, engine: args.device.engine_options() };
    let bar = case_bar("");
    let measured = measure(&path, &settings, &mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    let measured = measured?;
    measured.warnings.iter().for_each(|warning| note(&format!("wgpt: {warning}")));
    if is_for_people(args.output) {
        print(&(render(args.output, &exponents(&measured.series))? + "\n"))?;
    }
    print(&render(args.output, &measured.records)?)?;
    if let Some(path) = args.plot {
        plot::write(&path, &[Chart::Lines(growth_chart(&measured.series, &measured.records))])?;
    }
    Ok(ExitCode::SUCCESS)
}
