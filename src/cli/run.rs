//! `wgpt run`: finds the model, loads it, and streams an answer to the prompt.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use wgpt::engine::{Engine, Generation, GenerationRequest, OnPrompt};
use wgpt::text::Message;

use super::figures::Figures;
use super::interrupt::Interrupt;
use super::loading;
use super::prompt::PromptError;
use super::run_args::{RunArgs, WHOLE_CONTEXT};
use super::run_options::{OutputOptions, RunOptions, Verbosity};
use super::terminal::{self, note, token_bar};
use super::wrong_usage;

/// Runs the command to its end. The exit code is that of a signal if one ended the generation.
///
/// # Errors
/// The prompt or the model cannot be read, the device cannot run it, or stdout cannot be written.
pub fn execute(args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut options = RunOptions::resolve(args).unwrap_or_else(|error| wrong_usage("run", &error));
    let interrupt = Interrupt::install().context("cannot listen for Ctrl-C")?;
    let prompt = match options.prompt.clone().read("prompt") {
        Err(error @ PromptError::Missing) => wrong_usage("run", &error),
        read => read?,
    };
    let quiet = options.output.is_quiet();
    let path = loading::find_model(&options.model, quiet)?;
    if options.engine.context == Some(WHOLE_CONTEXT) {
        options.engine.context = Some(loading::whole_context(&path)?);
    }
    let mut engine = loading::load(&path, &options.engine, quiet)?;
    let bar = token_bar("prompt", quiet);
    let request = GenerationRequest {
        interrupt: Some(interrupt.stop_flag()),
        on_prompt: Some(shown_by(&bar)),
        ..request(&engine, &options, prompt)?
    };

    let mut output = TextOutput::new(options.output, bar);
    interrupt.defer();
    tracing::debug!(prompt = request.prompt, "generation begins");
    let generation = engine.generate(&request, &mut |text| output.write(text));
    interrupt.release();
    let generation = match (output.finish(), generation) {
        // The reader has seen enough, as in `wgpt run ... | head`.
        (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        (Err(error), _) => return Err(error).context("cannot write to stdout"),
        (Ok(()), generation) => generation?,
    };
    report(&path, &engine, &generation, &options)?;
    Ok(interrupt.exit_code().unwrap_or(ExitCode::SUCCESS))
}

/// The request with the prompt as the model expects it: in its chat template, unless it has none or `--raw` is given.
fn request(engine: &Engine, options: &RunOptions, prompt: String) -> anyhow::Result<GenerationRequest> {
    let has_template = engine.info().has_chat_template;
    let templated = has_template && !options.raw;
    if !has_template && options.system.is_some() {
        bail!("--system needs a chat template, and this model has none; put the text into the prompt instead");
    }
    if !has_template && !options.raw && !options.output.is_quiet() {
        note("wgpt: this model has no chat template, so it continues the prompt as it is (--raw says so beforehand)");
    }
    let prompt = if templated {
        let message = |role: &str, content: String| Message { role: role.to_owned(), content };
        let system = options.system.iter().map(|text| message("system", text.clone()));
        engine.apply_chat_template(&system.chain([message("user", prompt)]).collect::<Vec<_>>())?
    } else {
        prompt
    };
    Ok(GenerationRequest {
        prompt,
        prompt_tokens: None,
        // A template writes the special tokens itself.
        add_special: !templated,
        max_new_tokens: options.max_new_tokens,
        sampling: options.sampling,
        stop: options.stop.clone(),
        ignore_eos: options.ignore_eos,
        interrupt: None,
        on_prompt: None,
    })
}

fn shown_by(bar: &ProgressBar) -> OnPrompt {
    let bar = bar.clone();
    OnPrompt::new(move |computed, tokens| {
        bar.set_length(tokens as u64);
        bar.set_position(computed as u64);
    })
}

/// Prints the JSON object, if asked for, and the figures.
fn report(path: &Path, engine: &Engine, generation: &Generation, options: &RunOptions) -> anyhow::Result<()> {
    let verbose = options.output.verbosity == Verbosity::Verbose;
    let longest_context = engine.config().context;
    let figures = Figures { path, model: engine.info(), generation, seed: options.seed, longest_context, verbose };
    if options.output.json {
        terminal::print_json(&figures.to_json())?;
    }
    if !options.output.is_quiet() {
        note(&format!("\n{}", figures.to_string().trim_end()));
    }
    Ok(())
}

/// The generated text on its way to stdout.
struct TextOutput {
    /// The prompt's, which goes before the first text comes.
    bar: ProgressBar,
    silent: bool,
    at_line_start: bool,
    failure: Option<io::Error>,
}

impl TextOutput {
    fn new(options: OutputOptions, bar: ProgressBar) -> Self {
        Self { bar, silent: options.json, at_line_start: true, failure: None }
    }

    /// Shows the text at once; stops the generation when nobody can read it any more.
    fn write(&mut self, text: &str) -> ControlFlow<()> {
        self.clear_bar();
        if self.silent || text.is_empty() {
            return ControlFlow::Continue(());
        }
        self.at_line_start = text.ends_with('\n');
        match write_now(text) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Once: later it would clear the text.
    fn clear_bar(&self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }

    /// Ends the last line, and says whether all of the text was written.
    fn finish(self) -> io::Result<()> {
        self.clear_bar();
        match self.failure {
            Some(error) => Err(error),
            None if self.at_line_start => Ok(()),
            None => write_now("\n"),
        }
    }
}

fn write_now(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
