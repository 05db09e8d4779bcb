//! From a path to an engine.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::chunks::Chunks;
use super::steps::Flight;
use super::{Engine, EngineDevice, EngineError, LoadTimings, ModelInfo, capacity, info};
use crate::formats::Checkpoint;
use crate::gpu::{AdapterError, DeviceSelector};
use crate::kernels::kv_cache::{KvType, PAGE_SIZE};
use crate::kernels::{Forced, MAX_SHORT};
use crate::model::{Choice, Config, ExpectedStep, Model, ModelOptions, UploadTimings};
use crate::schedule::{Batch, Limits, Scheduler};
use crate::text::{TextError, Tokenizer};

/// How to load a model.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    pub device: DeviceSelector,
    /// Tokens of a sequence; `None`: the model's own limit, or 4096 if that is larger.
    pub context: Option<u32>,
    /// Tokens of a prefill chunk; `None`: by the model and the kind of device.
    pub chunk_size: Option<u32>,
    pub kv_type: KvType,
    /// Sequences that run at a time.
    pub max_sequences: u32,
    /// How long the device may take for one submit before it counts as hung; `None`: a minute, or twenty on a software
    /// device.
    pub stall_limit: Option<Duration>,
    /// How long a submit should take at most, as far as can be told; `None`: 100 ms.
    pub submit_budget: Option<Duration>,
    /// Makes room for the logits of every token of a step, so that [`Engine::score`] takes whole chunks. Chunks are made
    /// smaller where their logits would be too large.
    pub scoring: bool,
    /// Makes a sequence's logits the same to the bit, on one adapter, whatever the chunk size, the other sequences, the pages
    /// and the prefixes that it shares. Costs speed: each linear layer has one kernel for one token and for many.
    pub deterministic: bool,
    /// Kernels that are used whatever is the default or was measured; they give way to `deterministic`.
    pub variants: Forced,
    /// A folder of files that later processes start faster with: compiled pipelines, where the backend gives them, are kept
    /// in it, and what `wgpt tune` has left there decides between kernels. Files that are stale or damaged are ignored, with
    /// a warning. `None`: neither is done.
    pub cache: Option<PathBuf>,
    /// Lets a prompt start behind its longest prefix, in whole pages of 16 tokens, whose keys and values another sequence of
    /// this engine has left in the cache. Timings of a repeated prompt want it off.
    pub prefix_cache: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            device: DeviceSelector::default(),
            context: None,
            chunk_size: None,
            kv_type: KvType::F16,
            max_sequences: 1,
            stall_limit: None,
            submit_budget: None,
            scoring: false,
            deterministic: false,
            variants: Forced::default(),
            cache: None,
            prefix_cache: true,
        }
    }
}

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// The checkpoint is open, and so large.
    Opened {
        bytes: u64,
    },
    /// So many of its bytes are on the device.
    Uploaded {
        bytes: u64,
    },
    Ready,
}

impl Engine {
    /// Loads a model: a GGUF file or a Hugging Face folder.
    ///
    /// # Errors
    /// [`EngineError`]: nothing is allocated before all sizes are known to fit the device's limits, and whatever was
    /// allocated until an error is freed again.
    pub fn load(
        model: &Path,
        options: &EngineOptions,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Engine, EngineError> {
        Engine::load_on(model, options, EngineDevice::open, progress)
    }

    /// Loads a model as [`Engine::load`] does, on the device that `open` gives: such as one whose executor watches another.
    ///
    /// # Errors
    /// As for [`Engine::load`].
    pub fn load_on(
        model: &Path,
        options: &EngineOptions,
        open: impl FnOnce(&EngineOptions) -> Result<EngineDevice, AdapterError>,
        progress: &mut dyn FnMut(LoadProgress),
    ) -> Result<Engine, EngineError> {
        let started = Instant::now();
        for (name, zero) in [
            ("the context (-c)", options.context == Some(0)),
            ("the chunk size (--chunk-size)", options.chunk_size == Some(0)),
            ("the number of sequences", options.max_sequences == 0),
        ] {
            if zero {
                return Err(EngineError::Zero { name });
            }
        }
        let checkpoint = Checkpoint::open(model)?;
        let config = Config::from_checkpoint(&checkpoint)?;
        let context = match options.context {
            Some(asked) if asked as usize > config.context => {
                return Err(EngineError::ContextTooLong { asked, limit: config.context });
            }
            Some(asked) => asked as usize,
            None => capacity::context(&config),
        };
        // Both take a while, the one on this machine's cores and the other mostly in a driver.
        let (tokenizer, device) = thread::scope(|scope| {
            let tokenizer = scope.spawn(|| Tokenizer::from_checkpoint(&checkpoint));
            let opening = Instant::now();
            let device = open(options).map(|device| (device, opening.elapsed()));
            (tokenizer.join().unwrap_or_else(|panic| resume_unwind(panic)), device)
        });
        let tokenizer = tokenizer?;
        let (EngineDevice { mut executor, info: device, selection, notices }, opened) = device?;
        let mut warnings = tokenizer.warnings().to_vec();
        if tokenizer.vocab_size() > config.vocabulary {
            // Gemma 3's tokenizer has a token for images that its text models have no row for.
            warnings.push(format!(
                "the tokenizer has {} tokens and the model {}: prompts with those beyond are refused",
                tokenizer.vocab_size(),
                config.vocabulary
            ));
        }
        warnings.extend(notices);
        progress(LoadProgress::Opened { bytes: checkpoint.size_bytes() });
        let chunk = match options.chunk_size {
            Some(chunk) => (chunk as usize).min(context),
            None => capacity::chunk(&config, &device).min(context),
        };
        let chunk = match options.scoring {
            true => chunk.min(capacity::scoring_rows(&config, &device, executor.memory_limits())),
            false => chunk,
        };
        let sequences = options.max_sequences as usize;
        let selection = match options.deterministic {
            true => selection.deterministic(),
            false => selection,
        };
        let step_tokens = chunk + sequences - 1;
        let model_options = ModelOptions {
            context,
            sequences,
            step_tokens,
            logits_rows: if options.scoring { sequences.max(chunk) } else { sequences },
            kv_type: options.kv_type,
            selection,
            available_memory: capacity::available_memory(&device),
        };
        let expected = expected_steps(chunk, sequences, options.scoring);
        let mut model = Model::load(executor.as_mut(), &checkpoint, config, model_options, &expected, &mut |bytes| {
            progress(LoadProgress::Uploaded { bytes });
        })?;
        let compiling = Instant::now();
        model.warm_up(executor.as_mut(), &expected)?;
        let UploadTimings { read, upload } = model.upload_timings();
        let load_timings = LoadTimings { device: opened, read, upload, compile: compiling.elapsed() };
        let scheduler = Scheduler::new(Limits {
            token_budget: step_tokens,
            max_tokens_per_request: chunk,
            max_sequences: sequences,
            num_pages: model.pages(),
            page_size: PAGE_SIZE,
            max_context: context,
        })?
        .share_prefixes(options.prefix_cache);
        let info = ModelInfo {
            name: info::name(&checkpoint),
            architecture: model.config().architecture.clone(),
            parameters: info::parameters(&checkpoint),
            size: checkpoint.size_bytes(),
            quantisation: info::quantisation(&checkpoint),
            vocabulary: model.config().vocabulary,
            context: context as u32,
            chunk_size: chunk as u32,
            device,
            kernels: selection.describe(),
            load: started.elapsed(),
            load_timings,
            memory: model.memory(),
            warnings,
            has_chat_template: !matches!(tokenizer.chat_template(), Err(TextError::NoChatTemplate)),
        };
        let batch = Batch::new(scheduler.page_table_stride());
        let chunks = options.chunk_size.is_none().then(|| Chunks::new(chunk, sequences));
        let flight = Flight::new(&info.device, chunks);
        progress(LoadProgress::Ready);
        Ok(Engine { executor, model, tokenizer, scheduler, batch, flight, info })
    }
}

/// Chunks, the whole of a short prompt, decode steps, and those of several sequences, beside a chunk, too. None where texts are
/// scored: the steps are known only with them.
fn expected_steps(chunk: usize, sequences: usize, scoring: bool) -> Vec<ExpectedStep> {
    if scoring {
        return Vec::new();
    }
    let step = |tokens, beside, choice| ExpectedStep { tokens, beside, choice };
    let mut expected = vec![
        step(chunk, 0, Choice::Greedy),
        step(chunk.min(MAX_SHORT as usize), 0, Choice::Greedy),
        step(1, 0, Choice::Greedy),
        step(1, 0, Choice::Drawn),
        step(1, 0, Choice::None),
    ];
    if sequences > 1 {
        let all = [(1, 1), (1, sequences - 1), (chunk, 1)];
        expected.extend(all.map(|(tokens, beside)| step(tokens, beside, Choice::Greedy)));
    }
    expected
}
