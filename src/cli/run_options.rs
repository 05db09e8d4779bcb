//! The flags of `wgpt run` resolved: defaults filled in, numbers checked, a seed drawn.

use std::ffi::OsString;

use wgpt::engine::EngineOptions;
use wgpt::engine::sampler::{OptionsError, SamplingOptions};
use wgpt::gpu::DeviceSelector;

use super::prompt::PromptSource;
use super::run_args::{RunArgs, SamplingArgs, Seed};

/// Everything that `wgpt run` goes by.
pub struct RunOptions {
    /// As it was written: looking for it is a step of its own.
    pub model: OsString,
    pub prompt: PromptSource,
    pub system: Option<String>,
    pub raw: bool,
    pub engine: EngineOptions,
    pub sampling: SamplingOptions,
    /// What [`SamplingOptions::seed`] holds, always there.
    pub seed: u64,
    pub max_new_tokens: Option<u32>,
    pub stop: Vec<String>,
    pub ignore_eos: bool,
    pub output: OutputOptions,
}

/// What is printed, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct OutputOptions {
    pub json: bool,
    pub verbosity: Verbosity,
}

impl OutputOptions {
    pub fn is_quiet(self) -> bool {
        self.verbosity == Verbosity::Quiet
    }
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

/// Why the flags make no sense.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error(transparent)]
    Sampling(#[from] OptionsError),
    #[error("an empty --stop would end every answer before its first character; give it some text")]
    EmptyStop,
}

impl RunOptions {
    /// Checks the flags and fills in what they leave open. It touches no file.
    ///
    /// # Errors
    /// A value that makes no sense.
    pub fn resolve(args: RunArgs) -> Result<Self, UsageError> {
        if args.stop.iter().any(String::is_empty) {
            return Err(UsageError::EmptyStop);
        }
        let seed = match args.sampling.seed {
            Some(Seed::Fixed(seed)) => seed,
            // 32 bits are random enough, and shorter to type again.
            Some(Seed::Random) | None => u64::from(rand::random::<u32>()),
        };
        Ok(Self {
            sampling: sampling_options(&args.sampling, seed)?,
            seed,
            model: args.model,
            prompt: PromptSource::resolve(args.prompt, args.prompt_flag, args.file),
            system: args.system,
            raw: args.raw,
            engine: EngineOptions {
                device: DeviceSelector { device: args.device, backend: args.backend },
                context: args.ctx_size,
                chunk_size: args.chunk_size,
                kv_type: args.kv_type,
                deterministic: args.deterministic,
                ..EngineOptions::default()
            },
            // -1, the only value that is no u32, is "no limit".
            max_new_tokens: u32::try_from(args.predict).ok(),
            stop: args.stop,
            ignore_eos: args.ignore_eos,
            output: OutputOptions {
                json: args.json,
                verbosity: match (args.quiet, args.verbose) {
                    (true, _) => Verbosity::Quiet,
                    (false, true) => Verbosity::Verbose,
                    (false, false) => Verbosity::Normal,
                },
            },
        })
    }
}

fn sampling_options(args: &SamplingArgs, seed: u64) -> Result<SamplingOptions, OptionsError> {
    let default = SamplingOptions::default();
    let options = SamplingOptions {
        temperature: args.temp.unwrap_or(default.temperature),
        top_k: args.top_k.unwrap_or(default.top_k),
        top_p: args.top_p.unwrap_or(default.top_p),
        min_p: args.min_p.unwrap_or(default.min_p),
        repeat_penalty: args.repeat_penalty.unwrap_or(default.repeat_penalty),
        repeat_last_n: match args.repeat_last_n {
            None => default.repeat_last_n,
            Some(n) => usize::try_from(n).unwrap_or(SamplingOptions::ALL_TOKENS),
        },
        presence_penalty: args.presence_penalty.unwrap_or(default.presence_penalty),
        frequency_penalty: args.frequency_penalty.unwrap_or(default.frequency_penalty),
        seed: Some(seed),
    };
    options.validate()?;
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(flags: &[&str]) -> RunArgs {
        let command = RunArgs::augment_args(clap::Command::new("run").no_binary_name(true));
        let matches = command.try_get_matches_from([&["-m", "."], flags].concat()).expect("valid flags");
        RunArgs::from_arg_matches(&matches).expect("valid flags")
    }

    fn resolve(flags: &[&str]) -> RunOptions {
        RunOptions::resolve(parse(flags)).expect("valid values")
    }

    #[test]
    fn without_flags_sampling_is_the_librarys_with_a_seed_of_its_own() {
        let options = resolve(&[]);
        assert_eq!(options.sampling, SamplingOptions { seed: Some(options.seed), ..SamplingOptions::default() });
        assert_eq!(options.max_new_tokens, None);
        assert!((0..4).any(|_| resolve(&[]).seed != options.seed), "the seed is not drawn");
    }

    #[test]
    fn the_help_states_the_librarys_defaults() {
        let mut command = SamplingArgs::augment_args(clap::Command::new("run"));
        // On one line, since the width of the terminal decides where it wraps.
        let help = command.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let default = SamplingOptions::default();
        for (flag, value) in [
            ("--temp ", default.temperature.to_string()),
            ("--top-k ", default.top_k.to_string()),
            ("--top-p ", default.top_p.to_string()),
            ("--min-p ", default.min_p.to_string()),
            ("--repeat-penalty ", default.repeat_penalty.to_string()),
            ("--repeat-last-n ", default.repeat_last_n.to_string()),
            ("--presence-penalty ", default.presence_penalty.to_string()),
            ("--frequency-penalty ", default.frequency_penalty.to_string()),
        ] {
            let text = help.split(flag).nth(1).expect(flag);
            let stated = text.split("[default: ").nth(1).and_then(|rest| rest.split(']').next());
            assert_eq!(stated, Some(value.as_str()), "{flag}");
        }
    }

    #[test]
    fn minus_one_means_no_limit() {
        let options = resolve(&["-n", "-1", "--repeat-last-n", "-1", "--seed", "-1"]);
        assert_eq!(options.max_new_tokens, None);
        assert_eq!(options.sampling.repeat_last_n, SamplingOptions::ALL_TOKENS);
        assert_eq!(resolve(&["-n", "7"]).max_new_tokens, Some(7));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for flags in
            [["--temp", "-1"], ["--top-p", "1.5"], ["--min-p", "nan"], ["--repeat-penalty", "0"], ["--stop", ""]]
        {
            assert!(RunOptions::resolve(parse(&flags)).is_err(), "{flags:?}");
        }
    }
}
