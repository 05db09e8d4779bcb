//! What the comparison of a model with the reference comes to.

use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use super::lockstep::Culprit;
use crate::model::NonFinite;
use crate::recording::Label;
use crate::verify::compare::Errors;
use crate::verify::report::short;
use crate::verify::tolerances::{ModelTolerance, Tolerance};

/// How a model did.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    pub prompt_tokens: usize,
    /// The residual stream over the prompt: after the embedding, then after each layer.
    pub layers: Vec<LayerReport>,
    /// The logits after the prompt.
    pub logits: Distance,
    pub forced: Forced,
    /// Where the two parted by more than is allowed.
    pub parting: Option<Parting>,
    pub tolerance: &'static ModelTolerance,
    /// Wall-clock time, loading included.
    pub seconds: f64,
}

/// How far the device's numbers are from the reference's. Infinite where one side alone has NaN or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// The normalised mean squared error.
    pub nmse: f64,
    /// The largest absolute error of an element, in units of the reference's root mean square.
    pub max_error: f64,
}

/// The residual stream after a layer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LayerReport {
    /// `None`: after the embedding.
    pub layer: Option<u32>,
    #[serde(flatten)]
    pub distance: Distance,
}

/// A decoding of the device's tokens on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Forced {
    /// Tokens whose next-token distributions were compared; fewer than were asked for if the device found none.
    pub tokens: usize,
    /// How often both sides have the same most likely token.
    pub same_top: usize,
    /// By how many logits the reference prefers its own token where the two differ, at most.
    pub worst_margin: f64,
    /// Kullback-Leibler divergence of the device's distribution from the reference's, in nats.
    pub mean_kl: f64,
    pub worst_kl: f64,
}

/// A step after which the two sides were too far apart, and who is to blame.
#[derive(Clone, Debug, Serialize)]
pub struct Parting {
    /// The positions that the step computed.
    pub positions: Range<usize>,
    /// It was a decode step, of one token, and no part of the prompt.
    pub decoding: bool,
    /// `None`: each dispatch is right by itself.
    pub culprit: Option<Culprit>,
    pub not_finite: NotFinite,
}

/// Where each side first computes NaN or infinity in that step, if it does.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NotFinite {
    #[serde(serialize_with = "as_text")]
    pub device: Option<NonFinite>,
    #[serde(serialize_with = "as_text")]
    pub reference: Option<NonFinite>,
}

fn as_text<S: Serializer>(value: &Option<NonFinite>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|origin| origin.to_string()).serialize(serializer)
}

impl Distance {
    pub(super) fn of(errors: &Errors) -> Distance {
        let (nmse, max_error) = if errors.differ() { (f64::INFINITY, f64::INFINITY) } else { errors.finish() };
        Distance { nmse, max_error }
    }

    pub(super) fn between(actual: &[f32], expected: &[f32]) -> Distance {
        let mut errors = Errors::default();
        errors.extend(actual, expected);
        Distance::of(&errors)
    }

    pub fn within(&self, tolerance: &Tolerance) -> bool {
        self.nmse <= tolerance.nmse && self.max_error <= tolerance.max
    }
}

impl LayerReport {
    pub(super) fn new(label: Label, distance: Distance) -> LayerReport {
        LayerReport { layer: label.layer, distance }
    }
}

impl Forced {
    /// Whether the tokens differ only where the reference hardly prefers one, and the distributions hardly.
    pub fn within(&self, tolerance: &ModelTolerance) -> bool {
        self.mean_kl <= tolerance.mean_kl
            && self.worst_kl <= tolerance.worst_kl
            && self.worst_margin <= tolerance.margin
    }
}

impl ModelReport {
    pub fn passed(&self) -> bool {
        self.parting.is_none()
    }

    /// The largest errors after any layer.
    pub fn worst_layer(&self) -> Distance {
        let none = Distance { nmse: 0.0, max_error: 0.0 };
        self.layers.iter().fold(none, |worst, LayerReport { distance, .. }| Distance {
            nmse: worst.nmse.max(distance.nmse),
            max_error: worst.max_error.max(distance.max_error),
        })
    }
}

impl fmt::Display for ModelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, distance: &Distance, allowed: &Tolerance| {
            let errors = [distance.nmse, allowed.nmse, distance.max_error, allowed.max];
            let [nmse, nmse_allowed, error, error_allowed] = errors.map(short);
            writeln!(f, "{name:<20} {nmse:>8} {nmse_allowed:>8} {error:>10} {error_allowed:>8}")
        };
        writeln!(f, "{:<20} {:>8} {:>8} {:>10} {:>8}", "the prompt, after", "NMSE", "allowed", "max error", "allowed")?;
        for LayerReport { layer, distance } in &self.layers {
            let name = layer.map_or("the embedding".to_owned(), |layer| format!("layer {layer}"));
            row(f, &name, distance, &self.tolerance.residual)?;
        }
        row(f, "the logits", &self.logits, &self.tolerance.logits)?;
        let Forced { tokens, same_top, worst_margin, mean_kl, worst_kl } = self.forced;
        let allowed = self.tolerance;
        writeln!(f, "{tokens} forced tokens: the most likely next token is the same {same_top} times")?;
        if same_top < tokens {
            let (margin, allowed) = (short(worst_margin), short(allowed.margin));
            writeln!(
                f,
                "  where it is not, the reference prefers its own by {margin} logits at most, allowed {allowed}"
            )?;
        }
        let [mean_kl, mean_allowed, worst_kl, worst_allowed] =
            [mean_kl, allowed.mean_kl, worst_kl, allowed.worst_kl].map(short);
        writeln!(
            f,
            "  KL divergence {mean_kl} nats on average, allowed {mean_allowed}; {worst_kl} at worst, allowed {worst_allowed}"
        )
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.positions;
        match self.decoding {
            true => write!(f, "the two part in the decode step of token {start}: ")?,
            false => write!(f, "the two part in the prompt, tokens {start} to {}: ", end - 1)?,
        }
        let NotFinite { device, reference } = self.not_finite;
        match (&self.culprit, device, reference) {
            (Some(culprit), ..) => write!(f, "{culprit}"),
            (None, Some(device), Some(_)) => {
                write!(f, "both compute {device}; the model's file is damaged, or no f32 can hold what it computes")
            }
            (None, Some(origin), None) => {
                write!(f, "the device computes {origin}, though each dispatch is right by itself")
            }
            (None, None, _) => f.write_str(
                "each dispatch is right by itself; either small errors add up in this model, or the device goes wrong \
                 between dispatches or from run to run",
            ),
        }
    }
}
