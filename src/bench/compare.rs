//! Two runs of the benchmarks side by side: what became slower or faster, beyond what chance does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::output::{Column, Tabular};
use crate::units::duration;

/// What tells one measurement from another. Drivers, versions and commits are what is compared.
const IDENTITY: [&str; 14] = [
    "bench",
    "name",
    "kernel",
    "variant",
    "tokens",
    "model",
    "model_type",
    "n_ubatch",
    "n_parallel",
    "kv_type",
    "deterministic",
    "device",
    "backend",
    "clock",
];

/// Why files cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("cannot read {}: {source}", .path.display())]
    Reading { path: PathBuf, source: std::io::Error },
    #[error("{} is neither JSON, JSON lines nor CSV of `wgpt bench`: {reason}", .path.display())]
    Format { path: PathBuf, reason: String },
    #[error("{} has no measurements; make some with `wgpt bench model -m MODEL -o json`", .path.display())]
    Empty { path: PathBuf },
    #[error(
        "the files have no measurement in common; compare runs of the same tests, with the same settings, on the same device"
    )]
    NothingInCommon,
}

/// How long something took, in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The fields that tell it from others, as text.
    identity: Map<String, Value>,
    pub median: f64,
    /// One standard deviation around the mean.
    pub low: f64,
    pub high: f64,
}

/// Reads the records of a file: a JSON array, an object a line, or CSV. Several of the same measurement become one, whose
/// spread covers all of theirs.
///
/// # Errors
/// When the file cannot be read, is none of these, or has no record of a time.
pub fn read(path: &Path) -> Result<Vec<Measurement>, CompareError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CompareError::Reading { path: path.to_owned(), source })?;
    let records = parse(&text).map_err(|reason| CompareError::Format { path: path.to_owned(), reason })?;
    let measurements = merged(records.iter().filter_map(Measurement::of_record));
    if measurements.is_empty() { Err(CompareError::Empty { path: path.to_owned() }) } else { Ok(measurements) }
}

fn parse(text: &str) -> Result<Vec<Map<String, Value>>, String> {
    match text.trim_start().chars().next() {
        Some('[') => serde_json::from_str(text).map_err(|e| e.to_string()),
        Some('{') => {
            let objects = serde_json::Deserializer::from_str(text).into_iter();
            objects.collect::<Result<_, _>>().map_err(|e| e.to_string())
        }
        _ => {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let header = reader.headers().map_err(|e| e.to_string())?.clone();
            if !header.iter().any(|field| field == "bench") {
                return Err("it has no column 'bench'".to_owned());
            }
            let object = |row: csv::StringRecord| {
                let cells = header.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
                cells.map(|(field, cell)| (field.to_owned(), Value::from(cell))).collect()
            };
            reader.records().map(|row| row.map(object).map_err(|e| e.to_string())).collect()
        }
    }
}

impl Measurement {
    /// `None` for what has no time.
    fn of_record(record: &Map<String, Value>) -> Option<Measurement> {
        let number = |field: &str| {
            let value = record.get(field)?;
            let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
            number.filter(|number| number.is_finite())
        };
        // The device's clock first, where a kernel was timed by two.
        let (clock, median, mean, deviation) = ["", "device", "wall"].into_iter().find_map(|clock| {
            let name = |figure: &str| format!("{clock}{}{figure}", if clock.is_empty() { "" } else { "_" });
            let median = number(&name("median_ns")).filter(|median| *median > 0.0)?;
            let mean = number(&name("avg_ns")).or_else(|| number(&name("mean_ns"))).unwrap_or(median);
            Some((clock, median, mean, number(&name("stddev_ns")).unwrap_or(0.0)))
        })?;
        // What is empty is null in JSON, or not there.
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            other => Some(other.to_string()),
        };
        let mut identity: Map<String, Value> = IDENTITY
            .into_iter()
            .filter_map(|field| Some((field.to_owned(), Value::from(text(record.get(field)?)?))))
            .collect();
        identity.insert("clock".to_owned(), Value::from(clock));
        Some(Measurement { identity, median, low: mean - deviation, high: mean + deviation })
    }

    fn field(&self, name: &str) -> &str {
        self.identity.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What was measured, in words.
    fn what(&self) -> String {
        let kernel = [self.field("kernel"), self.field("variant")].join("/");
        let tokens = self.field("tokens");
        let details = [if kernel == "/" { "" } else { &kernel }, tokens];
        let details = details.into_iter().filter(|detail| !detail.is_empty());
        std::iter::once(self.field("name")).chain(details).collect::<Vec<_>>().join(" ")
    }

    fn settings(&self) -> String {
        let named = [("chunk", "n_ubatch"), ("batch", "n_parallel"), ("KV", "kv_type")];
        let mut settings: Vec<String> = named
            .into_iter()
            .map(|(name, field)| (name, self.field(field)))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        if self.field("deterministic") == "true" {
            settings.push("deterministic".to_owned());
        }
        settings.join(", ")
    }

    fn overlaps(&self, other: &Measurement) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Makes one of those with the same identity, in the order of the first.
fn merged(measurements: impl Iterator<Item = Measurement>) -> Vec<Measurement> {
    let mut groups: Vec<Vec<Measurement>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for measurement in measurements {
        let key = Value::from(measurement.identity.clone()).to_string();
        let place = *places.entry(key).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(measurement);
    }
    let merge = |group: Vec<Measurement>| {
        let count = group.len() as f64;
        let first = group.first()?.clone();
        Some(Measurement {
            median: group.iter().map(|one| one.median).sum::<f64>() / count,
            low: group.iter().map(|one| one.low).fold(f64::INFINITY, f64::min),
            high: group.iter().map(|one| one.high).fold(f64::NEG_INFINITY, f64::max),
            ..first
        })
    };
    groups.into_iter().filter_map(merge).collect()
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Faster,
    Slower,
    /// Below the threshold, or within the spread of the samples.
    Same,
}

/// A measurement that both files have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What was measured.
    pub what: String,
    pub model: String,
    pub device: String,
    pub backend: String,
    pub settings: String,
    /// Median nanoseconds.
    pub before_ns: f64,
    pub after_ns: f64,
    /// Of the time, in percent; more is slower.
    pub percent: f64,
    pub verdict: Verdict,
}

impl Change {
    fn between(before: &Measurement, after: &Measurement, threshold: f64) -> Change {
        let change = after.median / before.median - 1.0;
        let verdict = if change.abs() <= threshold || before.overlaps(after) {
            Verdict::Same
        } else if change > 0.0 {
            Verdict::Slower
        } else {
            Verdict::Faster
        };
        Change {
            what: after.what(),
            model: after.field("model").to_owned(),
            device: after.field("device").to_owned(),
            backend: after.field("backend").to_owned(),
            settings: after.settings(),
            before_ns: before.median,
            after_ns: after.median,
            percent: 100.0 * change,
            verdict,
        }
    }
}

impl Tabular for Change {
    const COLUMNS: &'static [Column] = &[
        Column::text("what"),
        Column::text("model"),
        Column::text("backend"),
        Column::text("settings"),
        Column::number("before"),
        Column::number("after"),
        Column::number("time"),
        Column::text("verdict"),
    ];

    fn cells(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::Faster => "faster",
            Verdict::Slower => "SLOWER",
            Verdict::Same => "same",
        };
        vec![
            self.what.clone(),
            self.model.clone(),
            self.backend.clone(),
            self.settings.clone(),
            duration(self.before_ns),
            duration(self.after_ns),
            format!("{:+.1} %", self.percent),
            verdict.to_owned(),
        ]
    }
}

/// Two files side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// In the order of the second file.
    pub changes: Vec<Change>,
    /// What only one of them has.
    pub only_before: Vec<String>,
    pub only_after: Vec<String>,
}

impl Comparison {
    pub fn slower(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict == Verdict::Slower)
    }
}

/// Compares what both have. Something is slower or faster where its median changed by more than `threshold` (a fraction) and
/// the ranges of one standard deviation around the means do not meet.
///
/// # Errors
/// When they have nothing in common.
pub fn compare(before: &[Measurement], after: &[Measurement], threshold: f64) -> Result<Comparison, CompareError> {
    let twin = |all: &'_ [Measurement], one: &Measurement| all.iter().position(|m| m.identity == one.identity);
    let changes: Vec<Change> = after
        .iter()
        .filter_map(|after| Some(Change::between(&before[twin(before, after)?], after, threshold)))
        .collect();
    if changes.is_empty() {
        return Err(CompareError::NothingInCommon);
    }
    let only = |these: &[Measurement], those: &[Measurement]| {
        these.iter().filter(|one| twin(those, one).is_none()).map(Measurement::what).collect()
    };
    Ok(Comparison { changes, only_before: only(before, after), only_after: only(after, before) })
}
