//! The activations of a step: buffers that every step uses again.

use super::ModelError;
use super::config::Config;
use super::step_inputs::StepLimits;
use crate::kernels::run_peaks;
use crate::recording::{BufferId, Executor, MemoryLimits, Slice};

/// Activations of a step.
pub(super) struct Scratch {
    /// The residual stream, `[tokens][dim]`.
    pub x: Slice,
    /// Normed, or gathered and normed.
    pub h: Slice,
    /// What a block adds to the residual stream.
    pub delta: Slice,
    pub q: Slice,
    pub k: Slice,
    pub v: Slice,
    /// Normed Q and K, where the model norms them.
    pub q_normed: Slice,
    pub k_normed: Slice,
    pub attention: Slice,
    /// What attention over parts of the keys leaves.
    pub partials: Slice,
    pub gate: Slice,
    pub up: Slice,
    /// `[logits_rows][vocabulary]`.
    pub logits: Slice,
    /// The largest of each run of logits, `[logits_rows][runs]`.
    pub peaks: Slice,
    /// What was chosen last from each row of logits, `[logits_rows]`: the next step may embed it.
    pub tokens: Slice,
}

/// Bytes of each activation, in the order of [`Scratch`].
pub(super) struct ScratchSizes([u64; 15]);

impl ScratchSizes {
    pub fn new(config: &Config, limits: StepLimits, memory: MemoryLimits) -> Result<ScratchSizes, ModelError> {
        let StepLimits { tokens, sequences, logits_rows, context, tiling, .. } = limits;
        let (q_dim, kv_dim) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        // The gathered rows share a buffer with the tokens' own.
        let rows = tokens.max(logits_rows);
        let elements = [
            tokens * config.dim,
            rows * config.dim,
            rows * config.dim,
            tokens * q_dim,
            tokens * kv_dim,
            tokens * kv_dim,
            tokens * q_dim,
            tokens * kv_dim,
            tokens * q_dim,
            tiling.partials(config.kv_heads as u32, tiling.most_parts(sequences, context)).max(1),
            tokens * config.ffn_dim,
            tokens * config.ffn_dim,
            logits_rows * config.vocabulary,
            logits_rows * run_peaks::runs(config.vocabulary as u32) as usize,
            logits_rows,
        ];
        let sizes = elements.map(|n| 4 * n as u64);
        let limit = memory.max_binding;
        let logits = 4 * (logits_rows * config.vocabulary) as u64;
        if logits > limit {
            return Err(ModelError::Unsupported(format!(
                "a step with {logits_rows} rows of {} logits, {logits} bytes, on a device that binds {limit} at once,",
                config.vocabulary
            )));
        }
        if let Some(bytes) = sizes.into_iter().find(|bytes| *bytes > limit) {
            let possible = (u128::from(limit) * tokens as u128 / u128::from(bytes)) as usize;
            return Err(ModelError::StepTooLarge { what: "the activations", tokens, bytes, limit, possible });
        }
        Ok(ScratchSizes(sizes))
    }

    pub fn bytes(&self) -> u64 {
        self.0.iter().sum()
    }

    pub fn allocate(&self, executor: &mut dyn Executor) -> Result<Scratch, ModelError> {
        let mut slices = [Slice { buffer: BufferId(0), offset: 0, size: 0 }; 15];
        for (slice, size) in slices.iter_mut().zip(self.0) {
            *slice = Slice { buffer: executor.allocate("the activations", size)?, offset: 0, size };
        }
        let [x, h, delta, q, k, v, q_normed, k_normed, attention, partials, gate, up, logits, peaks, tokens] = slices;
        Ok(Scratch { x, h, delta, q, k, v, q_normed, k_normed, attention, partials, gate, up, logits, peaks, tokens })
    }
}
