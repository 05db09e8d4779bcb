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
mod llama_cpp_flags;
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

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
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

/// Parses the arguments, runs the command and turns what happened into an exit code.
///
/// An error becomes one line on stderr; wrong usage is reported by clap, which exits with 2.
pub fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !wgpt::panics::are_caught() {
            report(panic);
        }
    }));
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = arguments.get(1).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let arguments = llama_cpp_flags::as_declared(arguments).unwrap_or_else(|error| wrong_usage(&command, &error));
    let cli = Cli::try_parse_from(arguments).unwrap_or_else(|error| with_tip(error, &command).exit());
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

/// Words behind the prompt are most likely a prompt without quotes, which clap does not know.
fn with_tip(mut error: clap::Error, command: &str) -> clap::Error {
    let is_word = |value: &ContextValue| matches!(value, ContextValue::String(word) if !word.starts_with('-'));
    if command == "run"
        && error.kind() == ErrorKind::UnknownArgument
        && error.get(ContextKind::InvalidArg).is_some_and(is_word)
    {
        let tip = "put a prompt of several words in quotes".into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Ends the process as clap does for the mistakes that it finds itself.
fn wrong_usage(command: &str, error: &impl std::fmt::Display) -> ! {
    let mut cli = Cli::command();
    cli.build();
    let mut command = cli.find_subcommand(command).cloned().unwrap_or(cli);
    command.error(ErrorKind::ValueValidation, error).exit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_of_the_flags_is_consistent() {
        Cli::command().debug_assert();
    }
}
