//! `wgpt devices`: every adapter of every backend, and the one that a run would take.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use wgpt::gpu::{self, DeviceInfo};
use wgpt::kernels::Forced;

use super::cache_folder::cache_folder;
use super::figures::size;
use super::terminal::note;

#[derive(Debug, Args)]
#[command(after_help = "Take another device with `wgpt run --device INDEX` or `--device NAME`.")]
pub struct DevicesArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,

    /// Show every limit and identifier, and which kernels are used and why
    #[arg(short, long)]
    verbose: bool,
}

/// Prints the devices.
///
/// # Errors
/// There is none, or stdout cannot be written.
pub fn execute(args: &DevicesArgs) -> anyhow::Result<ExitCode> {
    let mut devices = gpu::devices();
    let folder = cache_folder();
    for device in &mut devices {
        let (choices, ignored) = device.choices(folder.as_deref(), &Forced::default())?;
        device.kernels = choices.describe();
        if args.verbose
            && let Some(ignored) = ignored
        {
            note(&format!("wgpt: {ignored}"));
        }
    }
    let text = if args.json {
        serde_json::to_string_pretty(&devices)? + "\n"
    } else {
        devices.iter().map(|device| Entry { device, verbose: args.verbose }.to_string()).collect()
    };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to stdout")?,
    }
    if devices.is_empty() {
        bail!(
            "no GPU was found; install your card's Vulkan driver, or Mesa 25's lavapipe (mesa-vulkan-drivers) to run on the CPU"
        );
    }
    Ok(ExitCode::SUCCESS)
}

struct Entry<'a> {
    device: &'a DeviceInfo,
    verbose: bool,
}

impl Entry<'_> {
    fn write_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = &self.device.limits;
        let [buffer, binding] = [limits.max_buffer_size, limits.max_storage_binding].map(size);
        let workgroup = size(limits.max_workgroup_memory.into());
        row(f, "limits", &format!("buffer {buffer}, binding {binding}, workgroup memory {workgroup}"))?;
        if self.verbose {
            let (buffers, threads) = (limits.max_storage_buffers, limits.max_workgroup_invocations);
            row(f, "", &format!("{buffers} storage buffers a kernel, {threads} threads a workgroup"))?;
        }
        Ok(())
    }

    fn features(&self) -> String {
        let device = self.device;
        let features = device.features.iter().map(|feature| match (feature.as_str(), device.subgroup_sizes) {
            ("subgroups", (low, high)) if low == high => format!("subgroups of {low}"),
            ("subgroups", (low, high)) => format!("subgroups of {low} to {high}"),
            (other, _) => other.to_owned(),
        });
        let features = features.collect::<Vec<_>>().join(", ");
        if features.is_empty() { "none".to_owned() } else { features }
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device;
        let mark = if device.selected { "  [a run takes this one]" } else { "" };
        writeln!(f, "{}: {}{mark}", device.index, device.name)?;
        row(f, "type", &format!("{}, {}", device.device_type, device.backend))?;
        row(f, "driver", &format!("{} {}", device.driver, device.driver_info))?;
        if self.verbose {
            row(f, "id", &format!("vendor {:#06x}, device {:#06x}", device.vendor_id, device.device_id))?;
        }
        self.write_limits(f)?;
        row(f, "features", &self.features())?;
        if self.verbose {
            for (i, kernel) in device.kernels.iter().enumerate() {
                row(f, if i == 0 { "kernels" } else { "" }, kernel)?;
            }
        }
        if let Some(notice) = &device.notice {
            row(f, if device.usable { "note" } else { "not usable" }, notice)?;
        } else if !device.usable {
            row(f, "not usable", "wgpt cannot run on it")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    match value.trim() {
        "" => Ok(()),
        value => writeln!(f, "   {name:<11}{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpt::gpu::DeviceLimits;

    fn device() -> DeviceInfo {
        DeviceInfo {
            index: 1,
            name: "Example".into(),
            backend: "vulkan".into(),
            device_type: "discrete GPU".into(),
            driver: String::new(),
            driver_info: String::new(),
            vendor_id: 0x10de,
            device_id: 0x2330,
            usable: true,
            notice: None,
            subgroup_sizes: (32, 32),
            features: vec!["subgroups".into(), "f16".into()],
            limits: DeviceLimits {
                max_buffer_size: 1 << 40,
                max_storage_binding: 1 << 31,
                max_storage_buffers: 8,
                max_workgroup_memory: 48 << 10,
                max_workgroup_invocations: 1024,
                max_texels: 0,
            },
            kernels: vec!["linear.decode (1 token): matvec - default".to_owned(), "attention: attention".to_owned()],
            selected: true,
        }
    }

    #[test]
    fn an_entry_says_what_matters_and_leaves_out_what_is_unknown() {
        insta::assert_snapshot!(Entry { device: &device(), verbose: false }, @r"
        1: Example  [a run takes this one]
           type       discrete GPU, vulkan
           limits     buffer 1.00 TiB, binding 2.00 GiB, workgroup memory 48.0 KiB
           features   subgroups of 32, f16
        ");
    }

    #[test]
    fn a_verbose_entry_says_everything() {
        let device = DeviceInfo {
            usable: false,
            notice: Some("its driver truncates loops".into()),
            driver: "llvmpipe".into(),
            driver_info: "Mesa 22.3".into(),
            selected: false,
            features: vec![],
            ..device()
        };
        insta::assert_snapshot!(Entry { device: &device, verbose: true }, @r"
        1: Example
           type       discrete GPU, vulkan
           driver     llvmpipe Mesa 22.3
           id         vendor 0x10de, device 0x2330
           limits     buffer 1.00 TiB, binding 2.00 GiB, workgroup memory 48.0 KiB
                      8 storage buffers a kernel, 1024 threads a workgroup
           features   none
           kernels    linear.decode (1 token): matvec - default
                      attention: attention
           not usable its driver truncates loops
        ");
    }
}
