//! `wgpt bench model`: how fast a model computes prompts and generates, with llama-bench's flags.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Args;
use wgpt::bench::model::{Measured, Settings, Test, measure};
use wgpt::bench::output::{Format, render};
use wgpt::bench::plot::{self, Chart};
use wgpt::bench::{ModelRecord, depth_chart};
use wgpt::engine::EngineOptions;

use super::{check_plot, distinct, is_for_people, show};
use crate::cli::device_args::{EngineArgs, parse_tokens};
use crate::cli::loading::find_model;
use crate::cli::terminal::{case_bar, note, print};

const NOTES: &str = "\
Examples:
  wgpt bench model -m model.gguf
  wgpt bench model -m model.gguf -p 512 -n 64 -d 0,512,1024 --plot depth.svg
  wgpt bench model -m model.gguf -p 0 -n 32 --batch 1,4,8
  wgpt bench model -m model.gguf -n 0 --chunk-size 32,128,512 -o json > chunks.json

pp512 computes a prompt of 512 tokens, tg128 generates 128 tokens, pp512+tg128 does both, and `@ d512`
means behind 512 tokens of context. t/s is tokens a second of all sequences together, the mean of the
repetitions and its standard deviation. Each test runs once before. Tokens are random but the same each
time, the next one is always the most probable, and no text, tokenizer or end of text has a part in it.
Below the table: where the time of loading went, when the first token behind a prompt of 16 was there
(counted from the begin of loading), and the memory.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Time prompts and generation of a model, as llama-bench does")]
#[command(long_about = "Time prompts and generation of a model, with the tests and flags of llama-bench.\n\n\
    Several values of a flag, apart by commas, make all their combinations.")]
pub struct ModelArgs {
    /// A GGUF file, a Hugging Face folder, or a hub name: OWNER/NAME[:QUANT or :FILE.gguf][@REVISION]
    #[arg(short, long, value_name = "MODEL", help_heading = "Model")]
    model: OsString,

    /// Tokens of a prompt; 0 for no such test
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',', default_value = "512")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=MOST_TOKENS), help_heading = "Tests")]
    n_prompt: Vec<u32>,

    /// Tokens to generate; 0 for no such test
    #[arg(short = 'n', long, value_name = "N,..", value_delimiter = ',', default_value = "128")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=MOST_TOKENS), help_heading = "Tests")]
    n_gen: Vec<u32>,

    /// A prompt and what is generated behind it as one test; repeat it for several. `-pg P,G` is the same
    #[arg(long, value_name = "P,G", value_parser = parse_pair, help_heading = "Tests")]
    pg: Vec<(u32, u32)>,

    /// Tokens of context before; behind them, prompts need a multiple of 16
    #[arg(short = 'd', long, value_name = "N,..", value_delimiter = ',', default_value = "0")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=MOST_TOKENS), help_heading = "Tests")]
    n_depth: Vec<u32>,

    /// Sequences at once
    #[arg(long, visible_alias = "parallel", value_name = "N,..", value_delimiter = ',', default_value = "1")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Tests")]
    batch: Vec<u32>,

    /// Samples of each test
    #[arg(short, long, value_name = "N", default_value_t = 5, help_heading = "Tests")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,

    /// Prompt tokens that one step computes [default: chosen for the device]. `-ub N` is the same
    #[arg(short = 'b', long, visible_aliases = ["batch-size", "ubatch-size"], value_name = "N,..")]
    #[arg(value_delimiter = ',', value_parser = parse_tokens, help_heading = "Device")]
    chunk_size: Vec<u32>,

    #[command(flatten)]
    engine: EngineArgs,

    /// How the records are printed: table, md, json, jsonl or csv
    #[arg(short, long, value_name = "FORMAT", default_value_t = Format::Table, help_heading = "Output")]
    output: Format,

    /// Draw tokens a second over the depth into this file
    #[arg(long, value_name = "FILE.svg", help_heading = "Output")]
    plot: Option<PathBuf>,
}

/// More than any context; the sum of three fits in 32 bits.
const MOST_TOKENS: i64 = 1 << 24;

fn parse_pair(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| text.trim().parse().ok().filter(|tokens| (1..=MOST_TOKENS).contains(&i64::from(*tokens)));
    let pair = text.split_once(',').and_then(|(prompt, generate)| number(prompt).zip(number(generate)));
    pair.ok_or_else(|| "use two numbers of tokens, such as 512,128".to_owned())
}

impl ModelArgs {
    /// Prompts first, then generation, at each depth.
    fn tests(&self) -> Vec<Test> {
        let prompts = self.n_prompt.iter().map(|&prompt| (prompt, 0));
        let generations = self.n_gen.iter().map(|&generate| (0, generate));
        let wanted: Vec<(u32, u32)> = prompts.chain(generations).chain(self.pg.iter().copied()).collect();
        let at = |depth: u32| {
            wanted.iter().filter(|(prompt, generate)| prompt + generate > 0).map(move |&(prompt, generate)| Test {
                prompt: prompt as usize,
                generate: generate as usize,
                depth: depth as usize,
            })
        };
        distinct(self.n_depth.iter().copied().flat_map(at))
    }
}

/// Measures the model and prints the records.
///
/// # Errors
/// The model cannot be loaded or run, no test is left, or the output cannot be written.
pub fn execute(args: ModelArgs) -> anyhow::Result<ExitCode> {
    let tests = args.tests();
    ensure!(!tests.is_empty(), "there is nothing to measure; use a -p, -n or -pg above 0");
    check_plot(args.plot.as_deref())?;
    let path = find_model(&args.model, false)?;
    let settings = Settings {
        tests,
        repetitions: args.repetitions as usize,
        chunk_sizes: match args.chunk_size.as_slice() {
            [] => vec![None],
            sizes => distinct(sizes.iter().copied().map(Some)),
        },
        sequences: distinct(args.batch),
        engine: EngineOptions { prefix_cache: true, ..args.engine.engine_options() },
    };
    let bar = case_bar("");
    let measured = measure(&path, &settings, &mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    let Measured { records, warnings } = measured?;
    warnings.iter().for_each(|warning| note(&format!("wgpt: {warning}")));
    print(&render(args.output, &records)?)?;
    if is_for_people(args.output) {
        print(&format!("\n{}", footnotes(&records)))?;
    }
    if let Some(path) = args.plot {
        plot::write(&path, &[Chart::Lines(depth_chart(&records))])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The device, and a line for each time that the model was loaded.
fn footnotes(records: &[ModelRecord]) -> String {
    let device = records.first().map(|record| {
        let origin = &record.origin;
        format!("{} ({}, {}, {})", origin.device, origin.device_type, origin.backend, origin.driver)
    });
    // The memory is that after the last test.
    let last = |record: &&ModelRecord| {
        let same = |other: &&ModelRecord| (other.n_ubatch, other.n_parallel) == (record.n_ubatch, record.n_parallel);
        records.iter().rfind(same).is_some_and(|last| std::ptr::eq(last, *record))
    };
    let loads = records.iter().filter(last).map(ModelRecord::describe_load);
    device.into_iter().chain(loads).map(|line| line + "\n").collect()
}
