//! Tells the records of the benchmarks which commit they measure, where there is a repository to ask.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    // A package that was unpacked inside of another repository is not of that one.
    let top = git(&root, &["rev-parse", "--show-toplevel"]);
    let is_ours = top.is_some_and(|top| Path::new(&top).canonicalize().ok() == Path::new(&root).canonicalize().ok());
    if !is_ours {
        return;
    }
    // Written to by each commit, checkout and rebase.
    if let Some(log) = git(&root, &["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    if let Some(commit) = git(&root, &["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo:rustc-env=WGPT_COMMIT={commit}");
    }
}

/// What git prints, if there is git and it succeeds.
fn git(folder: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
