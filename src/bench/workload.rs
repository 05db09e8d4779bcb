//! Runs random tokens through an engine, without any text, and takes the time.

use std::ops::ControlFlow;
use std::time::Duration;

use super::BenchError;
use crate::engine::sampler::SamplingOptions;
use crate::engine::{Engine, Generation, GenerationRequest};
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::verify::Random;

/// What runs at once, the same for each sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    pub sequences: usize,
    /// Tokens that are in the cache before.
    pub depth: usize,
    /// Tokens that are computed behind them, in chunks.
    pub prompt: usize,
    /// Tokens that are generated behind those, one by one.
    pub generate: usize,
}

/// How long a workload took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// From the first step to each sequence's first token.
    pub prefill: Duration,
    /// From there to the last token of them all.
    pub decode: Duration,
    /// What the host itself does in a decode step, on average; zero where there was none.
    pub host_per_step: Duration,
}

/// An engine that computes workloads.
pub struct Runner {
    pub engine: Engine,
    /// Where prompts come from: each is another one, so that the cache knows none of them.
    fresh: Random,
}

impl Runner {
    pub fn new(engine: Engine) -> Runner {
        Runner { engine, fresh: Random::new(0) }
    }

    /// Puts the workload's context into the cache, from where [`Runner::run`] takes it.
    ///
    /// # Errors
    /// As of [`Engine::generate`].
    pub fn fill(&mut self, workload: &Workload) -> Result<(), BenchError> {
        if workload.depth > 0 {
            let contexts = (0..workload.sequences).map(|sequence| self.context(sequence, workload.depth));
            let contexts = contexts.collect();
            self.generate(contexts, 0)?;
        }
        Ok(())
    }

    /// Runs a workload whose context was [filled](Runner::fill) in. The prompt and what is generated take whole steps of the
    /// engine's own loop; where there is neither context nor prompt, the generation begins behind one token.
    ///
    /// # Errors
    /// As of [`Engine::generate`], and [`BenchError::Cached`] where the cache held another part of the prompt than the context.
    pub fn run(&mut self, workload: &Workload) -> Result<Elapsed, BenchError> {
        let Workload { sequences, depth, prompt, generate } = *workload;
        let fresh = if depth + prompt == 0 { 1 } else { prompt };
        let prompts: Vec<Vec<u32>> =
            (0..sequences).map(|sequence| [self.context(sequence, depth), self.random(fresh)].concat()).collect();
        // The prompt's own step gives the first.
        let done = self.generate(prompts, generate as u32 + 1)?;
        // Of a context alone, the last token is computed again.
        let expected = whole_pages(if prompt == 0 { depth.saturating_sub(1) } else { depth });
        let mut cached = done.iter().map(|generation| generation.cached_prompt_tokens);
        if let Some(found) = cached.find(|cached| *cached != expected) {
            return Err(BenchError::Cached { found, expected });
        }
        let longest = |of: fn(&Generation) -> Duration| done.iter().map(of).max().unwrap_or_default();
        let prefill = longest(|generation| generation.timings.prefill);
        // A sequence may begin to generate while another's prompt is computed.
        let decode = match (prompt, generate) {
            (0, _) => longest(|generation| generation.timings.decode),
            _ => longest(|generation| generation.timings.prefill + generation.timings.decode).saturating_sub(prefill),
        };
        Ok(Elapsed { prefill, decode, host_per_step: longest(|generation| generation.timings.host_per_step) })
    }

    /// Time from a prompt of so many tokens to the first token.
    ///
    /// # Errors
    /// As of [`Engine::generate`].
    pub fn first_token(&mut self, prompt: usize) -> Result<Duration, BenchError> {
        let prompt = self.random(prompt);
        let done = self.generate(vec![prompt], 1)?;
        Ok(done.first().map_or(Duration::ZERO, |generation| generation.timings.time_to_first_token))
    }

    fn generate(&mut self, prompts: Vec<Vec<u32>>, new_tokens: u32) -> Result<Vec<Generation>, BenchError> {
        let request = |prompt| GenerationRequest {
            prompt_tokens: Some(prompt),
            max_new_tokens: Some(new_tokens),
            sampling: SamplingOptions::greedy(),
            ignore_eos: true,
            ..GenerationRequest::default()
        };
        let requests: Vec<GenerationRequest> = prompts.into_iter().map(request).collect();
        Ok(self.engine.generate_batch(&requests, &mut |_, _| ControlFlow::Continue(()))?)
    }

    /// The tokens before everything else, in each run the same.
    fn context(&self, sequence: usize, depth: usize) -> Vec<u32> {
        let mut random = Random::new(1 + sequence as u64);
        let vocabulary = self.engine.info().vocabulary as u32;
        (0..depth).map(|_| random.below(vocabulary)).collect()
    }

    fn random(&mut self, count: usize) -> Vec<u32> {
        let vocabulary = self.engine.info().vocabulary as u32;
        (0..count).map(|_| self.fresh.below(vocabulary)).collect()
    }
}

/// The cache keeps whole pages only.
fn whole_pages(tokens: usize) -> usize {
    let page = PAGE_SIZE as usize;
    tokens / page * page
}

/// Whether a prompt can begin right behind a context that is taken from the cache.
pub fn is_whole_pages(depth: usize) -> bool {
    whole_pages(depth) == depth
}
