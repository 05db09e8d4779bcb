//! Benchmarks: figures against hand counts. No test asserts a time.

use predicates::prelude::*;
use predicates::str::contains;
use wgpt::bench::output::{Format, render};
use wgpt::bench::plot::{self, Chart, Roofline};
use wgpt::bench::{KernelRecord, Origin, Roofs, Stats};
use wgpt::formats::DType;
use wgpt::kernels::attention::{self, Heads, Sequence};
use wgpt::kernels::gated_activation::{self, Activation};
use wgpt::kernels::kv_cache::KvType;
use wgpt::kernels::linear::Fused;
use wgpt::kernels::{Work, argmax, embed, gather_rows, head_norm, linear, rms_norm, rope_append};

use crate::support::command::{has_device, wgpt};

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

fn records() -> Vec<KernelRecord> {
    let record = |name: &str, gflops| KernelRecord {
        origin: Origin { bench: "kernels", ..Origin::default() },
        name: name.to_owned(),
        kernel: "matvec".to_owned(),
        variant: "subgroup".to_owned(),
        shape: "m 1, n 2, k 3".to_owned(),
        device_median_ns: Some(1_234_000.0),
        gflops,
        ..KernelRecord::default()
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
    assert!(rows.starts_with("kernels,") && rows.contains(",a|b,matvec,subgroup,,\"m 1, n 2, k 3\","), "{rows}");
    assert_eq!(rows.lines().count(), 2);
}

fn work(flops: u64, read: u64, written: u64) -> Work {
    Work { flops, read, written }
}

#[test]
fn the_work_of_products_is_that_of_a_hand_count() {
    // 2 rows of x with 3 rows of 64 weights: 2 x 3 x 64 multiplications and as many additions.
    let flops = 2 * 2 * 3 * 64;
    let (x, y) = (4 * 2 * 64, 4 * 2 * 3);
    assert_eq!(linear::work(DType::F32, 2, 3, 64), work(flops, 3 * 256 + x, y));
    assert_eq!(linear::work(DType::F16, 2, 3, 64), work(flops, 3 * 128 + x, y));
    // Two groups of 32: 32 bytes of codes each, and two f16 scales in a word.
    assert_eq!(linear::work(DType::Q8_0, 2, 3, 64), work(flops, 3 * (64 + 4) + x, y));
    // 16 bytes of codes each, and a scale and a minimum each.
    assert_eq!(linear::work(DType::Q4_1, 2, 3, 64), work(flops, 3 * (32 + 8) + x, y));
    // A superblock: 128 bytes of nibbles, 4 of (d, dmin), 16 of scales and minima.
    assert_eq!(linear::work(DType::Q4_K, 1, 1, 256), work(512, 148 + 1024, 4));
    // Nothing overflows: the head of Llama 3 for a long chunk.
    assert_eq!(linear::work(DType::F32, 4096, 128_256, 4096).flops, 2 * 4096 * 128_256 * 4096);
}

#[test]
fn the_work_of_products_with_what_they_do_beside_is_that_of_a_hand_count() {
    let with = |fused| linear::fused_work(fused, DType::Q8_0, 2, 4, 64);
    let (products, read) = (2 * 2 * 4 * 64, 4 * (64 + 4) + 4 * 2 * 64);
    // Each of 2 x 4 sums is divided by the root.
    assert_eq!(with(Fused::NormBefore), work(products + 8, read, 4 * 8));
    // Half of them are gates, each with five operations, and half of them remain.
    assert_eq!(with(Fused::NormBeforeAndGate), work(products + 8 + 5 * 4, read, 4 * 4));
    assert_eq!(with(Fused::Gate), work(products + 5 * 4, read, 4 * 4));
    // The stream is read and written, the norm's weights are read.
    assert_eq!(with(Fused::NormBehind), work(products + 4 * 8, read + 4 * 8 + 4 * 4, 2 * 4 * 8));
}

#[test]
fn the_work_of_attention_is_that_of_a_hand_count() {
    let heads = |kv_type, window| Heads { heads: 6, kv_heads: 2, head_dim: 16, kv_type, window, scale: 0.25 };
    let sequence = |position0, tokens| Sequence { row0: 0, tokens, position0, page_row: 0 };
    // One query sees 11 keys: of 6 heads, a product of 16 and a sum of 16 each, and an exponential.
    let vectors = 4 * 6 * 16;
    let decode = work(6 * 11 * (32 + 32 + 1), 2 * 11 * 2 * 16 * 2 + vectors, vectors);
    assert_eq!(attention::work(heads(KvType::F16, 0), &[sequence(10, 1)]), decode);
    // Three queries see 3, 4 and 5 keys; all keys are read once.
    let chunk = work(6 * 12 * 65, 2 * 5 * 2 * 16 * 4 + 3 * vectors, 3 * vectors);
    assert_eq!(attention::work(heads(KvType::F32, 0), &[sequence(2, 3)]), chunk);
    // In a window of 2, each sees 2, and of 5 cached keys the first is seen by none.
    let window = work(6 * 6 * 65, 2 * 4 * 2 * 16 * 4 + 3 * vectors, 3 * vectors);
    assert_eq!(attention::work(heads(KvType::F32, 2), &[sequence(2, 3)]), window);
    let both = attention::work(heads(KvType::F32, 0), &[sequence(2, 3), sequence(2, 3)]);
    assert_eq!(both, chunk + chunk);
}

#[test]
fn the_work_of_the_small_kernels_is_that_of_a_hand_count() {
    assert_eq!(rms_norm::work(rms_norm::Params { rows: 3, dim4: 2, eps: 0.0, offset: 0.0 }), work(96, 128, 96));
    assert_eq!(gated_activation::work(Activation::Silu, 8), work(40, 64, 32));
    assert_eq!(gather_rows::work(2, 8), work(0, 4 * 16 + 8, 4 * 16));
    // 2 tokens of 2 + 1 heads of 8, and both weights; V has no norm.
    let params = head_norm::Params { tokens: 2, heads: 2, kv_heads: 1, dim4: 2, eps: 0.0, offset: 0.0 };
    assert_eq!(head_norm::work(params), work(4 * 48, 4 * (48 + 16), 4 * 48));
    // 2 tokens of 2 heads of Q and one of K, each of 16 pairs, whose turns they share; and as much of V as of K.
    let params = rope_append::Params { tokens: 2, heads: 2, kv_heads: 1, dim4: 8 };
    let read = 4 * (128 + 64 + 64) + 8 * 32 + 8;
    assert_eq!(rope_append::work(KvType::F16, params), work(6 * 96, read, 4 * 128 + 2 * 128));
    // Of a block of 32, a byte each and an f16 scale: of K and of V.
    assert_eq!(rope_append::work(KvType::Q8_0, params), work(6 * 96, read, 4 * 128 + 2 * 64 + 8));
    // 2 rows of 2 runs, of which one is looked into.
    assert_eq!(argmax::work(argmax::Params { rows: 2, width: 20 }), work(36, 4 * 36, 8));
    // A row of 64 in Q8_0 and a token number, each twice.
    assert_eq!(embed::work(DType::Q8_0, 2, 64), work(128, 2 * (68 + 4), 4 * 128));
}

/// 100 GFLOP/s, 10 GB/s read, 8 GB/s copied, 5 us a dispatch.
const ROOFS: Roofs = Roofs { flops: 100e9, read: 10e9, copy: 8e9, dispatch: 5e-6 };

#[test]
fn the_lowest_roof_bounds_the_work() {
    let bound = |work: Work| {
        let bound = ROOFS.bound(&work);
        (bound.name, bound.peak, (bound.seconds * 1e9).round())
    };
    assert_eq!(bound(work(1_000_000_000, 1_000_000, 1000)), ("fma_f32", 100.0, 1e7));
    assert_eq!(bound(work(1_000_000, 10_000_000, 1000)), ("read", 10.0, 1_000_100.0));
    // A third of the bytes is written, or just a quarter.
    assert_eq!(bound(work(1_000_000, 8_000_000, 4_000_000)), ("copy", 8.0, 1_500_000.0));
    assert_eq!(bound(work(0, 3_000_000, 1_000_000)).0, "copy");
    assert_eq!(bound(work(0, 3_000_001, 999_999)).0, "read");
    assert_eq!(bound(work(10, 100, 100)), ("dispatch", 5000.0, 5000.0));
}

#[test]
fn the_roofline_rises_with_the_intensity_up_to_the_peak() {
    assert_eq!(ROOFS.attainable(1.0), 10e9);
    assert_eq!(ROOFS.attainable(10.0), 100e9);
    assert_eq!(ROOFS.attainable(1000.0), 100e9);
    assert_eq!(work(300, 50, 100).intensity(), 2.0);
}

#[test]
fn a_plot_shows_each_device_and_kernel_and_is_written_as_a_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("roofline.svg");
    let measured =
        [KernelRecord { intensity: Some(2.0), gflops: Some(5.0), ..records().remove(0) }, records().remove(1)];
    let roofline = || Roofline { title: "An adapter <1>".to_owned(), roofs: ROOFS, records: &measured };
    let chart = || Chart::Roofline(roofline());
    plot::write(&path, &[chart(), chart()]).expect("written");
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    assert_eq!(text.matches("An adapter &lt;1&gt;").count(), 2);
    assert_eq!(text.matches("matvec").count(), 2, "a legend each");
    assert_eq!(text.matches("100.0 GFLOP/s").count(), 2);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing partial is left");

    let error = plot::write(&folder.path().join("missing/roofline.svg"), &[chart()]).expect_err("no such folder");
    assert!(error.to_string().contains("choose another file"), "{error}");
    // What no chart could show leaves a chart without points.
    let nothing = Chart::Roofline(Roofline { records: &[], ..roofline() });
    plot::write(&path, &[nothing]).expect("written");
}

fn bench_kernels(arguments: &[&str]) -> assert_cmd::Command {
    wgpt(&[&["bench", "kernels"], arguments].concat())
}

#[test]
fn the_records_of_a_run_are_complete_and_sane() {
    if !has_device() {
        return;
    }
    let listing = wgpt(&["devices", "--json"]).output().expect("wgpt runs");
    let listing: serde_json::Value = serde_json::from_slice(&listing.stdout).expect("JSON");
    let device = listing.as_array().expect("a list").iter().find(|device| device["usable"] == true).expect("one");
    let folder = tempfile::tempdir().expect("a folder");
    let plot = folder.path().join("roofline.svg");
    let arguments = [
        "--device",
        &device["index"].to_string(),
        "--case",
        "attn_output",
        "--types",
        "q8_0",
        "--m",
        "1,32",
        "-r",
        "2",
    ];
    let output = ["-o", "json", "--plot", plot.to_str().expect("UTF-8")];
    let run = bench_kernels(&[&arguments[..], &output].concat()).assert().success().get_output().clone();
    assert!(run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    let records: Vec<serde_json::Value> = serde_json::from_slice(&run.stdout).expect("one array and nothing else");
    let number = |record: &serde_json::Value, field: &str| {
        let value = record[field].as_f64().unwrap_or_else(|| panic!("{field} of {record}"));
        assert!(value.is_finite() && value >= 0.0, "{field} of {record}");
        value
    };

    let (peaks, kernels): (Vec<_>, Vec<_>) = records.iter().partition(|record| record["bench"] == "peaks");
    let computes_f16 = device["features"].as_array().expect("a list").iter().any(|feature| feature == "f16");
    assert_eq!(peaks.iter().any(|record| record["name"] == "peak fma_f16"), computes_f16);
    let peak = |name: &str| *peaks.iter().find(|record| record["name"] == name).unwrap_or_else(|| panic!("{name}"));
    for (name, field) in [
        ("peak fma_f32", "gflops"),
        ("peak dot4_i8", "gflops"),
        ("peak read", "gbps"),
        ("peak copy", "gbps"),
        ("peak dispatch", "wall_min_ns"),
        ("peak submit + readback", "wall_min_ns"),
    ] {
        assert!(number(peak(name), field) > 0.0, "{name}");
    }

    let names = |record: &&serde_json::Value| record["name"].as_str().expect("a name").to_owned();
    let mut cases: Vec<String> = kernels.iter().map(names).collect();
    cases.dedup();
    let expected =
        ["q8_0 m1", "with residual, norm q8_0 m1", "q8_0 m32"].map(|case| format!("smollm2 attn_output {case}"));
    assert_eq!(cases, expected);
    assert!(kernels.iter().any(|record| record["kernel"] == "matvec" && record["variant"] == "workgroup"));
    assert!(kernels.iter().any(|record| record["kernel"] == "matmul" && record["variant"] == "tile64"));
    for record in kernels {
        assert_eq!(record["device"], device["name"]);
        assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
        assert!(record["fault"].is_null(), "{record}");
        assert_eq!((&record["samples"], &record["compared"]), (&2.into(), &record["elements"]));
        assert!(number(record, "nmse") < 1e-11 && number(record, "nmse") > 0.0, "{record}");
        for clock in ["device", "wall"].into_iter().filter(|clock| !record[format!("{clock}_min_ns")].is_null()) {
            let at = |figure: &str| number(record, &format!("{clock}_{figure}_ns"));
            assert!(0.0 < at("min") && at("min") <= at("median") && at("median") <= at("p95"), "{record}");
            assert!(at("mean") >= at("min") && at("stddev") >= 0.0, "{record}");
        }
        let clock = if record["device_median_ns"].is_null() { "wall" } else { "device" };
        let median = number(record, &format!("{clock}_median_ns"));
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b;
        assert!(close(number(record, "gflops"), number(record, "flops") / median), "{record}");
        assert!(close(number(record, "gbps"), number(record, "bytes") / median), "{record}");
        assert!(number(record, "percent_of_bound") > 0.0 && number(record, "bound_peak") > 0.0, "{record}");
        assert!(record["settings"].as_str().expect("text").contains("copies of weights"), "{record}");
    }
    let drawing = std::fs::read_to_string(plot).expect("a plot");
    assert!(drawing.contains("matvec") && drawing.contains("matmul"), "{drawing}");
}

#[test]
fn a_software_device_shows_what_decode_loses_to_memory() {
    if !has_device() {
        return;
    }
    let arguments = ["--device", "0", "--shapes", "1700x576", "--types", "q8_0", "--m", "1", "-r", "2", "-o", "json"];
    let run = bench_kernels(&arguments).assert().success().get_output().clone();
    let records: Vec<serde_json::Value> = serde_json::from_slice(&run.stdout).expect("an array");
    let kernels: Vec<_> = records.iter().filter(|record| record["bench"] == "kernels").collect();
    assert!(!kernels.is_empty());
    for record in kernels {
        let share = record["percent_of_inner_loop"].as_f64();
        assert_eq!(share.is_some_and(|share| share > 0.0), record["device_type"] == "software", "{record}");
    }
}

#[test]
fn what_cannot_be_measured_is_said_in_one_sentence() {
    for (arguments, advice) in [
        (["--types", "q9_0"], "there is no storage type 'q9_0'"),
        (["--shapes", "gpt-5"], "there are no shapes of 'gpt-5'; use all, smollm2, "),
        (["-o", "xml"], "there is no output format 'xml'"),
        (["--kernel", "sub"], "argmax, attention, attention_key_lanes"),
        (["--m", "0"], "0 is not in 1..=4096"),
    ] {
        bench_kernels(&arguments).assert().code(2).stdout("").stderr(contains(advice));
    }
    if has_device() {
        let arguments = ["--device", "no such device"];
        bench_kernels(&arguments).assert().code(1).stdout("").stderr(contains("no device matches 'no such device'"));
    }
    bench_kernels(&["--help"]).assert().success().stdout(contains("--plot <FILE.svg>").and(contains("exit code is 1")));
}
