//! Benchmarks of models and comparisons of their records. No test asserts a time.

use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::{contains, is_match};
use serde_json::Value;
use wgpt::bench::compare::{Comparison, Verdict, compare, read};
use wgpt::bench::output::{Format, render};
use wgpt::bench::plot::{self, Chart, Lines, Scale, Series};
use wgpt::bench::{ModelRecord, Origin, depth_chart};

use crate::support::command::{chat_model, has_device, wgpt};

fn record(name: &str, n_depth: usize, samples_ns: Vec<f64>) -> ModelRecord {
    let stats = wgpt::bench::Stats::of(&samples_ns).expect("samples");
    ModelRecord {
        origin: Origin { bench: "model", device: "a device".to_owned(), ..Origin::default() },
        name: name.to_owned(),
        model: "tiny, with a comma".to_owned(),
        n_ubatch: 32,
        n_parallel: 1,
        kv_type: "f16",
        n_depth,
        median_ns: Some(stats.median),
        avg_ns: Some(stats.mean),
        stddev_ns: Some(stats.stddev),
        avg_ts: Some(1e9 / stats.mean),
        stddev_ts: Some(0.25),
        samples_ns,
        ..ModelRecord::default()
    }
}

#[test]
fn a_records_lists_are_arrays_in_json_and_one_cell_in_csv() {
    let records = [record("pp4", 0, vec![2e9, 4e9]), record("tg2", 0, vec![1e9])];
    let json: Value = serde_json::from_str(&render(Format::Json, &records).expect("JSON")).expect("JSON");
    assert_eq!(json[0]["samples_ns"], serde_json::json!([2e9, 4e9]));
    assert_eq!((&json[0]["bench"], &json[0]["median_ns"]), (&"model".into(), &3e9.into()));
    assert!(json[1]["memory_peak"].is_null());

    let csv = render(Format::Csv, &records).expect("CSV");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("rows of the header's length");
    let cell = |row: usize, field: &str| {
        let column = header.iter().position(|name| name == field).unwrap_or_else(|| panic!("{field}"));
        rows[row][column].to_owned()
    };
    assert_eq!(cell(0, "samples_ns"), "2000000000.0;4000000000.0");
    assert_eq!((cell(0, "model"), cell(1, "memory_peak")), ("tiny, with a comma".to_owned(), String::new()));
    let keys: Vec<&String> = json[0].as_object().expect("an object").keys().collect();
    assert_eq!(header.iter().collect::<Vec<_>>(), keys);
}

#[test]
fn a_table_of_models_shows_rates_with_their_deviation() {
    let text = render(Format::Table, &[record("tg2 @ d16", 16, vec![5e8])]).expect("a table");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("model") && lines[0].contains("t/s  median  host a step"), "{text}");
    assert!(
        lines[1].contains("tg2 @ d16") && lines[1].contains("2.00 ± 0.25") && lines[1].contains("  500 ms  "),
        "{text}"
    );
}

/// Writes files and compares them.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Files {
        Files { folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn records(&self, name: &str, format: Format, records: &[ModelRecord]) -> PathBuf {
        self.write(name, &render(format, records).expect("rendered"))
    }
}

fn compared(before: &Path, after: &Path) -> Comparison {
    let read = |path| read(path).unwrap_or_else(|e| panic!("{e}"));
    compare(&read(before), &read(after), 0.05).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_change_counts_if_it_is_beyond_threshold_and_spread() {
    let files = Files::new();
    let around = |center: f64, spread: f64| vec![center - spread, center, center + spread];
    let before = [
        record("same", 0, around(100.0, 1.0)),
        record("slower", 0, around(100.0, 1.0)),
        record("faster", 0, around(100.0, 1.0)),
        record("below the threshold", 0, around(100.0, 0.1)),
        record("within the spread", 0, around(100.0, 20.0)),
        record("gone", 0, vec![1.0]),
    ];
    let after = [
        record("faster", 0, around(90.0, 1.0)),
        record("slower", 0, around(110.0, 1.0)),
        record("same", 0, around(100.0, 1.0)),
        record("below the threshold", 0, around(104.9, 0.1)),
        record("within the spread", 0, around(110.0, 20.0)),
        record("new", 0, vec![1.0]),
    ];
    // Whatever the formats are.
    for (i, format) in [Format::Json, Format::Jsonl, Format::Csv].into_iter().enumerate() {
        let before = files.records("before", format, &before);
        let after = files.records("after", [Format::Csv, Format::Json, Format::Jsonl][i], &after);
        let comparison = compared(&before, &after);
        let verdicts: Vec<(&str, Verdict)> =
            comparison.changes.iter().map(|change| (change.what.as_str(), change.verdict)).collect();
        let expected = [
            ("faster", Verdict::Faster),
            ("slower", Verdict::Slower),
            ("same", Verdict::Same),
            ("below the threshold", Verdict::Same),
            ("within the spread", Verdict::Same),
        ];
        assert_eq!(verdicts, expected);
        assert_eq!((comparison.only_before, comparison.only_after), (vec!["gone".into()], vec!["new".into()]));
        let slower = &comparison.changes[1];
        assert_eq!((slower.before_ns, slower.after_ns), (100.0, 110.0));
        assert!((slower.percent - 10.0).abs() < 1e-9, "{}", slower.percent);
        assert_eq!(slower.settings, "chunk 32, batch 1, KV f16");
    }
}

#[test]
fn other_settings_are_other_measurements_and_several_runs_are_one() {
    let files = Files::new();
    let chunk = |n_ubatch, time| ModelRecord { n_ubatch, ..record("pp4", 0, vec![time]) };
    let before = files.records("before", Format::Json, &[chunk(32, 100.0), chunk(64, 50.0)]);
    let after = files.records("after", Format::Json, &[chunk(64, 50.0), chunk(32, 100.0)]);
    assert!(compared(&before, &after).changes.iter().all(|change| change.percent == 0.0));

    // 100 and 130 are 115 with a range that 125 lies in, though no sample has a deviation.
    let runs = render(Format::Jsonl, &[chunk(32, 100.0)]).expect("a run")
        + &render(Format::Jsonl, &[chunk(32, 130.0)]).expect("a run");
    let before = files.write("runs.jsonl", &runs);
    let after = files.records("one", Format::Jsonl, &[chunk(32, 125.0)]);
    let comparison = compared(&before, &after);
    assert_eq!(comparison.changes.len(), 1);
    assert_eq!((comparison.changes[0].before_ns, comparison.changes[0].verdict), (115.0, Verdict::Same));
}

#[test]
fn kernels_are_compared_by_the_devices_clock_if_there_is_one() {
    let files = Files::new();
    let kernel = |variant: &str, device: Option<f64>, wall: f64| {
        let device = device.map_or(Value::Null, Value::from);
        serde_json::json!({
            "bench": "kernels", "name": "ffn", "kernel": "matvec", "variant": variant,
            "device_median_ns": device, "device_mean_ns": device, "device_stddev_ns": 0.0,
            "wall_median_ns": wall, "wall_mean_ns": wall, "wall_stddev_ns": 0.0,
        })
    };
    let write = |name, kernels: &[Value]| files.write(name, &Value::from(kernels.to_vec()).to_string());
    let before = write("before", &[kernel("clock", Some(10.0), 100.0), kernel("none", None, 100.0)]);
    let after = write("after", &[kernel("clock", Some(20.0), 100.0), kernel("none", None, 50.0)]);
    let comparison = compared(&before, &after);
    let found: Vec<(&str, f64)> =
        comparison.changes.iter().map(|change| (change.what.as_str(), change.percent)).collect();
    assert_eq!(found, [("ffn matvec/clock", 100.0), ("ffn matvec/none", -50.0)]);
}

#[test]
fn a_comparison_fails_on_a_regression_and_says_which() {
    let files = Files::new();
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let before = path(&files.records("before.json", Format::Json, &[record("pp4", 0, vec![100.0])]));
    let slow = path(&files.records("slow.csv", Format::Csv, &[record("pp4", 0, vec![112.0])]));
    wgpt(&["bench", "compare", &before, &before]).assert().success().stdout(contains("+0.0 %  same")).stderr("");
    wgpt(&["bench", "compare", &slow, &before]).assert().success().stdout(contains("-10.7 %  faster"));
    let failed = wgpt(&["bench", "compare", &before, &slow]).assert().code(1).stdout(contains("+12.0 %  SLOWER"));
    failed.stderr(contains("1 of 1 measurements became slower, the most pp4: by 12.0 %"));
    wgpt(&["bench", "compare", "--threshold", "15%", &before, &slow]).assert().success();
    let run = wgpt(&["bench", "compare", "-o", "json", &slow, &before]).assert().success().get_output().clone();
    let changes: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!((&changes[0]["verdict"], &changes[0]["before_ns"]), (&"faster".into(), &112.0.into()));
}

#[test]
fn files_that_cannot_be_compared_are_refused_in_a_sentence() {
    let files = Files::new();
    let good = files.records("good", Format::Json, &[record("pp4", 0, vec![100.0])]);
    let other = files.records("other", Format::Json, &[record("pp8", 0, vec![100.0])]);
    let missing = files.folder.path().join("missing");
    for (path, sentence) in [
        (missing, "cannot read "),
        (files.write("broken", "[{\"bench\":"), "is neither JSON, JSON lines nor CSV"),
        (files.write("text", "hello\nworld\n"), "it has no column 'bench'"),
        (files.write("numbers", "[1, 2]"), "is neither JSON, JSON lines nor CSV"),
        (files.write("nothing", "[]"), "has no measurements"),
        (files.write("untimed", r#"{"bench": "model", "median_ns": null}"#), "has no measurements"),
        (other, "no measurement in common"),
    ] {
        let arguments = ["bench", "compare", good.to_str().expect("UTF-8"), path.to_str().expect("UTF-8")];
        wgpt(&arguments)
            .assert()
            .code(1)
            .stdout("")
            .stderr(contains(sentence))
            .stderr(is_match(r"^wgpt: [^\n]+\n$").unwrap());
    }
    let wrong = ["bench", "compare", "a", "b", "--threshold", "much"];
    wgpt(&wrong).assert().code(2).stderr(contains("use a number of percent"));
}

#[test]
fn rates_over_the_depth_are_a_line_for_each_test() {
    let records = [record("tg2 @ d64", 64, vec![2e9]), record("tg2", 0, vec![1e9]), record("pp4 @ d64", 64, vec![1e9])];
    let chart = depth_chart(&records);
    let lines: Vec<(&str, &[(f64, f64)])> =
        chart.series.iter().map(|series| (series.name.as_str(), series.points.as_slice())).collect();
    let expected: [(&str, &[(f64, f64)]); 2] =
        [("tg2, chunk 32, batch 1", &[(0.0, 1.0), (64.0, 0.5)]), ("pp4, chunk 32, batch 1", &[(64.0, 1.0)])];
    assert_eq!(lines, expected);
}

#[test]
fn charts_of_lines_show_their_series_whatever_the_points_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines.svg");
    for scale in [Scale::Linear, Scale::Logarithmic] {
        for points in [vec![], vec![(0.0, 1.0)], vec![(1.0, 5.0), (10.0, f64::NAN), (100.0, 7.0)]] {
            let series = |name: &str| Series { name: name.to_owned(), points: points.clone(), fitted: points.clone() };
            let lines = Lines {
                title: "A <title>".to_owned(),
                x_label: "tokens".to_owned(),
                y_label: "milliseconds".to_owned(),
                scale,
                series: vec![series("one"), series("another")],
            };
            plot::write(&path, &[Chart::Lines(lines)]).unwrap_or_else(|e| panic!("{points:?}: {e}"));
            let text = std::fs::read_to_string(&path).expect("a file");
            for wanted in ["A &lt;title&gt;", "milliseconds", "another"] {
                assert!(text.contains(wanted), "{wanted}: {text}");
            }
            assert!(!text.contains("NaN"), "{text}");
        }
    }
}

/// Runs a benchmark of the tiny chat model.
fn bench(what: &str, arguments: &[&str]) -> assert_cmd::Command {
    let model = chat_model();
    wgpt(&[&["bench", what, "-m", model.to_str().expect("UTF-8")], arguments].concat())
}

fn number(record: &Value, field: &str) -> f64 {
    let value = record[field].as_f64().unwrap_or_else(|| panic!("{field} of {record}"));
    assert!(value.is_finite() && value >= 0.0, "{field} of {record}");
    value
}

#[test]
fn a_model_has_a_record_for_each_combination_of_settings() {
    if !has_device() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("depth.svg");
    let arguments =
        ["-p", "20", "-n", "3", "-pg", "20,2", "-d", "0,32", "-r", "2", "--chunk-size", "8,16", "--batch", "1,3"];
    let output = ["-o", "json", "--plot", svg.to_str().expect("UTF-8")];
    let run = bench("model", &[&arguments[..], &output].concat()).assert().success().get_output().clone();
    assert!(run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    let records: Vec<Value> = serde_json::from_slice(&run.stdout).expect("one array and nothing else");
    let names: Vec<&str> = records.iter().map(|record| record["name"].as_str().expect("a name")).collect();
    let tests = ["pp20", "tg3", "pp20+tg2", "pp20 @ d32", "tg3 @ d32", "pp20+tg2 @ d32"];
    assert_eq!(names, tests.repeat(4));
    let settings: Vec<(u64, u64)> =
        records.iter().map(|record| (number(record, "n_parallel") as u64, number(record, "n_ubatch") as u64)).collect();
    let expected: Vec<(u64, u64)> = [(1, 8), (1, 16), (3, 8), (3, 16)].into_iter().flat_map(|one| [one; 6]).collect();
    assert_eq!(settings, expected);
    for record in &records {
        let tokens = number(record, "n_parallel") * (number(record, "n_prompt") + number(record, "n_gen"));
        let samples = record["samples_ns"].as_array().expect("a list");
        assert_eq!(samples.len(), 2);
        for (time, rate) in samples.iter().zip(record["samples_ts"].as_array().expect("a list")) {
            let (time, rate) = (time.as_f64().expect("a time"), rate.as_f64().expect("a rate"));
            assert!(time > 0.0 && (rate * time / 1e9 - tokens).abs() < 1e-6, "{record}");
        }
        let mean = samples.iter().filter_map(Value::as_f64).sum::<f64>() / 2.0;
        assert!((number(record, "avg_ns") - mean).abs() < 1e-3 * mean, "{record}");
        assert!(number(record, "avg_ts") > 0.0 && number(record, "min_ns") <= number(record, "median_ns"), "{record}");
        assert_eq!(record["host_ns_per_step"].is_null(), number(record, "n_gen") == 0.0, "{record}");
        let parts = ["device", "read", "upload", "compile"].map(|part| number(record, &format!("load_{part}_ns")));
        assert!(parts.iter().sum::<f64>() <= number(record, "load_ns"), "{record}");
        assert!(number(record, "load_ns") < number(record, "first_token_ns"), "{record}");
        assert!(number(record, "memory_weights") > 0.0 && number(record, "max_storage_binding") > 0.0, "{record}");
        assert_eq!((&record["bench"], &record["version"]), (&"model".into(), &env!("CARGO_PKG_VERSION").into()));
    }
    let cache = |record: &Value| number(record, "memory_kv_cache");
    assert!(cache(&records[12]) >= 3.0 * cache(&records[0]), "three sequences have three caches");
    let drawing = std::fs::read_to_string(svg).expect("a plot");
    assert!(drawing.starts_with("<svg") && drawing.contains("pp20+tg2, chunk 16, batch 3"), "{drawing}");
}

#[test]
fn one_test_makes_one_record_and_people_get_a_table_with_what_loading_took() {
    if !has_device() {
        return;
    }
    let run = bench("model", &["-p", "0", "-n", "2", "-d", "7", "-r", "1", "-o", "json"]).assert().success();
    let records: Vec<Value> = serde_json::from_slice(&run.get_output().stdout).expect("JSON");
    assert_eq!(records.iter().map(|record| &record["name"]).collect::<Vec<_>>(), ["tg2 @ d7"]);
    let table = bench("model", &["-p", "4", "-n", "0", "-r", "1", "-o", "md"]).assert().success();
    table
        .stdout(is_match(r"\| pp4 \| [0-9.]+ ± 0\.00 \| [0-9.]+ [num]?s \| - \|\n").unwrap())
        .stdout(is_match(r"\(device .*, read .*, upload .*, compile .*\), first token after .*; weights ").unwrap());
}

#[test]
fn growth_is_measured_beside_what_operations_predict() {
    if !has_device() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("growth.svg");
    let arguments = ["--max", "16", "-o", "json", "--plot", svg.to_str().expect("UTF-8")];
    let run = bench("complexity", &arguments).assert().success().get_output().clone();
    assert!(run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    let records: Vec<Value> = serde_json::from_slice(&run.stdout).expect("one array and nothing else");
    let series = |name: &str| records.iter().filter(|record| record["name"] == name).collect::<Vec<_>>();
    for (name, tokens, grows_by) in [
        ("generation with the cache", &[8.0, 16.0][..], 2f64),
        ("generation without a cache", &[8.0, 16.0], 4.0),
        ("prefill", &[16.0, 32.0, 64.0, 128.0], 2.0),
    ] {
        let points = series(name);
        assert_eq!(points.iter().map(|point| number(point, "tokens")).collect::<Vec<_>>(), tokens);
        let operations: Vec<f64> = points.iter().map(|point| number(point, "operations")).collect();
        // In so small a model the head, which only one token of a prompt goes through, is no small part.
        assert!(operations.windows(2).all(|pair| pair[1] > 0.8 * grows_by * pair[0]), "{name}: {operations:?}");
        let predicted = number(points[0], "predicted_exponent");
        // By the same fit; of two points, it is the slope between them.
        let slope =
            (operations[operations.len() - 1] / operations[0]).ln() / (tokens[tokens.len() - 1] / tokens[0]).ln();
        assert!((predicted - slope).abs() < 0.05, "{name}: {predicted}, {slope}");
        assert!(points.iter().all(|point| number(point, "median_ns") > 0.0));
        assert!(points[0]["exponent"].is_number(), "{name}");
    }
    let decode = series("decode step");
    assert!(decode.len() >= 5);
    assert!((number(decode[0], "predicted_exponent") - 1.0).abs() < 1e-3, "linear in the context");
    assert_eq!(decode[0]["samples_ns"].as_array().map(Vec::len), Some(3));
    let drawing = std::fs::read_to_string(svg).expect("a plot");
    assert!(drawing.contains("generation without a cache") && drawing.contains("milliseconds"), "{drawing}");

    let table = bench("complexity", &["--max", "16"]).assert().success();
    table.stdout(contains("T^2 dim^2 + T^3 dim").and(contains("exponent, measured")).and(contains("GFLOP/s")));
}

#[test]
fn what_cannot_be_measured_of_a_model_is_said_in_one_sentence() {
    for (arguments, advice) in [
        (&["-p", "512,x"][..], "invalid value 'x'"),
        (&["-pg", "512"], "use two numbers of tokens"),
        (&["--batch", "0"], "0 is not in 1..=256"),
        (&["--chunk-size", "0"], "use a number of tokens, 1 or more"),
        (&["-o", "xml"], "there is no output format 'xml'"),
    ] {
        bench("model", arguments).assert().code(2).stdout("").stderr(contains(advice));
    }
    for (arguments, advice) in [
        (&["-p", "0", "-n", "0"][..], "there is nothing to measure"),
        (&["-p", "4", "-d", "20"], "20 tokens of context, as the cache keeps them in pages of 16"),
    ] {
        bench("model", arguments).assert().code(1).stdout("").stderr(contains(advice));
    }
    if has_device() {
        let too_long = bench("model", &["-p", "100000"]).assert().code(1).stdout("").get_output().clone();
        let sentence = String::from_utf8_lossy(&too_long.stderr).into_owned();
        assert!(
            sentence.contains("the tests need a context of 100001 tokens and the model was made for"),
            "{sentence}"
        );
    }
    wgpt(&["bench", "model", "-m", "no such model.gguf"]).assert().code(1).stdout("");
    // Found out before anything is measured, or even looked for.
    for command in
        [&["model", "-m", "no such model.gguf"][..], &["complexity", "-m", "no such model.gguf"], &["kernels"]]
    {
        for plot in ["no/such/folder/x.svg", "."] {
            let sentence = format!("the plot cannot be written to {plot}");
            let arguments = [&["bench"], command, &["--plot", plot]].concat();
            wgpt(&arguments).assert().code(1).stdout("").stderr(contains(sentence));
        }
    }
    for (command, wanted) in [("model", "tg128"), ("complexity", "KV cache"), ("compare", "exit code is 1")] {
        wgpt(&["bench", command, "--help"]).assert().success().stdout(contains(wanted).and(contains("Examples:")));
    }
}
