//! The activations of a step: buffers that every step uses again.

use super::ModelError;
use super::config::Config;
use super::step_inputs::StepLimits;
use crate::kernels::quantize_q8::{BLOCK, Quantized};
use crate::kernels::run_peaks;
use crate::recording::{BufferId, Executor, MemoryLimits, Slice};

/// Activations of a step.
pub(super) struct Scratch {
    /// The residual stream, `[tokens][dim]`.
    pub x: Slice,
    /// The residual stream of the rows whose logits are wanted, `[logits_rows][dim]`.
    pub wanted: Slice,
    /// The residual stream, normed.
    pub h: Slice,
    /// What a block adds to the residual stream.
    pub delta: Slice,
    /// Of each token, Q, K and V.
    pub qkv: Slice,
    /// Q, turned by the tokens' positions; in the last layer also attention of the rows whose logits are wanted.
    pub q: Slice,
    pub attention: Slice,
    /// What attention over parts of the keys leaves.
    pub partials: Slice,
    /// Of each token, the gate and what it lets through.
    pub gate_up: Slice,
    /// The hidden layer of the feed-forward network.
    pub hidden: Slice,
    /// `[logits_rows][vocabulary]`.
    pub logits: Slice,
    /// The largest of each run of logits, `[logits_rows][runs]`.
    pub peaks: Slice,
    /// What was chosen last from each row of logits, `[logits_rows]`: the next step may embed it.
    pub tokens: Slice,
    /// A product's activations, where its kernel takes them rounded.
    pub quantized: Quantized,
}

/// Bytes of each activation, in the order of [`Scratch`].
pub(super) struct ScratchSizes([u64; 15]);

impl ScratchSizes {
    pub fn new(config: &Config, limits: StepLimits, memory: MemoryLimits) -> Result<ScratchSizes, ModelError> {
        let StepLimits { tokens, sequences, logits_rows, context, tiling, .. } = limits;
        let (q_dim, kv_dim) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let elements = [
            tokens * config.dim,
            logits_rows * config.dim,
            tokens * config.dim,
            tokens * config.dim,
            tokens * (q_dim + 2 * kv_dim),
            tokens * q_dim,
            tokens * q_dim,
            tiling.partials(config.kv_heads as u32, tiling.most_parts(sequences, context)).max(1),
            2 * tokens * config.ffn_dim,
            tokens * config.ffn_dim,
            logits_rows * config.vocabulary,
            logits_rows * run_peaks::runs(config.vocabulary as u32) as usize,
            logits_rows,
        ];
        let mut sizes = [0; 15];
        sizes.iter_mut().zip(elements).for_each(|(size, n)| *size = 4 * n as u64);
        let rounded = tokens * config.dim.max(q_dim).max(config.ffn_dim);
        // A binding of nothing is none.
        [sizes[13], sizes[14]] = Quantized::bytes(if limits.rounds_activations { rounded } else { BLOCK });
        let limit = memory.max_binding;
        let logits = 4 * (logits_rows * config.vocabulary) as u64;
        if logits > limit {
            return Err(ModelError::Unsupported(format!(
                "a step with {logits_rows} rows of {} logits, {logits} bytes, on a device that binds {limit} at once,",
                config.vocabulary
            )));
        }
        if let Some(bytes) = sizes.into_iter().max().filter(|bytes| *bytes > limit) {
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
        let [x, wanted, h, delta, qkv, q, attention, partials, gate_up, hidden, logits, peaks, tokens, codes, scales] =
            slices;
        let quantized = Quantized { codes, scales };
        Ok(Scratch {
            x,
            wanted,
            h,
            delta,
            qkv,
            q,
            attention,
            partials,
            gate_up,
            hidden,
            logits,
            peaks,
            tokens,
            quantized,
        })
    }
}
