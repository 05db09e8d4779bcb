//! `wgpt verify` as a process.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::support::command::{has_device, wgpt};

fn verify(arguments: &[&str]) -> assert_cmd::Command {
    wgpt(&[&["verify"], arguments].concat())
}

fn json(arguments: &[&str]) -> Value {
    let output = verify(&[&["--json"], arguments].concat()).assert().success().get_output().clone();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON value and nothing else")
}

#[test]
fn the_help_names_the_flags_the_kernels_and_the_exit_code() {
    let texts = [
        "--device <DEVICE>",
        "--kernel <KERNEL>",
        "--case <TEXT>",
        "--all",
        "--json",
        "matvec_lanes",
        "exit code is 1",
    ];
    for text in texts {
        verify(&["--help"]).assert().success().stdout(contains(text));
    }
    wgpt(&["--help"]).assert().success().stdout(contains("  verify "));
}

#[test]
fn an_unknown_kernel_is_wrong_usage_and_the_known_ones_are_listed() {
    let listed = contains("'sub'").and(contains("argmax, attention, attention_key_lanes"));
    verify(&["--kernel", "sub"]).assert().code(2).stdout("").stderr(listed);
}

#[test]
fn a_kernel_passes_on_every_device_that_can_be_used() {
    if !has_device() {
        return;
    }
    let object = json(&["--kernel", "gather_rows"]);
    assert_eq!(object["passed"], true);
    let devices = object["devices"].as_array().expect("a list");
    let ran: Vec<&Value> = devices.iter().filter(|device| device["skipped"].is_null()).collect();
    assert!(!ran.is_empty());
    for device in ran {
        assert_eq!((&device["passed"], &device["failed"]), (&Value::from(true), &Value::from(0)));
        let [variant] = &device["variants"].as_array().expect("a list")[..] else { panic!("one variant: {device}") };
        assert_eq!((&variant["kernel"], &variant["variant"]), (&Value::from("gather_rows"), &Value::from("base")));
        assert_eq!(variant["cases"], device["cases"]);
        assert_eq!((&variant["nmse"], &variant["tolerance"]["nmse"]), (&Value::from(0.0), &Value::from(0.0)));
        assert!(variant["seconds"].as_f64().expect("a number") > 0.0);
    }
}

#[test]
fn a_case_runs_alone_on_the_device_that_is_named() {
    if !has_device() {
        return;
    }
    let listing = wgpt(&["devices", "--json"]).output().expect("wgpt runs");
    let listing: Value = serde_json::from_slice(&listing.stdout).expect("JSON");
    let usable = listing.as_array().expect("a list").iter().find(|device| device["usable"] == true).expect("one");
    let index = usable["index"].to_string();
    let object = json(&["--device", &index, "--case", "[3 of 40 rows of 576]"]);
    let [device] = &object["devices"].as_array().expect("a list")[..] else { panic!("one device: {object}") };
    assert_eq!((&device["device"]["index"], &device["cases"]), (&usable["index"], &Value::from(1)));

    let table = contains("gather_rows/base").and(contains("\n1 of 1 case passed in "));
    verify(&["--device", &index, "--case", "[3 of 40 rows of 576]"]).assert().success().stderr("").stdout(table);
}

#[test]
fn what_selects_nothing_is_an_error_in_one_sentence() {
    if !has_device() {
        return;
    }
    for (arguments, advice) in [
        (["--case", "no such case"], "no device could be checked: "),
        (["--device", "no such device"], "no device matches 'no such device'; there is 0 '"),
    ] {
        let sentence = predicate::function(|text: &str| text.starts_with("wgpt: ") && text.lines().count() == 1);
        verify(&arguments).assert().code(1).stderr(contains(advice).and(sentence));
    }
}
