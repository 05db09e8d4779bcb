//! Logging for developers: off unless `WGPT_LOG` asks for it.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const VARIABLE: &str = "WGPT_LOG";

/// Sends log lines to stderr as `WGPT_LOG` says: a level (`debug`), which is about wgpt alone, or
/// tracing's directives (`wgpt=trace,wgpu_core=info`), which can also name the crates below it.
///
/// # Errors
/// The value is neither.
pub fn init() -> anyhow::Result<()> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let value = value.to_string_lossy();
    if value.trim().is_empty() {
        return Ok(());
    }
    let filter = filter(value.trim()).with_context(|| {
        format!(
            "{VARIABLE}={value} is no log filter; use a level (error, warn, info, debug, trace) or TARGET=LEVEL,..."
        )
    })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second subscriber is the only failure, and this is the only place that sets one.
    let _ = subscriber.with_ansi(io::stderr().is_terminal()).try_init();
    Ok(())
}

fn filter(value: &str) -> Option<EnvFilter> {
    // A bare name is a target of which all is shown, so that a level with a typing error would show nothing, silently.
    let is_bare_name = |part: &str| !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err();
    let bare = value.split(',').any(is_bare_name);
    EnvFilter::try_new(directives(value)).ok().filter(|_| !bare)
}

/// A bare level would open the log of every crate below, the GPU API's included; it is meant for this one.
fn directives(value: &str) -> String {
    if value.parse::<LevelFilter>().is_ok() { format!("off,wgpt={value}") } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_with_levels_are_filters_and_other_words_are_not() {
        for good in ["debug", "TRACE", "off", "wgpt=trace,wgpu_core=info", "warn,wgpt=debug", "wgpt[load]=trace"] {
            assert!(filter(good).is_some(), "{good}");
        }
        for bad in ["silly", "debug,silly", "wgpt=loud", "verbose"] {
            assert!(filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_bare_level_is_about_this_crate_alone() {
        assert_eq!(directives("debug"), "off,wgpt=debug");
        assert_eq!(directives("wgpt=trace,wgpu_core=info"), "wgpt=trace,wgpu_core=info");
    }
}
