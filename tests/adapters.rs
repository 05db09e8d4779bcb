//! Adapters of another make than the machine's: SwiftShader, with subgroups of four lanes, no f16, and no more than the 256
//! threads of a workgroup that wgpu promises; and Mesa 26's lavapipe, with cooperative matrices. Their Vulkan drivers are named
//! to processes of their own, so that no other test can meet them.

use std::time::Duration;

use predicates::str::contains;
use serde_json::Value;

use crate::support::command::{chat_model, wgpt, wgpt_by};
use crate::support::notice::notice;

/// Names SwiftShader's ICD file.
const SWIFTSHADER: &str = "WGPT_TEST_SWIFTSHADER";

/// Names a program that starts others with Mesa 26's lavapipe.
pub const LAVAPIPE26: &str = "WGPT_TEST_LAVAPIPE26";

/// Far more than the kernel cases take on two cores, since other tests run beside them.
const TIMEOUT: Duration = Duration::from_secs(1200);

/// `wgpt` with SwiftShader's driver: the only one of Vulkan's, or one more than the machine has.
fn with_swiftshader(variable: &str, arguments: &[&str]) -> Option<assert_cmd::Command> {
    let Some(driver) = std::env::var_os(SWIFTSHADER).filter(|path| !path.is_empty()) else {
        notice(&format!("SKIPPED: {SWIFTSHADER} names no SwiftShader: 'wgpt {}'", arguments[0]));
        return None;
    };
    let mut command = wgpt(arguments);
    command.env_remove("VK_ICD_FILENAMES").env_remove("VK_DRIVER_FILES").env(variable, driver).timeout(TIMEOUT);
    Some(command)
}

fn json(mut command: assert_cmd::Command) -> Value {
    serde_json::from_slice(&command.assert().success().get_output().stdout).expect("JSON")
}

#[test]
fn kernels_agree_with_the_reference_on_swiftshader() {
    let Some(verify) = with_swiftshader("VK_DRIVER_FILES", &["verify", "--device", "SwiftShader", "--json"]) else {
        return;
    };
    let report = json(verify);
    let [device] = &report["devices"].as_array().expect("a list")[..] else { panic!("one device: {report}") };
    assert_eq!(device["passed"], true, "{device}");
    assert_eq!(device["device"]["subgroup_sizes"], serde_json::json!([4, 4]));
    let variants = device["variants"].as_array().expect("a list");
    let ran = |name: &str| variants.iter().any(|line| line["variant"] == name && line["cases"].as_u64() > Some(20));
    assert!(ran("subgroup"), "matvec in subgroups of four did not run: {device}");
    let left_out: u64 =
        variants.iter().flat_map(|line| line["skipped"].as_array()).flatten().filter_map(|s| s["cases"].as_u64()).sum();
    notice(&format!(
        "{} ({}): all {} kernel cases agree with the reference in {:.0} s; {left_out} left out as too slow",
        device["device"]["name"].as_str().expect("a name"),
        device["device"]["backend"].as_str().expect("a backend"),
        device["cases"],
        device["seconds"].as_f64().expect("a number"),
    ));
}

#[test]
fn a_model_answers_on_swiftshader() {
    let model = chat_model();
    let arguments = ["run", "--device", "SwiftShader", "-m", model.to_str().expect("UTF-8"), "What is a GPU?"];
    if let Some(mut run) = with_swiftshader("VK_DRIVER_FILES", &arguments) {
        run.assert().success().stdout(contains("A GPU is a processor that does many small sums at once."));
        notice("SwiftShader: the tiny chat model answers as on the reference");
    }
}

#[test]
fn swiftshader_beside_another_driver_is_not_the_one_that_a_run_takes() {
    let Some(devices) = with_swiftshader("VK_ADD_DRIVER_FILES", &["devices", "--json"]) else { return };
    let listing = json(devices);
    let listing = listing.as_array().expect("a list");
    let is_swiftshader = |device: &Value| device["name"].as_str().is_some_and(|name| name.contains("SwiftShader"));
    assert!(listing.iter().any(is_swiftshader), "{listing:?}");
    let others = listing.iter().any(|d| d["usable"] == true && d["backend"] == "vulkan" && !is_swiftshader(d));
    let selected = listing.iter().find(|device| device["selected"] == true).expect("one is selected");
    assert_eq!(is_swiftshader(selected), !others, "{selected}");
}

/// `wgpt` with the lavapipe of Mesa 26 as the only driver of Vulkan's.
fn with_lavapipe26(arguments: &[&str]) -> Option<assert_cmd::Command> {
    let Some(starter) = std::env::var_os(LAVAPIPE26).filter(|path| !path.is_empty()) else {
        notice(&format!("SKIPPED: {LAVAPIPE26} names no starter with Mesa 26's lavapipe: 'wgpt {}'", arguments[0]));
        return None;
    };
    let mut command = wgpt_by(&starter, arguments);
    command.timeout(TIMEOUT);
    Some(command)
}

#[test]
fn products_on_matrix_units_agree_with_the_reference_on_lavapipe_26() {
    let arguments = ["verify", "--backend", "vulkan", "--kernel", "matmul_coop", "--json"];
    let Some(verify) = with_lavapipe26(&arguments) else { return };
    let report = json(verify);
    let [device] = &report["devices"].as_array().expect("a list")[..] else { panic!("one device: {report}") };
    assert_eq!(device["passed"], true, "{device}");
    let variants = device["variants"].as_array().expect("a list");
    for name in ["block64", "block128"] {
        let cases = variants.iter().find(|line| line["variant"] == name).map(|line| line["cases"].clone());
        assert!(cases.as_ref().and_then(Value::as_u64) > Some(15), "{name}: {cases:?} cases");
    }
    notice(&format!(
        "{} ({}): all {} cases of products on matrix units agree with the reference in {:.0} s",
        device["device"]["name"].as_str().expect("a name"),
        device["device"]["driver_info"].as_str().expect("a driver"),
        device["cases"],
        device["seconds"].as_f64().expect("a number"),
    ));
}

#[test]
fn a_model_answers_with_products_on_matrix_units() {
    let model = chat_model();
    let model = model.to_str().expect("UTF-8");
    let variants = "linear.short=matmul_coop8_64,linear.prefill=matmul_coop8_128";
    let arguments = ["run", "--backend", "vulkan", "--variant", variants, "-m", model, "What is a GPU?"];
    if let Some(mut run) = with_lavapipe26(&arguments) {
        run.assert().success().stdout(contains("A GPU is a processor that does many small sums at once."));
        notice("lavapipe of Mesa 26: the tiny chat model answers by way of matrix units as on the reference");
    }
}
