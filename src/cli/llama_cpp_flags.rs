//! Flags as people know them from llama.cpp, where clap cannot declare them or they are called otherwise here.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// What a flag of llama.cpp is here.
enum Here {
    /// The same by this name.
    Is(&'static str),
    /// Nothing: this says why, and what to do.
    No(&'static str),
}
use Here::{Is, No};

/// Only flags that people type by habit: for any other, clap says that there is none.
const FLAGS: &[(&[&str], Here)] = &[
    (&["-dev"], Is("--device")),
    (&["-sys"], Is("--system-prompt")),
    (&["-ub"], Is("--ubatch-size")),
    (&["-pg"], Is("--pg")),
    (&["-hf", "-hfr", "--hf-repo"], Is("--model")),
    (&["-no-cnv", "--no-conversation"], Is("--raw")),
    (&["-hff", "--hf-file"], No("name the file behind the model: -m OWNER/NAME:FILE.gguf")),
    (&["-hft", "--hf-token"], No("set HF_TOKEN in the environment")),
    (&["-ngl", "--gpu-layers", "--n-gpu-layers"], No("every layer always runs on the device; leave it out")),
    (&["-fa", "--flash-attn"], No("attention never stores its scores, whatever the device; leave it out")),
    (&["-t", "--threads", "-tb", "--threads-batch"], No("the device computes, not the CPU's threads; leave it out")),
    (&["-ctk", "--cache-type-k", "-ctv", "--cache-type-v"], No("keys and values have one type; use --kv-type")),
    (
        &["-sm", "--split-mode", "-ts", "--tensor-split", "--main-gpu"],
        No("a model runs on one device; choose it with --device"),
    ),
    (&["-mmp", "--mmap", "--no-mmap", "--mlock"], No("the device holds the weights; leave it out")),
    (
        &["-cnv", "--conversation", "-st", "--single-turn", "-i", "--interactive"],
        No("one prompt gets one answer; leave it out"),
    ),
    (&["--jinja"], No("the model's chat template is used unless --raw is given; leave it out")),
    (
        &["--chat-template", "--chat-template-file"],
        No("the model's own chat template is the only one; to use another, write the prompt out and give --raw"),
    ),
    (&["-e", "--escape", "--no-escape"], No("a prompt is taken as it is written, escapes too; leave it out")),
    (&["--no-display-prompt"], No("only the answer is printed; leave it out")),
    (&["--no-warmup"], No("a run never warms up; leave it out")),
    (&["--lora"], No("adapters cannot be applied; merge them into the model")),
    (&["-mm", "--mmproj"], No("models read text alone; leave it out")),
];

/// Puts the names that are declared here in the place of llama.cpp's, and hyphens in that of underscores (`--top_k`). A value
/// that looks like a flag stays as it is, and so does what follows `--`.
///
/// # Errors
/// The sentence to show about a flag that there is nothing like here.
pub fn as_declared(arguments: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut cli = Cli::command();
    cli.build();
    let command = command_of(&cli, &arguments);
    let mut only_values = false;
    let mut is_value = false;
    let arguments = arguments.into_iter().map(|argument| {
        if only_values || std::mem::take(&mut is_value) {
            return Ok(argument);
        }
        only_values = argument == "--";
        let argument = match argument.to_str() {
            Some(flag) if flag.starts_with('-') => declared(command, flag)?.into(),
            _ => argument,
        };
        is_value = argument.to_str().is_some_and(|flag| takes_next(command, flag));
        Ok(argument)
    });
    arguments.collect()
}

/// The command that the first arguments name, as `bench model` does.
fn command_of<'c>(cli: &'c Command, arguments: &[OsString]) -> &'c Command {
    let mut names = arguments.iter().skip(1);
    std::iter::successors(Some(cli), |command| command.find_subcommand(names.next()?)).last().unwrap_or(cli)
}

/// The flag, which may have its value behind a `=`, as the command declares it.
fn declared(command: &Command, flag: &str) -> Result<String, String> {
    let (name, value) = flag.split_at(flag.find('=').unwrap_or(flag.len()));
    let name = if name.starts_with("--") { name.replace('_', "-") } else { name.to_owned() };
    let has = |name: &str| command.get_arguments().any(|flag| is_called(flag, name));
    let known = FLAGS.iter().find(|(names, _)| names.contains(&name.as_str()) && !has(&name));
    match known {
        // Where the command has no such flag, it may be another's letter with its value.
        Some((_, Is(own))) if has(own) => Ok(format!("{own}{value}")),
        Some((_, No(sentence))) => Err(format!("{name}: {sentence}")),
        _ => Ok(name + value),
    }
}

/// Whether this is a flag's name, with its one or two dashes.
fn is_called(flag: &Arg, name: &str) -> bool {
    if let Some(name) = name.strip_prefix("--") {
        return flag.get_long() == Some(name) || flag.get_all_aliases().unwrap_or_default().contains(&name);
    }
    let mut letters = name.strip_prefix('-').unwrap_or_default().chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else { return false };
    flag.get_short() == Some(letter) || flag.get_all_short_aliases().unwrap_or_default().contains(&letter)
}

/// Whether the next argument is the value of this flag, or of the last in this group of one-letter flags.
fn takes_next(command: &Command, flag: &str) -> bool {
    let takes_value = |name: &str| {
        let mut flags = command.get_arguments().filter(|flag| is_called(flag, name));
        flags.any(|flag| flag.get_action().takes_values())
    };
    if flag.starts_with("--") {
        return takes_value(flag);
    }
    // The first one that takes a value takes the rest of the group, if there is any.
    let mut letters = flag.strip_prefix('-').unwrap_or_default().chars();
    letters.find(|letter| takes_value(&format!("-{letter}"))).is_some() && letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(names: &[&str]) -> Command {
        let mut cli = Cli::command();
        cli.build();
        command_of(&cli, &words(names)).clone()
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn llama_cpps_flags_have_one_meaning_which_a_command_has_by_its_name_here() {
        let commands = [command(&["wgpt", "run"]), command(&["wgpt", "bench", "model"])];
        let declares =
            |name: &str| commands.iter().any(|command| command.get_arguments().any(|flag| is_called(flag, name)));
        for (index, (flags, here)) in FLAGS.iter().enumerate() {
            for flag in *flags {
                assert!(!declares(flag), "{flag} is declared");
                let again = FLAGS[index + 1..].iter().any(|(others, _)| others.contains(flag));
                assert!(!again, "{flag} is there twice");
            }
            if let Is(name) = here {
                assert!(declares(name), "{name}");
            }
        }
    }

    /// What becomes of the arguments behind `wgpt run`.
    fn of_run(arguments: &[&str]) -> Vec<OsString> {
        let whole = words(&[&["wgpt", "run"], arguments].concat());
        as_declared(whole).expect("flags that there are")[2..].to_vec()
    }

    #[test]
    fn flags_get_the_names_that_the_command_declares() {
        assert_eq!(of_run(&["-ub", "8", "-hf", "-dev"]), ["--ubatch-size", "8", "--model", "-dev"]);
        assert_eq!(of_run(&["--top_k=a_b", "--top_p", "--min_p"]), ["--top-k=a_b", "--top-p", "--min_p"]);
        assert_eq!(of_run(&["-device", "a_b", "-pg"]), ["-device", "a_b", "-pg"]);
        let bench = ["wgpt", "bench", "model", "-pg", "8,8", "-sys"];
        let expected = ["wgpt", "bench", "model", "--pg", "8,8", "-sys"];
        assert_eq!(as_declared(words(&bench)), Ok(words(&expected)));
        let compare = words(&["wgpt", "bench", "compare", "-t", "5%"]);
        assert_eq!(as_declared(compare.clone()), Ok(compare), "its own -t");
    }

    #[test]
    fn a_flag_that_there_is_nothing_like_is_named() {
        for (flag, name) in [("-ngl", "-ngl"), ("--n_gpu_layers=99", "--n-gpu-layers"), ("-t", "-t")] {
            let error = as_declared(words(&["wgpt", "run", "x", flag])).expect_err(flag);
            assert!(error.starts_with(&format!("{name}: ")) && error.ends_with("leave it out"), "{error}");
        }
    }

    #[test]
    fn values_and_what_follows_two_dashes_are_not_rewritten() {
        for kept in [
            &["--", "-sys", "-ngl", "--top_k"][..],
            &["-p", "-dev"],
            &["-p", "-ngl"],
            &["--stop", "-ub"],
            &["-qp", "-dev"],
            &["--reverse-prompt", "-sys"],
            &["-r", "-sys"],
        ] {
            assert_eq!(of_run(kept), kept, "{kept:?}");
        }
        assert_eq!(of_run(&["-sys", "-dev", "-dev"]), ["--system-prompt", "-dev", "--device"]);
        // None of these takes the next argument.
        for flag in ["-q", "--raw", "-pq", "--stop=x", "a"] {
            assert_eq!(of_run(&[flag, "-dev"]), [flag, "--device"], "{flag}");
        }
    }
}
