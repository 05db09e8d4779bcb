//! The command line: a file a command. It resolves flags, calls the engine and prints; it knows no GPU API.
//!
//! The generated text, or one JSON object, goes to stdout; everything else goes to stderr.

mod bench;
mod cache_folder;
mod device_args;
mod devices;
mod figures;
mod hub;
mod interrupt;
mod loading;
mod logging;
mod model_path;
mod perplexity;
mod prompt;
mod run;
mod run_args;
mod run_options;
mod terminal;
mod tune;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

/// Runs language models on any GPU.
#[derive(Debug, Parser)]
#[command(name = "wgpt", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
#[command(long_about = "Runs language models on any GPU that Vulkan, Metal, DirectX 12 or OpenGL can reach.\n\n\
    A model is a GGUF file, a Hugging Face folder, or the name of a model on the Hugging Face hub.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// Those without a text here say it themselves, with a longer one for `--help`, which a text here would hide.
#[derive(Debug, Subcommand)]
enum Command {
    /// Generate text with a model
    Run(Box<run_args::RunArgs>),
    Perplexity(Box<perplexity::PerplexityArgs>),
    /// List the GPUs, and say which one a run would take
    Devices(devices::DevicesArgs),
    Verify(verify::VerifyArgs),
    Tune(tune::TuneArgs),
    /// Measure how fast a model and the kernels are, and compare measurements
    Bench(bench::BenchArgs),
}

const EXAMPLES: &str = "\
Examples:
  wgpt run -m model.gguf \"Why is the sky blue?\"
  wgpt run -m Qwen/Qwen2.5-0.5B-Instruct \"Write a haiku about rain\"
  wgpt perplexity -m model.gguf text.txt
  wgpt devices
  wgpt verify
  wgpt tune -m model.gguf
  wgpt bench model -m model.gguf

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted, 143 terminated.
Set WGPT_LOG=debug to see what happens inside.";

/// llama.cpp's flags of several letters behind one dash, which clap cannot declare, with the names they have here.
const SINGLE_DASH_FLAGS: [(&str, &str); 3] =
    [("-dev", "--device"), ("-sys", "--system-prompt"), ("-ub", "--ubatch-size")];

/// The same of `wgpt bench`, where nothing else begins so: elsewhere, `-pg` is the prompt `g`.
const SINGLE_DASH_FLAGS_OF_BENCH: [(&str, &str); 1] = [("-pg", "--pg")];

/// Parses the arguments, runs the command and turns what happened into an exit code.
///
/// An error becomes one line on stderr; wrong usage is reported by clap, which exits with 2.
pub fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !wgpt::gpu::catches_panics() {
            report(panic);
        }
    }));
    let cli = Cli::parse_from(long_forms(std::env::args_os()));
    let outcome = logging::init().and_then(|()| match cli.command {
        Command::Run(args) => run::execute(*args),
        Command::Perplexity(args) => perplexity::execute(*args),
        Command::Devices(args) => devices::execute(&args),
        Command::Verify(args) => verify::execute(args),
        Command::Tune(args) => tune::execute(args),
        Command::Bench(args) => bench::execute(args),
    });
    outcome.unwrap_or_else(|error| {
        terminal::note(&format!("wgpt: {}", terminal::one_line(&error)));
        ExitCode::FAILURE
    })
}

/// Ends the process as clap does for the mistakes that it finds itself.
fn wrong_usage(command: &str, error: &impl std::fmt::Display) -> ! {
    let mut cli = Cli::command();
    cli.build();
    // Always found: it is the command that is running.
    let command = cli.find_subcommand_mut(command);
    let error = command.map(|command| command.error(ErrorKind::ValueValidation, error));
    error.unwrap_or_else(|| clap::Error::new(ErrorKind::ValueValidation)).exit()
}

/// Writes out the flags of several letters. A value that looks like one stays as it is, and so does what follows `--`.
fn long_forms(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut cli = Cli::command();
    cli.build();
    let mut only_values = false;
    let mut is_value = false;
    let mut flags = SINGLE_DASH_FLAGS.to_vec();
    let arguments = arguments.enumerate().map(|(position, argument)| {
        if position == 1 && argument == "bench" {
            flags.extend(SINGLE_DASH_FLAGS_OF_BENCH);
        }
        if only_values || std::mem::take(&mut is_value) {
            return argument;
        }
        only_values = argument == "--";
        let long = flags.iter().find(|(flag, _)| argument == *flag).map(|(_, name)| OsString::from(name));
        let argument = long.unwrap_or(argument);
        is_value = argument.to_str().is_some_and(|flag| takes_next(&cli, flag));
        argument
    });
    arguments.collect()
}

/// Whether the next argument is the value of this flag, or of the last in this group of one-letter flags.
fn takes_next(cli: &clap::Command, flag: &str) -> bool {
    let takes = |matches: &dyn Fn(&clap::Arg) -> bool| {
        let flags = cli.get_subcommands().flat_map(clap::Command::get_arguments).filter(|flag| matches(flag));
        flags.into_iter().any(|flag| flag.get_action().takes_values())
    };
    if let Some(name) = flag.strip_prefix("--") {
        return takes(&|flag| {
            flag.get_long() == Some(name) || flag.get_all_aliases().unwrap_or_default().contains(&name)
        });
    }
    let takes_value = |letter: char| {
        takes(&|flag| {
            flag.get_short() == Some(letter) || flag.get_all_short_aliases().unwrap_or_default().contains(&letter)
        })
    };
    // The first one that takes a value takes the rest of the group, if there is any.
    let mut letters = flag.strip_prefix('-').unwrap_or_default().chars();
    letters.find(|&letter| takes_value(letter)).is_some() && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_of_the_flags_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_several_letters_behind_one_dash_have_a_declared_long_form() {
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("declared");
        for (flag, name) in SINGLE_DASH_FLAGS {
            assert_eq!(rewritten(&[flag]), [name]);
            let name = name.trim_start_matches('-');
            let declared = |argument: &clap::Arg| {
                argument.get_long() == Some(name) || argument.get_all_aliases().unwrap_or_default().contains(&name)
            };
            assert!(run.get_arguments().any(declared), "{name}");
        }
        assert_eq!(rewritten(&["-device"]), ["-device"]);
    }

    fn rewritten(arguments: &[&str]) -> Vec<OsString> {
        long_forms(arguments.iter().map(OsString::from))
    }

    #[test]
    fn values_and_what_follows_two_dashes_are_not_rewritten() {
        for kept in [
            &["run", "--", "-sys"][..],
            &["run", "-p", "-dev"],
            &["run", "--stop", "-ub"],
            &["run", "-qp", "-dev"],
            &["run", "--reverse-prompt", "-sys"],
            &["run", "-r", "-sys"],
        ] {
            assert_eq!(rewritten(kept), kept, "{kept:?}");
        }
        assert_eq!(rewritten(&["-sys", "-dev", "-dev"]), ["--system-prompt", "-dev", "--device"]);
        // None of these takes the next argument.
        for flag in ["-q", "--raw", "-pq", "--stop=x", "a"] {
            assert_eq!(rewritten(&[flag, "-dev"]), [flag, "--device"], "{flag}");
        }
    }
}
