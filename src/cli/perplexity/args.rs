//! The flags of `wgpt perplexity`, with llama.cpp's names where it has them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::cli::device_args::{DeviceArgs, parse_tokens};

/// llama.cpp's, which published perplexities are of.
const DEFAULT_CONTEXT: u32 = 512;

const NOTES: &str = "\
Examples:
  wgpt perplexity -m model.gguf text.txt
  wgpt perplexity -m model-f16.gguf --save-logits base.kld text.txt
  wgpt perplexity -m model-q4.gguf --kl-divergence base.kld
  wgpt perplexity -m model.gguf --ppl-stride 256 --json text.txt | jq .perplexity

The running perplexity goes to stderr and the result to stdout. The text's special tokens are read as
text; where the model puts BOS before a text, each window's first token is BOS.";

#[derive(Debug, Args)]
#[command(after_help = NOTES)]
#[command(group = ArgGroup::new("the text").args(["file", "file_flag"]))]
#[command(about = "Score a text: how well a model predicts it, and how far it is from another run")]
#[command(long_about = "Score a text: how well a model predicts it, and how far it is from another run.\n\n\
    Perplexity is exp of the mean negative log-likelihood of the text's tokens. The text is cut into \
    windows of -c tokens, and the second half of each is scored, as llama.cpp's llama-perplexity does.")]
pub struct PerplexityArgs {
    /// A GGUF file, a Hugging Face folder, or a hub name: OWNER/NAME[:QUANT or :FILE.gguf][@REVISION]
    #[arg(short, long, value_name = "MODEL", help_heading = "Model")]
    pub model: OsString,

    /// The text to score; `-` or nothing reads stdin. With --kl-divergence it can be left out
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The text as a flag
    #[arg(short = 'f', long = "file", id = "file_flag", value_name = "FILE", help_heading = "Text")]
    file_flag: Option<PathBuf>,

    /// Tokens of a window [default: 512]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = parse_tokens)]
    #[arg(conflicts_with = "kl_divergence", help_heading = "Text")]
    ctx_size: Option<u32>,

    /// Let windows begin N tokens apart, and score the last N tokens of each
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_tokens)]
    #[arg(conflicts_with_all = ["kl_divergence", "save_logits"], help_heading = "Text")]
    pub ppl_stride: Option<u32>,

    /// Score at most N windows; -1 for all
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true, value_parser = parse_chunks)]
    #[arg(help_heading = "Text")]
    chunks: i64,

    /// Compare with the probabilities in BASE, which --save-logits or llama-perplexity wrote
    #[arg(long, value_name = "BASE", help_heading = "Comparison")]
    pub kl_divergence: Option<PathBuf>,

    /// Save the probabilities of all tokens to FILE: 2 bytes for each token of the vocabulary and each scored one
    #[arg(long, visible_aliases = ["kl-divergence-base", "save-all-logits"], value_name = "FILE")]
    #[arg(help_heading = "Comparison")]
    pub save_logits: Option<PathBuf>,

    #[command(flatten)]
    pub device: DeviceArgs,

    /// Print one JSON object instead of text
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print nothing but the result and errors
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

impl PerplexityArgs {
    pub fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| self.file_flag.clone())
    }

    /// Tokens of a window.
    pub fn context(&self) -> usize {
        self.ctx_size.unwrap_or(DEFAULT_CONTEXT) as usize
    }

    /// The most windows.
    pub fn chunks(&self) -> usize {
        usize::try_from(self.chunks).unwrap_or(usize::MAX)
    }
}

fn parse_chunks(text: &str) -> Result<i64, String> {
    let chunks = text.parse().ok().filter(|&chunks| chunks == -1 || chunks > 0);
    chunks.ok_or_else(|| "use a number of windows, 1 or more, or -1 for all".to_owned())
}
