//! `wgpt verify`: every kernel on every device against the CPU reference, or a whole model on one.

mod checked;
mod model;

use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use wgpt::gpu::{self, Backend, DeviceInfo, DeviceSelector, GpuExecutor};
use wgpt::verify::{self, Filter};

use self::checked::{Checked, Outcome, verdict};
use super::terminal::{case_bar, print};

const NOTES: &str = "\
Examples:
  wgpt verify
  wgpt verify --device 0 --kernel matmul --all
  wgpt verify --backend vulkan --json | jq .passed
  wgpt verify -m model.gguf
  wgpt verify -m download.gguf --against known-good.gguf

The numbers of the table: NMSE is the mean squared error over the reference's mean square; the max
error is the largest of one element, over the reference's root mean square.
The exit code is 1 if a case failed or no device could be checked; with -m, if the two sides part by
more than is allowed.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(about = "Check that the GPUs compute what the CPU reference computes")]
#[command(long_about = "Check that the GPUs compute what the CPU reference computes.\n\n\
    Runs small cases of every kernel on every device that can be used, and compares all results with \
    those of a plain CPU implementation. No model is needed.\n\n\
    With -m it runs a whole model on one device and on the CPU, and shows how far they are apart after \
    each layer and in a forced decoding. Where they part, it names the first dispatch that is wrong.")]
pub struct VerifyArgs {
    /// Check only the device with this index in `wgpt devices`, or those with this in their name (-dev)
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Check only devices of this backend
    #[arg(long, value_name = "vulkan|metal|dx12|gl")]
    backend: Option<Backend>,

    /// Run only the cases of this kernel
    #[arg(long, value_name = "KERNEL", value_parser = PossibleValuesParser::new(verify::kernels()))]
    kernel: Option<String>,

    /// Run only the cases that have this in their name or as their seed
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,

    /// Run also the cases that take a software device seconds each
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    model: model::ModelArgs,

    /// Print one JSON object at the end instead of tables
    #[arg(long)]
    json: bool,
}

/// Checks the devices, one after the other, and prints how each did.
///
/// # Errors
/// A case failed, a device that was asked for or all of them could not be checked, or stdout cannot be written.
pub fn execute(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let selector = DeviceSelector { device: args.device, backend: args.backend };
    if let Some(name) = &args.model.model {
        model::execute(name, &args.model, &selector, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let named = selector.device.is_some();
    let devices = gpu::matching(&selector)?;
    let filter = Filter { kernel: args.kernel, case: args.case, all: args.all };
    let mut all = Vec::with_capacity(devices.len());
    for device in devices {
        let outcome = check(&device, &filter);
        let checked = Checked { device, outcome };
        if !args.json {
            print(&checked.to_string())?;
        }
        all.push(checked);
    }
    let verdict = verdict(&all, named);
    if args.json {
        let devices: Vec<_> = all.iter().map(Checked::to_json).collect();
        let object = json!({ "passed": verdict.is_ok(), "devices": devices });
        print(&(serde_json::to_string_pretty(&object)? + "\n"))?;
    }
    verdict?;
    Ok(ExitCode::SUCCESS)
}

fn check(device: &DeviceInfo, filter: &Filter) -> Outcome {
    if !device.usable {
        return Outcome::Unusable(device.notice.clone().unwrap_or_else(|| "it cannot be used".to_owned()));
    }
    let mut executor =
        match GpuExecutor::open(&DeviceSelector { device: Some(device.index.to_string()), backend: None }) {
            Ok(executor) => executor,
            Err(error) => return Outcome::Unusable(error.to_string()),
        };
    let bar = case_bar(&format!("{} ({})", device.name, device.backend));
    let report = verify::device(&mut executor, filter, &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.case.name());
    });
    bar.finish_and_clear();
    Outcome::Ran(report)
}
