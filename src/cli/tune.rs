//! `wgpt tune`: measures which kernels are fastest on a device, and keeps that for later runs.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use wgpt::bench::tune::{Outcome, Workload, tune};
use wgpt::engine::default_chunk;
use wgpt::formats::Checkpoint;
use wgpt::gpu::{Backend, DeviceInfo, DeviceSelector, GpuExecutor};
use wgpt::kernels::{Choices, Forced};
use wgpt::model::{Config, linear_layers};

use super::cache_folder::cache_folder;
use super::loading::find_model;
use super::terminal::{case_bar, note, print};

const NOTES: &str = "\
Examples:
  wgpt tune
  wgpt tune -m model.gguf --device 0
  wgpt tune --forget

Every kernel that the device can run is timed in turns with the others, at the shapes and types of
the model, and the fastest one of each role is used from then on: by run, perplexity, verify -m,
bench model and bench complexity, with any model, on this device with this driver and version of
wgpt. What was measured before on the device is replaced. A kernel takes the default's place only if
it is 3 % faster or more. If the layers have weights of several types, a type for which another
kernel is faster than the role's gets that one; types that were not measured take the role's. Where
some kernels load weights from textures, it is decided for all roles together whether weights lie
there or in buffers. Those
whose names have f16 or coop in them round to f16 what they multiply, which changes logits by about
a thousandth of their size; those with dot4 round activations to 8 bits, as most engines do with
quantised weights, which changes them by about a hundredth, and the list says so.
`wgpt devices -v` prints what was chosen and why; --variant overrides it, and
--deterministic ignores it. The file lies in WGPT_CACHE, or in wgpt in the user's cache folder.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Measure which kernels are fastest on a device, and use them from then on")]
#[command(long_about = "Measure which kernels are fastest on a device, and use them from then on.\n\n\
    Without a model, the shapes are those of a typical small one. A software device takes a minute or two.")]
pub struct TuneArgs {
    /// The model whose shapes and types are measured: as for `wgpt run`
    #[arg(short, long, value_name = "MODEL")]
    model: Option<OsString>,

    /// A device of `wgpt devices`, by its index or a part of its name (-dev)
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Take only devices of this backend
    #[arg(long, value_name = "vulkan|metal|dx12|gl")]
    backend: Option<Backend>,

    /// Samples of each kernel
    #[arg(short, long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Forget what was measured on the device, and use the defaults again
    #[arg(long, conflicts_with_all = ["model", "rounds"])]
    forget: bool,
}

/// Measures, keeps the result, and prints what was chosen.
///
/// # Errors
/// There is no such device or model, the device fails, or the result cannot be kept.
pub fn execute(args: TuneArgs) -> anyhow::Result<ExitCode> {
    let folder =
        cache_folder().context("there is no folder to keep the result in; set WGPT_CACHE to one, and not to off")?;
    let mut gpu = GpuExecutor::open_for_benchmarks(&DeviceSelector { device: args.device, backend: args.backend })?;
    let info = gpu.info().clone();
    let file = info.tuning_file(&folder);
    if args.forget {
        return forget(file.path());
    }
    // What cannot be kept is not worth measuring for a minute.
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let workload = match &args.model {
        Some(model) => of_model(model, &info)?,
        None => Workload::typical(),
    };
    let bar = case_bar(&format!("{} ({})", info.name, info.backend));
    let tuned = tune(&mut gpu, &workload, args.rounds as usize, &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.name.to_owned());
    });
    bar.finish_and_clear();
    let Outcome { tuning, left_out } = tuned?;
    for left_out in left_out {
        note(&format!("left out: {}: {}", left_out.name, left_out.reason));
    }
    if tuning.results.is_empty() {
        bail!("nothing could be measured on {}; see what `wgpt verify` says", info.name);
    }
    tuning.write(&file).with_context(|| format!("cannot write {}", file.path().display()))?;
    report(&info, &info.choices(Some(&folder), &Forced::default())?.0)?;
    note(&format!("kept in {}", file.path().display()));
    Ok(ExitCode::SUCCESS)
}

fn of_model(model: &OsStr, info: &DeviceInfo) -> anyhow::Result<Workload> {
    let path = find_model(model, false)?;
    let checkpoint = Checkpoint::open(&path)?;
    let config = Config::from_checkpoint(&checkpoint)?;
    let layers = linear_layers(&config, &checkpoint)?;
    let name = path.file_name().unwrap_or(model).to_string_lossy().into_owned();
    let chunk = default_chunk(&config, info) as u32;
    Ok(Workload::of_model(name, &config, layers, chunk))
}

fn report(info: &DeviceInfo, choices: &Choices) -> anyhow::Result<()> {
    print(&format!("{} ({})\n", info.name, info.backend))?;
    choices.describe().iter().try_for_each(|line| print(&format!("   {line}\n")))
}

fn forget(path: &std::path::Path) -> anyhow::Result<ExitCode> {
    match std::fs::remove_file(path) {
        Ok(()) => note(&format!("removed {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => note("nothing was measured on this device"),
        Err(error) => return Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
    Ok(ExitCode::SUCCESS)
}
