//! What was measured on an adapter, as it is kept for later processes.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::cache::{CacheFile, Ignored};

/// The results of measuring variants on one adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// The day, as `2026-11-22`.
    pub date: String,
    /// Whose shapes and types were measured.
    pub model: String,
    pub results: Vec<Tuned>,
}

/// What was found for a role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    pub role: Role,
    /// The name of the variant to use.
    pub chosen: String,
    /// All that were measured to the end, the fastest first; behind those that take weights from where they are to lie, those
    /// that do not.
    pub measured: Vec<Measurement>,
    /// Those that were given up, as far too slow or as wrong.
    pub given_up: Vec<String>,
    /// Types of weights for which another one is faster.
    pub exceptions: Vec<Exception>,
}

/// What was found for a role's work on weights of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exception {
    /// The type, as [`shader_name`](crate::kernels::weight_layout::shader_name) has it.
    pub weights: String,
    pub chosen: String,
    /// As of [`Tuned`], for this part of the work.
    pub measured: Vec<Measurement>,
}

/// How long a variant takes for all of a role's work in a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub variant: String,
    pub milliseconds: f64,
}

impl Tuning {
    /// The kind of file that it is kept in.
    pub const KIND: &'static str = "tuning";

    /// What a file holds, if there is one.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn read(file: &CacheFile) -> Result<Option<Tuning>, Ignored> {
        let Some(bytes) = file.read()? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes);
        parsed
            .map(Some)
            .map_err(|_| Ignored::new(file.path(), "another version of wgpt made it; run `wgpt tune` again"))
    }

    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &CacheFile) -> std::io::Result<()> {
        file.write(&serde_json::to_vec_pretty(self)?)
    }

    /// Why a result was chosen, with the figures.
    pub(super) fn reason(&self, tuned: &Tuned) -> String {
        let mut reason = self.figures(&tuned.measured);
        if !tuned.given_up.is_empty() {
            reason += &format!("; given up: {}", tuned.given_up.join(", "));
        }
        reason
    }

    /// When and for what these were measured.
    pub(super) fn figures(&self, measured: &[Measurement]) -> String {
        let figure = |m: &Measurement| format!("{} {} ms", m.variant, three_digits(m.milliseconds));
        let figures = measured.iter().map(figure).collect::<Vec<_>>().join(", ");
        format!("tuned on {} for {}: {figures}", self.date, self.model)
    }
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 1.0 {
        3
    } else if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$}")
}
