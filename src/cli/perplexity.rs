//! `wgpt perplexity`: scores a text, and compares the probabilities with those of another run.

mod args;
mod report;
mod tally;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use wgpt::engine::scoring::saved_logits::{Header, Reader, Writer};
use wgpt::engine::scoring::{LogitRows, Window, Windows};
use wgpt::engine::{Engine, EngineOptions};

pub use self::args::PerplexityArgs;
use self::report::Report;
use self::tally::Tally;
use super::figures::{seconds, size};
use super::interrupt::Interrupt;
use super::loading;
use super::prompt::{PromptError, PromptSource};
use super::terminal::{self, note};
use super::wrong_usage;

/// A file of saved logits that is being read.
type Base = Reader<std::io::BufReader<std::fs::File>>;

/// Runs the command to its end. The exit code is that of a signal if one ended the scoring.
///
/// # Errors
/// The text, the model or the base cannot be read, the device cannot run it, or an output cannot be written.
pub fn execute(args: PerplexityArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::install().context("cannot listen for Ctrl-C")?;
    let mut base = open_base(&args)?;
    let windows = cut(&args, base.as_ref().map(Reader::header));
    let text = read_text(&args)?;
    if let Some(path) = &args.save_logits {
        Writer::check(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let options = EngineOptions {
        context: u32::try_from(windows.length()).ok(),
        scoring: true,
        ..args.device.clone().engine_options()
    };
    let path = loading::find_model(&args.model, args.quiet)?;
    let mut engine = loading::load(&path, &options, args.quiet)?;

    let windows = windows.with_bos(engine.tokenizer().prefix().first().copied());
    let tokens = tokens(&engine, text.as_deref(), base.as_ref().map(Reader::header))?;
    let cut = windows.of(&tokens, args.chunks())?;
    interrupt.defer();
    let mut saved = create_saved(&args, &engine, &tokens, &cut)?;

    let mut tally = Tally::new(cut.len(), base.is_some(), args.quiet);
    let started = Instant::now();
    engine.score(&cut, Some(&interrupt.stop_flag()), &mut |rows: LogitRows<'_>| {
        if let Some(saved) = &mut saved {
            saved.write(&rows.rows).context("cannot write the logits")?;
        }
        match &mut base {
            None => tally.add(&rows),
            Some(base) => tally.compare(&rows, &base.rows(rows.rows.len()).context("cannot read the saved logits")?),
        }
        anyhow::Ok(())
    })?;
    let took = started.elapsed();
    tally.end();
    if let Some(saved) = saved {
        keep(saved, &args, tally.is_complete())?;
    }
    interrupt.release();
    let report = Report { path: &path, model: engine.info(), windows: &windows, args: &args, tally: &tally, took };
    if args.json {
        terminal::print_json(&report.to_json())?;
    } else {
        terminal::print(&report.to_string())?;
    }
    if !args.quiet {
        note(&format!("wgpt: {} tokens scored in {}", tally.total().count, seconds(took)));
    }
    Ok(interrupt.exit_code().unwrap_or(ExitCode::SUCCESS))
}

fn open_base(args: &PerplexityArgs) -> anyhow::Result<Option<Base>> {
    let open = |path: &std::path::PathBuf| {
        Reader::open(path).with_context(|| format!("cannot read the saved logits in {}", path.display()))
    };
    args.kl_divergence.as_ref().map(open).transpose()
}

/// How the text is cut: as the flags say, or as the base's was.
fn cut(args: &PerplexityArgs, base: Option<&Header>) -> Windows {
    let length = base.map_or(args.context(), |base| base.window);
    let windows = match args.ppl_stride {
        None => Windows::side_by_side(length),
        Some(stride) => Windows::sliding(length, stride as usize),
    };
    windows.unwrap_or_else(|error| wrong_usage("perplexity", &error))
}

/// The text to score; `None` where the base's own tokens are.
fn read_text(args: &PerplexityArgs) -> anyhow::Result<Option<String>> {
    let source = PromptSource::resolve(None, None, args.file());
    if args.kl_divergence.is_some() && source == PromptSource::Unsaid {
        return Ok(None);
    }
    match source.read("text") {
        Err(PromptError::Missing) => {
            wrong_usage("perplexity", &"a text is needed; name a file, or send it through a pipe")
        }
        read => Ok(Some(read?)),
    }
}

/// The tokens to score: BOS where the model wants it and the text, or what the base has.
fn tokens(engine: &Engine, text: Option<&str>, base: Option<&Header>) -> anyhow::Result<Vec<u32>> {
    let vocabulary = engine.info().vocabulary;
    if let Some(base) = base {
        ensure!(
            base.vocabulary == vocabulary,
            "the saved logits are of a vocabulary of {} tokens and the model has {vocabulary}; both runs need the same \
             tokenizer",
            base.vocabulary
        );
    }
    let tokens = match text {
        None => None,
        Some(text) => {
            let tokenizer = engine.tokenizer();
            // As text, even where it spells out a special token: so does llama.cpp.
            Some([tokenizer.prefix(), &tokenizer.encode_plain(text)?].concat())
        }
    };
    match (tokens, base) {
        (Some(tokens), Some(base)) if !tokens.starts_with(&base.tokens) => {
            bail!("the saved logits are of another text; leave the file out to score the text that they are of")
        }
        (_, Some(base)) => Ok(base.tokens.clone()),
        (tokens, None) => Ok(tokens.unwrap_or_default()),
    }
}

fn create_saved(
    args: &PerplexityArgs,
    engine: &Engine,
    tokens: &[u32],
    windows: &[Window],
) -> anyhow::Result<Option<Writer>> {
    let Some(path) = &args.save_logits else { return Ok(None) };
    let window = windows.first().map_or(0, |window| window.tokens.len());
    let tokens = tokens[..windows.len() * window].to_vec();
    let header = Header { window, vocabulary: engine.info().vocabulary, tokens };
    if !args.quiet {
        let bytes = u64::try_from(header.file_bytes()).unwrap_or(u64::MAX);
        note(&format!("wgpt: {} will take {}", path.display(), size(bytes)));
    }
    Writer::create(path, header).with_context(|| format!("cannot write {}", path.display())).map(Some)
}

/// Puts the file of logits in its place; one that lacks windows would be no use.
fn keep(saved: Writer, args: &PerplexityArgs, complete: bool) -> anyhow::Result<()> {
    if complete {
        return saved.finish().context("cannot write the logits");
    }
    if !args.quiet {
        note("wgpt: interrupted, so no logits were saved");
    }
    Ok(())
}
