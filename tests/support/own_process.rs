//! Tests that need a process of their own, because they set its limits, measure it, or leave a thread behind.

use std::time::Duration;

/// Set where a test is already alone.
const ALONE: &str = "WGPT_TEST_ALONE";

/// Far more than any such test takes.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Runs the body of the test `name` of a module (`module_path!()`) in a new process, which runs nothing else.
///
/// # Panics
/// When the body panics there, or the process does not end as it should.
pub fn alone(module: &str, name: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let module = module.split_once("::").map_or(module, |(_, module)| module);
    let this = std::env::current_exe().expect("the test's own path");
    let mut command = assert_cmd::Command::new(this);
    command.args([&format!("{module}::{name}"), "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.env(ALONE, "1").timeout(TIMEOUT).output().expect("the test runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{}\n{stdout}\n{stderr}", output.status);
    print!("{stdout}");
}
