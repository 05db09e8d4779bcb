//! Benchmarks: figures against hand counts. No test asserts a time.

use wgpt::bench::output::{Format, render};
use wgpt::bench::{Record, Stats};

#[test]
fn statistics_are_those_of_the_definitions() {
    // NumPy: percentile([1, 2, 3, 4, 10], 95) = 8.8, std(ddof=1) = 3.5355.
    let stats = Stats::of(&[10.0, 1.0, 3.0, 2.0, 4.0]).expect("five values");
    assert_eq!((stats.samples, stats.min, stats.median, stats.mean), (5, 1.0, 3.0, 4.0));
    assert!((stats.p95 - 8.8).abs() < 1e-12, "{}", stats.p95);
    assert!((stats.stddev - 12.5f64.sqrt()).abs() < 1e-12, "{}", stats.stddev);
    assert_eq!(Stats::of(&[1.0, 2.0]).expect("two values").median, 1.5);
    let one = Stats::of(&[7.0]).expect("one value");
    assert_eq!((one.min, one.median, one.p95, one.mean, one.stddev), (7.0, 7.0, 7.0, 7.0, 0.0));
    assert_eq!(Stats::of(&[]), None);
    assert_eq!(Stats::of(&[1.0, f64::NAN]), None);
}

fn records() -> Vec<Record> {
    let record = |name: &str, gflops| Record {
        bench: "kernels",
        name: name.to_owned(),
        kernel: "matvec".to_owned(),
        variant: "subgroup".to_owned(),
        shape: "m 1, n 2, k 3".to_owned(),
        device_median_ns: Some(1_234_000.0),
        gflops,
        ..Record::default()
    };
    vec![record("a|b", Some(12.34)), record("plain", None)]
}

#[test]
fn a_table_is_aligned_and_leaves_out_what_was_not_measured() {
    let text = render(Format::Table, &records()).expect("a table");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let at = lines[0].find("kernel/variant").expect("a heading");
    assert!(lines[1..].iter().all(|line| line[at..].starts_with("matvec/subgroup  ")), "{text}");
    assert!(lines[1].contains("1.23 ms") && lines[1].contains("12.3") && !lines[2].contains("12.3"), "{text}");
    let markdown = render(Format::Md, &records()).expect("markdown");
    assert!(markdown.contains("| a\\|b | matvec/subgroup |") && markdown.contains("| --- | --- | --:"), "{markdown}");
}

#[test]
fn records_are_objects_with_every_field_in_each_format_for_programs() {
    let array: serde_json::Value = serde_json::from_str(&render(Format::Json, &records()).unwrap()).expect("JSON");
    let lines = render(Format::Jsonl, &records()).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(array, serde_json::Value::from(lines));
    assert_eq!(array[0]["gflops"], 12.34);
    assert!(array[1]["gflops"].is_null());

    let text = render(Format::Csv, &records()).unwrap();
    let (header, rows) = text.split_once('\n').expect("a header");
    let fields: Vec<&str> = header.split(',').collect();
    let keys: Vec<&String> = array[0].as_object().expect("an object").keys().collect();
    assert_eq!(fields, keys);
    assert!(rows.starts_with("kernels,a|b,matvec,subgroup,,\"m 1, n 2, k 3\","), "{rows}");
    assert_eq!(rows.lines().count(), 2);
}
