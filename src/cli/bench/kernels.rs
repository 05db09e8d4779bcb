//! `wgpt bench kernels`: how fast each kernel is on each adapter, and how close to what that adapter can do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use clap::builder::PossibleValuesParser;
use wgpt::bench::kernels::{Measured, Settings, measure};
use wgpt::bench::output::{Format, render};
use wgpt::bench::{Choice, Impossible, KernelRecord, MatrixShape, ModelShape, plot};
use wgpt::formats::DType;
use wgpt::gpu::{self, Backend, DeviceInfo, DeviceSelector, GpuExecutor};
use wgpt::kernels::weight_layout::dtype_of_shader;
use wgpt::verify;

use super::{check_plot, distinct, is_for_people, show, title};
use crate::cli::terminal::{case_bar, note, one_line, print};

const NOTES: &str = "\
Examples:
  wgpt bench kernels
  wgpt bench kernels --device 0 --kernel matvec --types f16,q8_0,q4_k --m 1,2,4,8
  wgpt bench kernels --shapes all --m 1,512 --backend vulkan -o csv > kernels.csv
  wgpt bench kernels --shapes 1536x1536 --m 512 --types f32,f16,q8_0,q4_0
  wgpt bench kernels --case ffn_down -o json --plot roofline.svg

Each adapter's own peaks are measured first. `bound` names the one that a case meets first: f32
arithmetic, read or copy bandwidth, or the cost of a dispatch; `of its bound` is the least time that
the peak allows over the median that was taken. On a software device, `of its loop` is the time that a
kernel of decode would take as fast as it is over weights or keys that stay in a core's cache, over
that median. `spread` is the standard deviation over the mean.
Times are the device's own where it has a clock, and the wall's of many dispatches in one submit.
Products of few rows are timed alone, and `with` what they do in a decode step: their half of the norm
before or behind them, the sum with the residual stream, the gate.
Weights and cached keys are read from copies in turns, so that caches are as cold as in a model.
Of large results, the error is that of rows at the start, in the middle and near the end.
The exit code is 1 if a result was wrong or no device could be measured.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Time each kernel on each adapter, beside what the adapter can do")]
#[command(long_about = "Time each kernel on each adapter, beside what the adapter can do.\n\n\
    The shapes are those of real models; no model is needed. The default takes a software device about \
    two minutes.")]
pub struct KernelsArgs {
    /// Measure only the device with this index in `wgpt devices`, or those with this in their name (-dev)
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Measure only devices of this backend
    #[arg(long, value_name = "vulkan|metal|dx12|gl")]
    backend: Option<Backend>,

    /// The models whose shapes are measured: all, or some of smollm2, qwen2.5-0.5b, qwen2.5-7b, llama3-8b; and
    /// shapes of single weight matrices, as 4096x4096
    #[arg(long, value_name = "MODEL|NxK,..", value_delimiter = ',', default_value = "smollm2", value_parser = shapes)]
    shapes: Vec<Shapes>,

    /// Measure only this kernel
    #[arg(long, value_name = "KERNEL", value_parser = PossibleValuesParser::new(verify::kernels()))]
    kernel: Option<String>,

    /// Measure only the cases that have this in their name
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,

    /// Storage types of the weights
    #[arg(long, value_name = "TYPE,..", value_delimiter = ',', default_value = "q8_0,q4_0", value_parser = dtype)]
    types: Vec<DType>,

    /// Rows at once: 1 to 8 for decode steps, 32, 128 or 512 for prefill chunks
    #[arg(long, value_name = "ROWS,..", value_delimiter = ',', default_value = "1,128",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    m: Vec<u32>,

    /// Samples of each variant
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// How the records are printed: table, md, json, jsonl or csv
    #[arg(short, long, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,

    /// Draw the roofline of each device into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// What one value of `--shapes` stands for.
#[derive(Clone, Debug)]
enum Shapes {
    Models(Vec<ModelShape>),
    Matrix(MatrixShape),
}

fn shapes(text: &str) -> Result<Shapes, String> {
    match text {
        "all" => Ok(Shapes::Models(ModelShape::ALL.to_vec())),
        text if text.starts_with(|first: char| first.is_ascii_digit()) => text.parse().map(Shapes::Matrix),
        name => name.parse().map(|model| Shapes::Models(vec![model])),
    }
}

fn dtype(name: &str) -> Result<DType, String> {
    let lower = name.to_ascii_lowercase();
    dtype_of_shader(&lower).ok_or_else(|| format!("there is no storage type '{name}'; use f16, q8_0, q4_0, q4_k, .."))
}

/// Measures the devices, one after the other, and prints the records.
///
/// # Errors
/// A result was wrong, a device that was asked for or all of them could not be measured, or the output cannot be written.
pub fn execute(args: KernelsArgs) -> anyhow::Result<ExitCode> {
    check_plot(args.plot.as_deref())?;
    let named = args.device.is_some();
    let devices = gpu::matching(&DeviceSelector { device: args.device, backend: args.backend })?;
    let (mut models, mut matrices) = (Vec::new(), Vec::new());
    for shapes in args.shapes {
        match shapes {
            Shapes::Models(some) => models.extend(some),
            Shapes::Matrix(matrix) => matrices.push(matrix),
        }
    }
    let choice = Choice {
        models: distinct(models),
        matrices: distinct(matrices),
        kernel: args.kernel,
        case: args.case,
        types: distinct(args.types),
        rows: distinct(args.m),
    };
    let settings = Settings { choice, rounds: args.rounds as usize };

    let mut all: Vec<(DeviceInfo, Measured)> = Vec::new();
    let mut unusable = Vec::new();
    for device in devices {
        match on_device(&device, &settings) {
            Ok(measured) => {
                report_left_out(&device, &measured.skipped);
                if is_for_people(args.output) {
                    print(&format!("{}\n\n", title(&device, args.output)))?;
                    print(&(render(args.output, &measured.records)? + "\n"))?;
                }
                all.push((device, measured));
            }
            Err(reason) => {
                let reason = format!("{} ({}): {}", device.name, device.backend, one_line(&reason));
                note(&format!("skipped {reason}"));
                unusable.push(reason);
            }
        }
    }
    if !is_for_people(args.output) {
        let records: Vec<&KernelRecord> = all.iter().flat_map(|(_, measured)| &measured.records).collect();
        print(&render(args.output, &records)?)?;
    }
    if let Some(path) = args.plot {
        let charts: Vec<plot::Chart<'_>> = all
            .iter()
            .map(|(device, measured)| {
                plot::Chart::Roofline(plot::Roofline {
                    title: format!("{} ({})", device.name, device.backend),
                    roofs: measured.roofs,
                    records: &measured.records,
                })
            })
            .collect();
        plot::write(&path, &charts)?;
    }
    verdict(&all, &unusable, named)?;
    Ok(ExitCode::SUCCESS)
}

fn on_device(device: &DeviceInfo, settings: &Settings) -> anyhow::Result<Measured> {
    if !device.usable {
        bail!("{}", device.notice.as_deref().unwrap_or("it cannot be used"));
    }
    let mut gpu =
        GpuExecutor::open_for_benchmarks(&DeviceSelector { device: Some(device.index.to_string()), backend: None })?;
    let bar = case_bar(&format!("{} ({})", device.name, device.backend));
    let measured = measure(&mut gpu, settings, &mut |progress| show(&bar, &progress));
    bar.finish_and_clear();
    Ok(measured?)
}

/// A line on stderr for each reason to leave cases out.
fn report_left_out(device: &DeviceInfo, skipped: &[Impossible]) {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Impossible { name, reason } in skipped {
        by_reason.entry(reason).or_default().push(name);
    }
    for (reason, names) in by_reason {
        note(&format!("left out on {}: {}: {reason}", device.name, names.join(", ")));
    }
}

/// The one sentence for stderr if not all is well.
fn verdict(all: &[(DeviceInfo, Measured)], unusable: &[String], named: bool) -> anyhow::Result<()> {
    for (device, measured) in all {
        if let Some(error) = &measured.aborted {
            bail!("the measurements of {} ended early: {error}", device.name);
        }
    }
    let records = || all.iter().flat_map(|(_, measured)| &measured.records);
    let wrong = records().filter(|record| record.fault.is_some()).count();
    if let Some(first) = records().find(|record| record.fault.is_some()) {
        let fault = first.fault.as_deref().unwrap_or_default();
        bail!("{wrong} results were wrong, the first of {} on {}: {fault}", first.name, first.origin.device);
    }
    if all.is_empty() {
        bail!("no device could be measured: {}", unusable.join("; "));
    }
    if named && !unusable.is_empty() {
        bail!("a device that was asked for could not be measured: {}", unusable.join("; "));
    }
    if records().all(|record| record.origin.bench == "peaks") {
        bail!("no case was measured; loosen --kernel, --case, --types and --m");
    }
    Ok(())
}
