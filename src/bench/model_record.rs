//! How fast a model runs, as a record and as a line of a table.

use serde::Serialize;

use super::Origin;
use super::output::{Column, Tabular};
use super::plot::{Lines, Scale, Series};
use crate::units::{count, duration, size};

/// One test of a model. Fields that llama-bench has, too, have its names. Times are nanoseconds, sizes bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelRecord {
    #[serde(flatten)]
    pub origin: Origin,
    /// `pp512`, `tg128 @ d512`.
    pub name: String,
    /// As the checkpoint names itself.
    pub model: String,
    pub model_filename: String,
    /// Family and quantisation.
    pub model_type: String,
    /// Of all tensors.
    pub model_size: u64,
    pub model_n_params: u64,
    /// Tokens of context that the cache had room for, in each sequence.
    pub n_ctx: u32,
    /// Tokens of a prefill chunk.
    pub n_ubatch: u32,
    /// Sequences that ran at once.
    pub n_parallel: u32,
    pub kv_type: &'static str,
    /// Whether kernels were chosen for logits that are the same to the bit.
    pub deterministic: bool,
    /// Which kernel does what.
    pub kernels: String,
    /// Tokens of each sequence: computed as a prompt, generated, and there before.
    pub n_prompt: usize,
    pub n_gen: usize,
    pub n_depth: usize,
    pub samples_ns: Vec<f64>,
    pub avg_ns: Option<f64>,
    pub stddev_ns: Option<f64>,
    pub median_ns: Option<f64>,
    pub min_ns: Option<f64>,
    pub p95_ns: Option<f64>,
    /// Tokens a second, of all sequences together.
    pub samples_ts: Vec<f64>,
    pub avg_ts: Option<f64>,
    pub stddev_ts: Option<f64>,
    /// Of a step that generates a token: the host's own part, without waiting for the device.
    pub host_ns_per_step: Option<f64>,
    /// From nothing to a loaded model, and what of it went where.
    pub load_ns: u64,
    pub load_device_ns: u64,
    pub load_read_ns: u64,
    pub load_upload_ns: u64,
    pub load_compile_ns: u64,
    /// From nothing to the first token behind a prompt of 16 tokens.
    pub first_token_ns: u64,
    /// On the device.
    pub memory_weights: u64,
    pub memory_kv_cache: u64,
    pub memory_scratch: u64,
    /// Resident memory of the process at its largest so far, which on a software device holds the device's, too. `None`
    /// where the system does not say.
    pub memory_peak: Option<u64>,
}

impl Tabular for ModelRecord {
    const COLUMNS: &'static [Column] = &[
        Column::text("model"),
        Column::number("size"),
        Column::number("params"),
        Column::text("backend"),
        Column::text("KV"),
        Column::number("chunk"),
        Column::number("batch"),
        Column::text("test"),
        Column::number("t/s"),
        Column::number("median"),
        Column::number("host a step"),
    ];

    fn cells(&self) -> Vec<String> {
        let rate = self.avg_ts.zip(self.stddev_ts);
        vec![
            format!("{} {}", self.model, self.model_type),
            size(self.model_size),
            count(self.model_n_params),
            self.origin.backend.clone(),
            self.kv_type.to_owned(),
            self.n_ubatch.to_string(),
            self.n_parallel.to_string(),
            self.name.clone(),
            rate.map_or_else(|| "-".to_owned(), |(mean, deviation)| format!("{mean:.2} ± {deviation:.2}")),
            self.median_ns.map_or_else(|| "-".to_owned(), duration),
            self.host_ns_per_step.map_or_else(|| "-".to_owned(), duration),
        ]
    }
}

impl ModelRecord {
    /// What loading took and what memory there was, in a line for people. It is the same for all tests of a loaded model.
    pub fn describe_load(&self) -> String {
        let time = |nanoseconds: u64| duration(nanoseconds as f64);
        let peak = self.memory_peak.map_or_else(String::new, |bytes| format!(", process {} at its peak", size(bytes)));
        format!(
            "chunk {}, batch {}: loaded in {} (device {}, read {}, upload {}, compile {}), first token after {}; \
             weights {}, KV cache {}, scratch {}{peak}",
            self.n_ubatch,
            self.n_parallel,
            time(self.load_ns),
            time(self.load_device_ns),
            time(self.load_read_ns),
            time(self.load_upload_ns),
            time(self.load_compile_ns),
            time(self.first_token_ns),
            size(self.memory_weights),
            size(self.memory_kv_cache),
            size(self.memory_scratch),
        )
    }
}

/// Tokens a second over the depth, a line for each test with the same settings.
pub fn depth_chart(records: &[ModelRecord]) -> Lines {
    let mut series: Vec<Series> = Vec::new();
    for record in records {
        let what = record.name.split(" @ ").next().unwrap_or_default();
        let name = format!("{what}, chunk {}, batch {}", record.n_ubatch, record.n_parallel);
        let Some(rate) = record.avg_ts else { continue };
        let point = (record.n_depth as f64, rate);
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) => series.points.push(point),
            None => series.push(Series { name, points: vec![point], fitted: Vec::new() }),
        }
    }
    series.iter_mut().for_each(|series| series.points.sort_by(|a, b| a.0.total_cmp(&b.0)));
    let title = records.first().map(|record| format!("{} on {}", record.model, record.origin.device));
    Lines {
        title: title.unwrap_or_default(),
        x_label: "tokens of context before".to_owned(),
        y_label: "tokens a second".to_owned(),
        scale: Scale::Linear,
        series,
    }
}
