//! Records as text: a table for people, markdown for notes, JSON and CSV for programs.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// The same columns as a markdown table.
    Md,
    /// One array with every field.
    Json,
    /// An object a line.
    Jsonl,
    /// A header and a line a record, with every field.
    Csv,
}

impl Format {
    pub const ALL: [Format; 5] = [Format::Table, Format::Md, Format::Json, Format::Jsonl, Format::Csv];

    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Md => "md",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Format, String> {
        let found = Format::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| format!("there is no output format '{name}'; use table, md, json, jsonl or csv"))
    }
}

/// A record could not be written down.
#[derive(Debug, thiserror::Error)]
#[error("the records cannot be written as {format}: {reason}; choose another format (-o)")]
pub struct OutputError {
    format: Format,
    reason: String,
}

/// A column of a table: its heading, and whether its values are numbers, which are aligned to the right.
pub struct Column {
    pub heading: &'static str,
    pub numeric: bool,
}

impl Column {
    pub const fn text(heading: &'static str) -> Column {
        Column { heading, numeric: false }
    }

    pub const fn number(heading: &'static str) -> Column {
        Column { heading, numeric: true }
    }
}

/// Something that is a line of a table and an object of JSON.
pub trait Tabular: Serialize {
    /// What a person wants to see.
    const COLUMNS: &'static [Column];

    /// A cell a column.
    fn cells(&self) -> Vec<String>;
}

impl<R: Tabular> Tabular for &R {
    const COLUMNS: &'static [Column] = R::COLUMNS;

    fn cells(&self) -> Vec<String> {
        R::cells(self)
    }
}

/// Every record in the format, ended by a line feed; of CSV and JSON lines nothing where there are no records.
///
/// # Errors
/// When a record has a value that the format cannot hold.
pub fn render<R: Tabular>(format: Format, records: &[R]) -> Result<String, OutputError> {
    let failed = |reason: String| OutputError { format, reason };
    match format {
        Format::Table => Ok(table(records)),
        Format::Md => Ok(markdown(records)),
        Format::Json => {
            let text = serde_json::to_string_pretty(records).map_err(|e| failed(e.to_string()))?;
            Ok(text + "\n")
        }
        Format::Jsonl => {
            let mut text = String::new();
            for record in records {
                text += &serde_json::to_string(record).map_err(|e| failed(e.to_string()))?;
                text.push('\n');
            }
            Ok(text)
        }
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for (number, record) in records.iter().enumerate() {
                let fields = serde_json::to_value(record).map_err(|e| failed(e.to_string()))?;
                let Some(fields) = fields.as_object() else { return Err(failed("one has no fields".to_owned())) };
                if number == 0 {
                    writer.write_record(fields.keys()).map_err(|e| failed(e.to_string()))?;
                }
                writer.write_record(fields.values().map(csv_cell)).map_err(|e| failed(e.to_string()))?;
            }
            let bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
            String::from_utf8(bytes).map_err(|e| failed(e.to_string()))
        }
    }
}

/// A list becomes one cell, its values apart by semicolons.
fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(csv_cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

fn table<R: Tabular>(records: &[R]) -> String {
    let rows: Vec<Vec<String>> = records.iter().map(Tabular::cells).collect();
    let widest = |(i, column): (usize, &Column)| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(column.heading.chars().count())
    };
    let widths: Vec<usize> = R::COLUMNS.iter().enumerate().map(widest).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(R::COLUMNS).zip(&widths).map(|((cell, column), width)| match column.numeric {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut R::COLUMNS.iter().map(|column| column.heading));
    text.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    text
}

fn markdown<R: Tabular>(records: &[R]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(R::COLUMNS.iter().map(|column| column.heading.to_owned()).collect());
    text += &line(R::COLUMNS.iter().map(|column| if column.numeric { "--:" } else { "---" }.to_owned()).collect());
    for record in records {
        text += &line(record.cells().into_iter().map(|cell| cell.replace('|', "\\|")).collect());
    }
    text
}
