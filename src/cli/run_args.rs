//! The flags of `wgpt run` as they are written, with llama.cpp's names where it has them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::device_args::DeviceArgs;

const EXAMPLES: &str = "\
Examples:
  wgpt run -m model.gguf \"Why is the sky blue?\"
  wgpt run -m model.gguf --system \"Answer in French\" -n 64 \"Why is the sky blue?\"
  wgpt run -m HuggingFaceTB/SmolLM2-135M-Instruct --temp 0 \"Name three colours\"
  wgpt run -m owner/name-GGUF:Q4_K_M@main -f question.txt
  git diff | wgpt run -m ./folder --raw --stop END
  wgpt run -m model.gguf --json --seed 7 \"Hello\" | jq .text";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("the prompt").args(["prompt", "prompt_flag", "file"]))]
pub struct RunArgs {
    /// A GGUF file, a Hugging Face folder, or a hub name: OWNER/NAME[:QUANT or :FILE.gguf][@REVISION]
    ///
    /// A file or folder that exists comes first. A model from the hub is downloaded once into the Hugging Face cache
    /// (HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are respected). Of several GGUF files Q4_K_M is
    /// taken, then Q8_0, unless one is named.
    #[arg(short, long, value_name = "MODEL", help_heading = "Model")]
    pub model: OsString,

    /// What to answer or to continue; `-` or nothing reads stdin
    #[arg(value_name = "PROMPT")]
    pub prompt: Option<OsString>,

    /// The prompt as a flag
    #[arg(short, long = "prompt", id = "prompt_flag", value_name = "PROMPT", allow_hyphen_values = true)]
    #[arg(help_heading = "Prompt")]
    pub prompt_flag: Option<OsString>,

    /// Read the prompt from a file (one newline at its end is dropped)
    #[arg(short, long, value_name = "FILE", help_heading = "Prompt")]
    pub file: Option<PathBuf>,

    /// A system message before the prompt; `-sys TEXT` is the same
    #[arg(long, alias = "system-prompt", value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "raw")]
    #[arg(help_heading = "Prompt")]
    pub system: Option<String>,

    /// Continue the prompt as it is, without the model's chat template
    #[arg(long, help_heading = "Prompt")]
    pub raw: bool,

    /// Generate at most N tokens; -1 for as many as the context holds
    #[arg(short = 'n', long, visible_alias = "n-predict", value_name = "N", default_value_t = -1)]
    #[arg(value_parser = parse_predict, allow_negative_numbers = true)]
    #[arg(help_heading = "Length")]
    pub predict: i64,

    /// Tokens that the KV cache holds, prompt included; 0 for all of the model's [default: the model's, 4096 at most]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = parse_context)]
    #[arg(help_heading = "Length")]
    pub ctx_size: Option<u32>,

    /// Stop where the answer contains TEXT, which is not printed; repeat it for several. `-r TEXT` is the same
    #[arg(long, visible_alias = "reverse-prompt", short_alias = 'r', value_name = "TEXT", allow_hyphen_values = true)]
    #[arg(help_heading = "Length")]
    pub stop: Vec<String>,

    /// Go on where the model would end its answer
    #[arg(long, help_heading = "Length")]
    pub ignore_eos: bool,

    #[command(flatten)]
    pub sampling: SamplingArgs,

    #[command(flatten)]
    pub device: DeviceArgs,

    /// Print one JSON object at the end instead of the text as it comes
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Print nothing but the text and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,

    /// Say more about the model and the device
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
}

/// The flags of `wgpt run` about the choice of the next token; what is absent has the library's default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most likely token [default: 0.8]
    #[arg(long, visible_alias = "temperature", value_name = "T", allow_negative_numbers = true, value_parser = parse_number)]
    pub temp: Option<f32>,

    /// Draw from the K most likely tokens; 0 for all [default: 40]
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = parse_top_k)]
    pub top_k: Option<usize>,

    /// Draw from the fewest tokens whose probabilities reach P; 1 for all [default: 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = parse_number)]
    pub top_p: Option<f32>,

    /// Draw from tokens at least P times as probable as the most likely one; 0 for all [default: 0.05]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = parse_number)]
    pub min_p: Option<f32>,

    /// Make recent tokens less likely; 1 for no change [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = parse_number)]
    pub repeat_penalty: Option<f32>,

    /// How many recent tokens the penalties look at; 0 for none, -1 for all [default: 64]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-1..))]
    pub repeat_last_n: Option<i64>,

    /// Lower the logit of each recent token once; 0 for no change [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = parse_number)]
    pub presence_penalty: Option<f32>,

    /// Lower the logit of each recent token for each time it occurs; 0 for no change [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = parse_number)]
    pub frequency_penalty: Option<f32>,

    /// The same seed gives the same text on the same device; -1 for a random one [default: -1]
    #[arg(short, long, value_name = "SEED", allow_negative_numbers = true, value_parser = parse_seed)]
    pub seed: Option<Seed>,
}

/// Where the random numbers start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    Random,
    Fixed(u64),
}

/// `-c 0`, as llama.cpp has it: the context that the model was made for.
pub const WHOLE_CONTEXT: u32 = 0;

fn parse_context(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "use a number of tokens, or 0 for the model's whole context".to_owned())
}

fn parse_number(text: &str) -> Result<f32, String> {
    text.parse().map_err(|_| "use a number, such as 0.8".to_owned())
}

fn parse_predict(text: &str) -> Result<i64, String> {
    let limit = text.parse().ok().filter(|limit| (-1..=i64::from(u32::MAX)).contains(limit));
    limit.ok_or_else(|| "use a number of tokens, or -1 for as many as the context holds".to_owned())
}

fn parse_top_k(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "use how many tokens to draw from, or 0 for all".to_owned())
}

fn parse_seed(text: &str) -> Result<Seed, String> {
    match text {
        "-1" => Ok(Seed::Random),
        _ => text.parse().map(Seed::Fixed).map_err(|_| "use a whole number, or -1 for a random seed".to_owned()),
    }
}
