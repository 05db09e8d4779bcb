//! `wgpt tune`, `--variant`, and what `wgpt devices -v` and a run say of the kernels that were chosen.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::support::command::{chat_model, has_device, wgpt};

const QUESTION: &str = "What is a GPU?";
const ANSWER: &str = "A GPU is a processor that does many small sums at once.";

fn command(cache: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let mut command = wgpt(arguments);
    command.env("WGPT_CACHE", cache);
    command
}

fn run(cache: &Path, arguments: &[&str]) -> assert_cmd::Command {
    let model = chat_model();
    let run = ["run", "-m", model.to_str().expect("UTF-8"), "--temp", "0"];
    command(cache, &[&run, arguments, &[QUESTION]].concat())
}

fn stdout(mut command: assert_cmd::Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).expect("UTF-8")
}

fn kernels(cache: &Path, arguments: &[&str]) -> Vec<String> {
    let answer: Value = serde_json::from_str(&stdout(run(cache, &[&["--json"], arguments].concat()))).expect("JSON");
    assert_eq!(answer["text"], ANSWER);
    serde_json::from_value(answer["kernels"].clone()).expect("texts")
}

/// The file that a tuning of the device that a run takes is kept in.
fn tuning_file(cache: &Path) -> PathBuf {
    let entries = fs::read_dir(cache).expect("folder").map(|entry| entry.expect("entry").path());
    let is_tuning = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tuning-"));
    let found: Vec<PathBuf> = entries.filter(is_tuning).collect();
    let [file] = &found[..] else { panic!("one file: {found:?}") };
    file.clone()
}

#[test]
fn mistakes_in_variants_exit_with_2_and_say_what_is_allowed() {
    for (variant, advice) in [
        ("matvec", "ROLE=VARIANT"),
        ("linear=matvec", "no role 'linear'; use linear.decode"),
        ("linear.prefill=matvec", "'matvec' is no kernel for linear.prefill; use matmul64"),
    ] {
        wgpt(&["run", "-m", ".", "x", "--variant", variant]).assert().code(2).stderr(contains(advice));
    }
    let deterministic = ["run", "-m", ".", "x", "--deterministic", "--variant", "linear.decode=matvec"];
    wgpt(&deterministic).assert().code(2).stderr(contains("cannot be used with"));
}

#[test]
fn a_variant_that_is_forced_is_used_and_gives_the_answer() {
    if !has_device() {
        return;
    }
    let nowhere = Path::new("off");
    for (variant, line) in [
        ("linear.decode=matvec,linear.short=matmul32", "linear.decode: matvec"),
        ("linear.decode=matvec_blocks,attention=attention", "linear.decode: matvec_blocks"),
    ] {
        let used = kernels(nowhere, &["--variant", variant]);
        assert!(used.iter().any(|kernel| kernel == line), "{used:?}");
    }
}

#[test]
fn a_variant_that_the_device_cannot_run_is_an_error_with_those_that_it_can() {
    let devices: Value = serde_json::from_str(&stdout(wgpt(&["devices", "--json"]))).unwrap_or_default();
    let without = devices.as_array().into_iter().flatten().find(|device| {
        device["usable"] == true && !device["features"].as_array().is_some_and(|f| f.contains(&json!("subgroups")))
    });
    let Some(index) = without.map(|device| device["index"].to_string()) else { return };
    let needs = "needs subgroups of at least 4 lanes; it can run matmul64, matmul32, matvec, matvec_blocks";
    run(Path::new("off"), &["--device", &index, "--variant", "linear.decode=matvec_subgroup"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains(needs));
}

#[test]
fn what_was_measured_is_used_until_it_is_stale_or_forgotten() {
    if !has_device() {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let cache = folder.path();
    let model = chat_model();
    let tune = ["tune", "-r", "1", "-m", model.to_str().expect("UTF-8")];
    let tuned = stdout(command(cache, &tune));
    assert!(tuned.contains("linear.decode (1 token): ") && tuned.contains("tuned on 20"), "{tuned}");

    // Whatever was fastest here, the slow kernels are taken if the file says so.
    let file = tuning_file(cache);
    let good = fs::read_to_string(&file).expect("text");
    let (header, body) = good.split_once('\n').expect("a header");
    let mut tuning: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(tuning["model"], "chat");
    let results = tuning["results"].as_array_mut().expect("a list");
    let decode = results.iter_mut().find(|result| result["role"] == "linear.decode").expect("measured");
    let listed = |what: &str| decode[what].as_array().map_or(0, Vec::len);
    assert!(listed("measured") > 0 && listed("measured") + listed("given_up") > 1, "{decode}");
    decode["chosen"] = json!("matvec_blocks");
    let measured = json!([{ "variant": "matvec", "milliseconds": 0.25 }]);
    decode["exceptions"] = json!([{ "weights": "q6_k", "chosen": "matvec", "measured": measured }]);
    let rewritten = with_body(header, &tuning.to_string());
    fs::write(&file, &rewritten).expect("written");
    let used = kernels(cache, &[]);
    assert_eq!(used[..2], ["linear.decode: matvec_blocks", "linear.decode q6_k: matvec"]);
    let forced = kernels(cache, &["--variant", "linear.decode=matvec"]);
    assert!(forced[0] == "linear.decode: matvec" && !forced[1].starts_with("linear.decode"), "{forced:?}");
    let deterministic = kernels(cache, &["--deterministic"]);
    assert_eq!(deterministic, kernels(Path::new("off"), &["--deterministic"]));
    command(cache, &["devices", "-v"])
        .assert()
        .success()
        .stdout(contains("linear.decode (1 token): matvec_blocks - tuned on 20"))
        .stdout(
            contains("linear.decode (1 token, q6_k weights): matvec - tuned on 20").and(contains(": matvec 0.250 ms")),
        );

    for (bad, says) in [
        (rewritten[..rewritten.len() - 1].to_owned(), "damaged"),
        (rewritten.replacen("\"driver\":\"", "\"driver\":\"older ", 1), "another driver"),
        (rewritten.replacen("\"wgpt\":\"", "\"wgpt\":\"0", 1), "another version of wgpt"),
        (with_body(header, "{}"), "another version of wgpt"),
    ] {
        fs::write(&file, bad).expect("written");
        for mut command in [run(cache, &["-n", "1"]), command(cache, &["devices", "-v"])] {
            let ignored = contains("tuning-").and(contains("is not used")).and(contains(says));
            command.assert().success().stderr(ignored);
        }
    }

    command(cache, &["tune", "--forget"]).assert().success();
    assert!(!file.exists());
    command(cache, &["tune", "--forget"]).assert().success().stderr(contains("nothing was measured"));
    wgpt(&["tune"]).assert().code(1).stderr(contains("WGPT_CACHE"));
}

/// A file of the cache with another content, and the checksum of that.
fn with_body(header: &str, body: &str) -> String {
    use sha2::{Digest, Sha256};
    let sha256: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut header: Value = serde_json::from_str(header).expect("JSON");
    header["sha256"] = json!(sha256);
    format!("{header}\n{body}")
}
