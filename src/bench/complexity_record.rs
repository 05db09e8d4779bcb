//! How a model's time grows: records, tables and a chart.

use serde::Serialize;

use super::Origin;
use super::complexity::{Point, Series};
use super::output::{Column, Tabular};
use super::plot::{self, Lines, Scale};
use crate::engine::{EngineOptions, ModelInfo};
use crate::stats::{Estimate, Stats};
use crate::units::{duration, three_digits};

/// One point of a series. Times are nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ComplexityRecord {
    #[serde(flatten)]
    pub origin: Origin,
    /// What grows: `generation with the cache`, `decode step`.
    pub name: String,
    /// The length: tokens generated, of the prompt, or of the context.
    pub tokens: f64,
    pub model: String,
    pub model_type: String,
    pub model_n_params: u64,
    pub n_ctx: u32,
    pub n_ubatch: u32,
    pub kv_type: &'static str,
    pub deterministic: bool,
    pub kernels: String,
    pub samples_ns: Vec<f64>,
    pub avg_ns: Option<f64>,
    pub stddev_ns: Option<f64>,
    pub median_ns: f64,
    /// That the model takes there, by counting.
    pub operations: f64,
    /// In the number of tokens and the model's width.
    pub theory: String,
    /// Of the whole series, with its standard error, and what counting operations predicts over the same lengths.
    pub exponent: Option<f64>,
    pub exponent_error: Option<f64>,
    pub predicted_exponent: Option<f64>,
}

impl ComplexityRecord {
    pub(super) fn new(info: &ModelInfo, options: &EngineOptions, series: &Series, point: &Point) -> ComplexityRecord {
        let stats = Stats::of(&point.samples_ns);
        let exponent = series.measured.map(|law| law.exponent());
        ComplexityRecord {
            origin: Origin::of_device("complexity", &info.device),
            name: series.what.to_owned(),
            tokens: point.tokens,
            model: info.name.clone(),
            model_type: format!("{} {}", info.architecture, info.quantisation),
            model_n_params: info.parameters,
            n_ctx: info.context,
            n_ubatch: info.chunk_size,
            kv_type: options.kv_type.name(),
            deterministic: options.deterministic,
            kernels: info.kernels.join("; "),
            samples_ns: point.samples_ns.clone(),
            avg_ns: stats.map(|stats| stats.mean),
            stddev_ns: stats.map(|stats| stats.stddev),
            median_ns: point.median_ns,
            operations: point.operations,
            theory: series.theory.to_owned(),
            exponent: exponent.map(|exponent| exponent.value),
            exponent_error: exponent.map(|exponent| exponent.error).filter(|error| error.is_finite()),
            predicted_exponent: series.predicted.map(|law| law.exponent().value),
        }
    }
}

impl Tabular for ComplexityRecord {
    const COLUMNS: &'static [Column] = &[
        Column::text("what"),
        Column::number("tokens"),
        Column::number("time"),
        Column::number("GFLOP"),
        Column::number("GFLOP/s"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            format!("{:.0}", self.tokens),
            duration(self.median_ns),
            three_digits(self.operations / 1e9),
            three_digits(self.operations / self.median_ns),
        ]
    }
}

/// A series in a line.
#[derive(Serialize)]
pub struct Exponents<'a> {
    what: &'a str,
    theory: &'a str,
    limits: &'a str,
    measured: String,
    predicted: String,
}

/// The exponents of each series, measured and predicted.
pub fn exponents(series: &[Series]) -> Vec<Exponents<'_>> {
    let text = |exponent: Option<Estimate>| match exponent {
        None => "-".to_owned(),
        Some(Estimate { value, error }) if error.is_finite() => format!("{value:.2} ± {error:.2}"),
        Some(Estimate { value, .. }) => format!("{value:.2}"),
    };
    let line =
        |one: &'_ Series| (one.measured.map(|law| law.exponent()), one.predicted.map(|law| law.exponent().value));
    series
        .iter()
        .map(|one| {
            let (measured, predicted) = line(one);
            Exponents {
                what: one.what,
                theory: one.theory,
                limits: one.limits,
                measured: text(measured),
                predicted: predicted.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}")),
            }
        })
        .collect()
}

impl Tabular for Exponents<'_> {
    const COLUMNS: &'static [Column] = &[
        Column::text("what"),
        Column::text("operations"),
        Column::number("exponent, measured"),
        Column::number("predicted here"),
        Column::text("from dim to length"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.what.to_owned(),
            self.theory.to_owned(),
            self.measured.clone(),
            self.predicted.clone(),
            self.limits.to_owned(),
        ]
    }
}

/// Milliseconds over tokens, with the fitted laws.
pub fn growth_chart(series: &[Series], records: &[ComplexityRecord]) -> Lines {
    let curve = |one: &Series| {
        let ends = one.points.first().zip(one.points.last());
        let Some(((first, last), law)) = ends.zip(one.measured) else { return Vec::new() };
        let ratio = last.tokens / first.tokens;
        let place = |i: u32| first.tokens * ratio.powf(f64::from(i) / 50.0);
        (0..=50).map(place).map(|tokens| (tokens, law.at(tokens) / 1e6)).collect()
    };
    let drawn = |one: &Series| plot::Series {
        name: match one.measured {
            Some(law) => format!("{}: exponent {:.2}", one.what, law.exponent().value),
            None => one.what.to_owned(),
        },
        points: one.points.iter().map(|point| (point.tokens, point.median_ns / 1e6)).collect(),
        fitted: curve(one),
    };
    let title = records.first().map(|record| format!("{} on {}", record.model, record.origin.device));
    Lines {
        title: title.unwrap_or_default(),
        x_label: "tokens".to_owned(),
        y_label: "milliseconds".to_owned(),
        scale: Scale::Logarithmic,
        series: series.iter().map(drawn).collect(),
    }
}
