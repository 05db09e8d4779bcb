//! The result of a scoring run: as llama.cpp prints it, and as JSON.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wgpt::engine::ModelInfo;
use wgpt::engine::scoring::{Divergence, Estimate, Windows};

use super::args::PerplexityArgs;
use super::tally::Tally;
use crate::cli::figures::model_json;

/// The fractions whose quantiles are printed, with their names.
const KLD_FRACTIONS: [(&str, f64); 11] = [
    ("Maximum", 1.0),
    ("99.9%  ", 0.999),
    ("99.0%  ", 0.99),
    ("95.0%  ", 0.95),
    ("90.0%  ", 0.9),
    ("Median ", 0.5),
    ("10.0%  ", 0.1),
    (" 5.0%  ", 0.05),
    (" 1.0%  ", 0.01),
    (" 0.1%  ", 0.001),
    ("Minimum", 0.0),
];
const P_DIFF_FRACTIONS: [(&str, f64); 13] = [
    ("Maximum", 1.0),
    ("99.9%  ", 0.999),
    ("99.0%  ", 0.99),
    ("95.0%  ", 0.95),
    ("90.0%  ", 0.9),
    ("75.0%  ", 0.75),
    ("Median ", 0.5),
    ("25.0%  ", 0.25),
    ("10.0%  ", 0.1),
    (" 5.0%  ", 0.05),
    (" 1.0%  ", 0.01),
    (" 0.1%  ", 0.001),
    ("Minimum", 0.0),
];

pub struct Report<'a> {
    pub path: &'a Path,
    pub model: &'a ModelInfo,
    pub windows: &'a Windows,
    pub args: &'a PerplexityArgs,
    pub tally: &'a Tally,
    pub took: Duration,
}

impl Report<'_> {
    /// The object that `--json` prints. Durations are in seconds, sizes in bytes, likelihoods in nats; what is unknown, such
    /// as the error of a single token's score, is null.
    pub fn to_json(&self) -> Value {
        let Self { model, tally, .. } = self;
        let total = tally.total();
        let windows: Vec<_> = tally
            .windows()
            .iter()
            .map(|window| json!({ "tokens": window.count, "nll": window.mean().value }))
            .collect();
        json!({
            "perplexity": total.mean().exp().value,
            "perplexity_error": total.mean().exp().error,
            "nll": total.mean().value,
            "nll_error": total.mean().error,
            "tokens": total.count,
            "context": self.windows.length(),
            "stride": self.args.ppl_stride,
            "windows_planned": tally.planned(),
            "windows_finished": tally.finished(),
            "windows": windows,
            "kl_divergence": tally.divergence().map(divergence_json),
            "timings": { "load_s": model.load.as_secs_f64(), "score_s": self.took.as_secs_f64() },
            "memory": model.memory,
            "model": model_json(self.path, model),
            "device": model.device,
            "warnings": model.warnings,
        })
    }
}

fn divergence_json(divergence: &Divergence) -> Value {
    let estimate = |estimate: Estimate| json!({ "value": estimate.value, "error": estimate.error });
    let (klds, p_diffs) = (divergence.kld_quantiles(), divergence.p_diff_quantiles());
    let quantiles = |fractions: &[(&str, f64)], at: &dyn Fn(f64) -> f64| {
        let named = fractions.iter().map(|(_, fraction)| (fraction.to_string(), json!(at(*fraction))));
        Value::Object(named.collect())
    };
    json!({
        "base_perplexity": estimate(divergence.base_perplexity()),
        "correlation": divergence.correlation(),
        "ln_ratio": estimate(divergence.log_ratio()),
        "ratio": estimate(divergence.log_ratio().exp()),
        "difference": estimate(divergence.difference()),
        "kld": estimate(divergence.kld()),
        "kld_quantiles": quantiles(&KLD_FRACTIONS, &|fraction| klds.at(fraction)),
        "p_diff": estimate(divergence.p_diff()),
        "p_diff_quantiles": quantiles(&P_DIFF_FRACTIONS, &|fraction| p_diffs.at(fraction)),
        "p_diff_rms": estimate(divergence.rms_p_diff()),
        "same_top": estimate(divergence.same_top()),
    })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = self.tally;
        let total = tally.total();
        if total.count == 0 {
            return writeln!(f, "Interrupted before a token was scored");
        }
        if !tally.is_complete() {
            writeln!(f, "Interrupted after {} of {} windows", tally.finished(), tally.planned())?;
        }
        match tally.divergence() {
            Some(divergence) => write_divergence(f, divergence),
            None => {
                let Estimate { value, error } = total.mean().exp();
                writeln!(f, "Final estimate: PPL = {value:.4} +/- {error:.5}")
            }
        }
    }
}

/// The tables of `llama-perplexity --kl-divergence`.
fn write_divergence(f: &mut fmt::Formatter<'_>, divergence: &Divergence) -> fmt::Result {
    writeln!(f, "====== Perplexity statistics ======")?;
    let mut row =
        |name: &str, Estimate { value, error }: Estimate| writeln!(f, "{name:<30}: {value:10.6} ± {error:10.6}");
    row("Mean PPL(Q)", divergence.perplexity())?;
    row("Mean PPL(base)", divergence.base_perplexity())?;
    writeln!(f, "Cor(ln(PPL(Q)), ln(PPL(base))): {:6.2}%", 100.0 * divergence.correlation())?;
    let mut row =
        |name: &str, Estimate { value, error }: Estimate| writeln!(f, "{name:<30}: {value:10.6} ± {error:10.6}");
    row("Mean ln(PPL(Q)/PPL(base))", divergence.log_ratio())?;
    row("Mean PPL(Q)/PPL(base)", divergence.log_ratio().exp())?;
    row("Mean PPL(Q)-PPL(base)", divergence.difference())?;

    writeln!(f, "\n====== KL divergence statistics ======")?;
    let Estimate { value, error } = divergence.kld();
    writeln!(f, "Mean    KLD: {value:10.6} ± {error:10.6}")?;
    let klds = divergence.kld_quantiles();
    for (name, fraction) in KLD_FRACTIONS {
        writeln!(f, "{name} KLD: {:10.6}", klds.at(fraction))?;
    }

    writeln!(f, "\n====== Token probability statistics ======")?;
    let Estimate { value, error } = divergence.p_diff();
    writeln!(f, "Mean    Δp: {:6.3} ± {:5.3} %", 100.0 * value, 100.0 * error)?;
    let p_diffs = divergence.p_diff_quantiles();
    for (name, fraction) in P_DIFF_FRACTIONS {
        writeln!(f, "{name} Δp: {:6.3}%", 100.0 * p_diffs.at(fraction))?;
    }
    for (name, Estimate { value, error }) in
        [("RMS Δp    ", divergence.rms_p_diff()), ("Same top p", divergence.same_top())]
    {
        writeln!(f, "{name}: {:6.3} ± {:5.3} %", 100.0 * value, 100.0 * error)?;
    }
    Ok(())
}
