//! `wgpt verify -m`: a whole model on a device and on the CPU reference.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use wgpt::engine::KvType;
use wgpt::formats::Checkpoint;
use wgpt::gpu::{DeviceInfo, DeviceSelector, GpuExecutor};
use wgpt::kernels::Forced;
use wgpt::text::Tokenizer;
use wgpt::verify::model::{self, ModelReport, Progress, Settings};

use super::print;
use crate::cli::cache_folder::cache_folder;
use crate::cli::figures::{seconds, size};
use crate::cli::loading::find_model;
use crate::cli::terminal::{case_bar, note, printable};

/// Prose, figures, code and scripts, so that rare tokens come, too.
const PROMPT: &str = "The Rhine rises in the Swiss Alps and runs 1,233 km to the North Sea. In 1869 Mendeleev put 63 elements \
    in order. Größe, naïve, 中文. def area(r): return 3.14159 * r ** 2\nOnce upon a time, there was a";

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Check a whole model instead: a GGUF file, a Hugging Face folder, or a hub name, as for `wgpt run`
    #[arg(short, long, value_name = "MODEL", conflicts_with_all = ["kernel", "case", "all"])]
    pub model: Option<OsString>,

    /// A known-good copy of the model for the CPU to run, to find what is damaged in MODEL
    #[arg(long, value_name = "MODEL", requires = "model")]
    against: Option<OsString>,

    /// The text to run [default: a few lines of several kinds]
    #[arg(short, long, value_name = "PROMPT", requires = "model", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// Decode N tokens after the prompt
    #[arg(short = 'n', long, visible_alias = "n-predict", value_name = "N", default_value_t = 64)]
    #[arg(requires = "model")]
    predict: u32,

    /// Type of the KV cache
    #[arg(long, visible_alias = "cache-type", value_name = "f32|f16|q8_0", default_value = "f16", requires = "model")]
    kv_type: KvType,

    /// Use these kernels on the device, as for `wgpt run`
    #[arg(long, value_name = "ROLE=KERNEL,..", requires = "model")]
    variant: Option<Forced>,
}

/// Checks the model on the device that a run would take, and prints how it did.
///
/// # Errors
/// The two sides part, one of them cannot run the model, or stdout cannot be written.
pub fn execute(name: &OsStr, args: &ModelArgs, device: &DeviceSelector, json: bool) -> anyhow::Result<()> {
    let path = find_model(name, false)?;
    let against = args.against.as_deref().map(|name| find_model(name, false)).transpose()?;
    let checkpoint = Checkpoint::open(&path)?;
    let known_good = against.as_deref().map(Checkpoint::open).transpose()?;
    let prompt = Tokenizer::from_checkpoint(&checkpoint)?.encode(args.prompt.as_deref().unwrap_or(PROMPT), true)?;
    let mut executor = GpuExecutor::open(device)?;
    let info = executor.info().clone();
    let forced = args.variant.clone().unwrap_or_default();
    let (choices, ignored) = info.choices(cache_folder().as_deref(), &forced)?;
    ignored.iter().for_each(|ignored| note(&format!("wgpt: {ignored}")));
    let settings = Settings {
        prompt,
        forced_tokens: args.predict as usize,
        kv_type: args.kv_type,
        selection: choices.selection(),
    };
    let bar = case_bar(&format!("{} ({})", info.name, info.backend));
    let report = model::check(
        &mut executor,
        &checkpoint,
        known_good.as_ref().unwrap_or(&checkpoint),
        &settings,
        &mut |progress| match progress {
            Progress::Loading { bytes } => bar.set_message(format!("loading, {}", size(bytes))),
            Progress::Tokens { done, total } => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.set_message("tokens");
            }
            Progress::Searching => bar.set_message("tokens; looking for the first wrong dispatch"),
        },
    );
    bar.finish_and_clear();
    let checked = Checked { path, against, device: info, report: report? };
    print(&if json { serde_json::to_string_pretty(&checked.to_json())? + "\n" } else { checked.table() })?;
    checked.verdict()
}

/// A model and how it did.
struct Checked {
    path: PathBuf,
    against: Option<PathBuf>,
    device: DeviceInfo,
    report: ModelReport,
}

impl Checked {
    fn to_json(&self) -> Value {
        json!({
            "passed": self.report.passed(),
            "model": self.path,
            "against": self.against,
            "device": self.device,
            "parting": self.report.parting.as_ref().map(ToString::to_string),
            "report": self.report,
        })
    }

    fn table(&self) -> String {
        let Checked { path, device, report, .. } = self;
        let shown = |path: &Path| printable(&path.display().to_string());
        let mut text = format!("{} on {} ({}, {})", shown(path), device.name, device.device_type, device.backend);
        // Writing to a String cannot fail.
        if let Some(against) = &self.against {
            let _ = write!(text, " against {} on the CPU", shown(against));
        }
        let _ = write!(text, "\n{report}");
        if let Some(parting) = &report.parting {
            let _ = writeln!(text, "FAILED: {parting}");
        }
        let verdict = if report.passed() { "passed" } else { "failed" };
        let time = seconds(Duration::from_secs_f64(report.seconds));
        let _ = writeln!(text, "{verdict} in {time}, with {} tokens of prompt", report.prompt_tokens);
        text
    }

    fn verdict(&self) -> anyhow::Result<()> {
        let Some(parting) = &self.report.parting else { return Ok(()) };
        let name = &self.device.name;
        match &self.against {
            Some(_) => bail!("the model on {name} does not compute what the other one does on the CPU: {parting}"),
            None => bail!("{name} does not compute what the CPU computes; do not trust text made there: {parting}"),
        }
    }
}
