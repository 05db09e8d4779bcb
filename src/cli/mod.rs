//! The command line: a file a command. It resolves flags, calls the engine and prints; it knows no GPU API.
//!
//! The generated text, or one JSON object, goes to stdout; everything else goes to stderr.

mod devices;
mod figures;
mod hub;
mod interrupt;
mod logging;
mod model_path;
mod prompt;
mod run;
mod run_args;
mod run_options;
mod terminal;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs language models on any GPU.
#[derive(Debug, Parser)]
#[command(name = "wgpt", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
#[command(long_about = "Runs language models on any GPU that Vulkan, Metal, DirectX 12 or OpenGL can reach.\n\n\
    A model is a GGUF file, a Hugging Face folder, or the name of a model on the Hugging Face hub.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generate text with a model
    Run(Box<run_args::RunArgs>),
    /// List the GPUs, and say which one a run would take
    Devices(devices::DevicesArgs),
    /// Check that the GPUs compute what the CPU reference computes
    Verify(verify::VerifyArgs),
}

const EXAMPLES: &str = "\
Examples:
  wgpt run -m model.gguf \"Why is the sky blue?\"
  wgpt run -m Qwen/Qwen2.5-0.5B-Instruct \"Write a haiku about rain\"
  wgpt devices
  wgpt verify

Exit codes: 0 success, 1 error, 2 wrong usage, 130 interrupted, 143 terminated.
Set WGPT_LOG=debug to see what happens inside.";

/// llama.cpp's flags of several letters behind one dash, which clap cannot declare, with the names they have here.
const SINGLE_DASH_FLAGS: [(&str, &str); 3] =
    [("-dev", "--device"), ("-sys", "--system-prompt"), ("-ub", "--ubatch-size")];

/// Parses the arguments, runs the command and turns what happened into an exit code.
///
/// An error becomes one line on stderr; wrong usage is reported by clap, which exits with 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().map(long_form));
    let outcome = logging::init().and_then(|()| match cli.command {
        Command::Run(args) => run::execute(*args),
        Command::Devices(args) => devices::execute(&args),
        Command::Verify(args) => verify::execute(args),
    });
    outcome.unwrap_or_else(|error| {
        terminal::note(&format!("wgpt: {}", terminal::one_line(&error)));
        ExitCode::FAILURE
    })
}

fn long_form(argument: OsString) -> OsString {
    SINGLE_DASH_FLAGS.iter().find(|(flag, _)| argument == *flag).map_or(argument, |(_, name)| OsString::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declaration_of_the_flags_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_several_letters_behind_one_dash_have_a_declared_long_form() {
        let command = Cli::command();
        let run = command.find_subcommand("run").expect("declared");
        for (flag, name) in SINGLE_DASH_FLAGS {
            assert_eq!(long_form(flag.into()), name);
            let name = name.trim_start_matches('-');
            let declared = |argument: &clap::Arg| {
                argument.get_long() == Some(name) || argument.get_all_aliases().unwrap_or_default().contains(&name)
            };
            assert!(run.get_arguments().any(declared), "{name}");
        }
        assert_eq!(long_form("-device".into()), "-device");
    }
}
