//! The `wgpt` binary as a process, free of what the tester's environment sets.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use assert_cmd::Command;

/// Nothing here takes a fraction of this, even on a CPU.
const TIMEOUT: Duration = Duration::from_secs(120);
const VARIABLES: [&str; 14] = [
    "WGPT_LOG",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_OFFLINE",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// `wgpt` with the arguments.
pub fn wgpt(arguments: &[&str]) -> Command {
    let mut command = Command::from_std(std_wgpt(arguments));
    command.timeout(TIMEOUT);
    command
}

/// `wgpt` with the arguments, to be spawned and watched while it runs.
pub fn std_wgpt(arguments: &[&str]) -> std::process::Command {
    alone(std::process::Command::new(assert_cmd::cargo::cargo_bin!("wgpt")), arguments)
}

/// `wgpt` with the arguments, started by a program that takes it and them as its own.
pub fn wgpt_by(starter: &OsStr, arguments: &[&str]) -> Command {
    let mut command = std::process::Command::new(starter);
    command.arg(assert_cmd::cargo::cargo_bin!("wgpt"));
    Command::from_std(alone(command, arguments))
}

fn alone(mut command: std::process::Command, arguments: &[&str]) -> std::process::Command {
    VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("WGPT_CACHE", "off");
    command.args(arguments).stdin(std::process::Stdio::null());
    command
}

/// Sends a signal such as `-INT`.
pub fn send(signal: &str, child: &Child) {
    let status =
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
}

/// Waits for the end of a process that should end soon.
pub fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait().expect("a child") {
            Some(status) => return status,
            None if Instant::now() > deadline => {
                child.kill().expect("killed");
                panic!("wgpt did not end");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The folder of the tiny chat model, which knows a few questions and their answers by heart.
pub fn chat_model() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/tiny/chat")
}

/// Whether this machine has a device to run on; says so where it has none.
pub fn has_device() -> bool {
    let listing = wgpt(&["devices", "--json"]).output().expect("wgpt runs");
    let devices: serde_json::Value = serde_json::from_slice(&listing.stdout).expect("JSON");
    let usable = devices.as_array().is_some_and(|devices| devices.iter().any(|device| device["usable"] == true));
    if !usable {
        eprintln!("skipped: no usable GPU device on this machine");
    }
    usable
}
