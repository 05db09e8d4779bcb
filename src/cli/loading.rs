//! From what the user calls a model to an engine, with what there is to see on the way.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use wgpt::engine::{Engine, EngineOptions, LoadProgress};
use wgpt::formats::Checkpoint;
use wgpt::model::Config;

use super::hub;
use super::model_path::ModelSource;
use super::terminal::{byte_bar, note};

/// The path of a model, which is downloaded if it is named as on the hub.
///
/// # Errors
/// There is no such model.
pub fn find_model(model: &OsStr, quiet: bool) -> anyhow::Result<PathBuf> {
    match ModelSource::parse(model)? {
        ModelSource::Local(path) => Ok(path),
        ModelSource::Hub(model) => Ok(hub::fetch(&model, quiet)?),
    }
}

/// The longest context that a model was made for.
///
/// # Errors
/// The model cannot be read.
pub fn whole_context(path: &Path) -> anyhow::Result<u32> {
    let config = Config::from_checkpoint(&Checkpoint::open(path)?)?;
    Ok(u32::try_from(config.context).unwrap_or(u32::MAX))
}

/// Loads a model under a progress bar, and says what is odd about it or the device.
///
/// # Errors
/// The model cannot be read, or the device cannot run it.
pub fn load(path: &Path, options: &EngineOptions, quiet: bool) -> anyhow::Result<Engine> {
    let mut bar = byte_bar(0, "loading", true);
    let loaded = Engine::load(path, options, &mut |progress| match progress {
        LoadProgress::Opened { bytes } => bar = byte_bar(bytes, "loading", quiet),
        LoadProgress::Uploaded { bytes } => bar.set_position(bytes),
        LoadProgress::Ready => bar.finish_and_clear(),
    });
    bar.finish_and_clear();
    let engine = loaded?;
    if !quiet {
        let info = engine.info();
        info.warnings.iter().for_each(|warning| note(&format!("wgpt: {warning}")));
        if let Some(notice) = device_notice(&info.device) {
            note(&format!("wgpt: {notice}"));
        }
    }
    Ok(engine)
}

/// What the user should know about the device, such as that it is a CPU.
fn device_notice(device: &wgpt::gpu::DeviceInfo) -> Option<String> {
    device.notice.as_ref().map(|notice| format!("running on {}, {notice}", device.name))
}
