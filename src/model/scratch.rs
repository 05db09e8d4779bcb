//! The activations of a step: buffers that every step uses again.

use std::convert::Infallible;

use super::ModelError;
use super::config::Config;
use super::step_inputs::StepLimits;
use crate::kernels::quantize_q8::{BLOCK, Quantized};
use crate::kernels::{linear, matvec, run_peaks};
use crate::recording::{Executor, MemoryLimits, Slice, Texel};

/// Something of each activation of a step: the slice, or its bytes.
pub(super) struct Scratch<T = Slice> {
    /// The residual stream, `[tokens][dim]`.
    pub x: T,
    /// The residual stream of the rows whose logits are wanted, `[logits_rows][dim]`.
    pub wanted: T,
    /// The residual stream, normed.
    pub h: T,
    /// Of few rows of the residual stream, sums of the squares of their parts.
    pub squares: T,
    /// What a block adds to the residual stream.
    pub delta: T,
    /// Of each token, Q, K and V.
    pub qkv: T,
    /// Q, turned by the tokens' positions; in the last layer also attention of the rows whose logits are wanted.
    pub q: T,
    pub attention: T,
    /// What attention over parts of the keys leaves.
    pub partials: T,
    /// Of each token, the gate and what it lets through.
    pub gate_up: T,
    /// The hidden layer of the feed-forward network.
    pub hidden: T,
    /// `[logits_rows][vocabulary]`.
    pub logits: T,
    /// The largest of each run of logits, `[logits_rows][runs]`.
    pub peaks: T,
    /// What was chosen last from each row of logits, `[logits_rows]`: the next step may embed it.
    pub tokens: T,
    /// Of a product's activations, where its kernel takes them rounded.
    pub codes: T,
    pub scales: T,
    /// The same, where it takes them from texels.
    pub texels: T,
}

impl<T> Scratch<T> {
    /// What each becomes, given what shaders see it as where that is no buffer.
    fn try_map<U, E>(&self, mut to: impl FnMut(&T, Option<Texel>) -> Result<U, E>) -> Result<Scratch<U>, E> {
        let mut buffer = |of| to(of, None);
        Ok(Scratch {
            x: buffer(&self.x)?,
            wanted: buffer(&self.wanted)?,
            h: buffer(&self.h)?,
            squares: buffer(&self.squares)?,
            delta: buffer(&self.delta)?,
            qkv: buffer(&self.qkv)?,
            q: buffer(&self.q)?,
            attention: buffer(&self.attention)?,
            partials: buffer(&self.partials)?,
            gate_up: buffer(&self.gate_up)?,
            hidden: buffer(&self.hidden)?,
            logits: buffer(&self.logits)?,
            peaks: buffer(&self.peaks)?,
            tokens: buffer(&self.tokens)?,
            codes: buffer(&self.codes)?,
            scales: buffer(&self.scales)?,
            texels: to(&self.texels, Some(Texel::FourWords))?,
        })
    }
}

impl Scratch {
    pub fn quantized(&self) -> Quantized {
        Quantized { codes: self.codes, scales: self.scales }
    }
}

/// Bytes of each activation.
pub(super) struct ScratchSizes(Scratch<u64>);

impl ScratchSizes {
    pub fn new(config: &Config, limits: StepLimits, memory: MemoryLimits) -> Result<ScratchSizes, ModelError> {
        let StepLimits { tokens, sequences, logits_rows, context, tiling, .. } = limits;
        let (q_dim, kv_dim) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let words = |rows: usize, width: usize| 4 * (rows * width) as u64;
        let logits = words(logits_rows, config.vocabulary);
        let limit = memory.max_binding;
        if logits > limit {
            return Err(ModelError::Unsupported(format!(
                "a step with {logits_rows} rows of {} logits, {logits} bytes, on a device that binds {limit} at once,",
                config.vocabulary
            )));
        }
        let widest = tokens * config.dim.max(q_dim).max(config.ffn_dim);
        // A binding of nothing is none.
        let [codes, scales] = Quantized::bytes(if limits.rounds_activations { widest } else { BLOCK });
        let in_texels = if limits.loads_activations_from_texels { widest } else { BLOCK };
        let parts = tiling.most_parts(sequences, context);
        let sizes = Scratch {
            x: words(tokens, config.dim),
            wanted: words(logits_rows, config.dim),
            h: words(tokens, config.dim),
            squares: linear::squares_bytes(tokens.min(matvec::MAX_M as usize), config.dim),
            delta: words(tokens, config.dim),
            qkv: words(tokens, q_dim + 2 * kv_dim),
            q: words(tokens, q_dim),
            attention: words(tokens, q_dim),
            partials: words(tiling.partials(config.kv_heads as u32, parts).max(1), 1),
            gate_up: words(tokens, 2 * config.ffn_dim),
            hidden: words(tokens, config.ffn_dim),
            logits,
            peaks: words(logits_rows, run_peaks::runs(config.vocabulary as u32) as usize),
            tokens: words(logits_rows, 1),
            codes,
            scales,
            texels: words(in_texels, 1),
        };
        let sizes = ScratchSizes(sizes);
        let most = |texel: Option<Texel>| texel.map_or(limit, |texel| memory.max_texels.saturating_mul(texel.bytes()));
        let beyond =
            sizes.all().into_iter().filter(|(bytes, texel)| *bytes > most(*texel)).max_by_key(|(bytes, _)| *bytes);
        if let Some((bytes, texel)) = beyond {
            let limit = most(texel);
            let possible = (u128::from(limit) * tokens as u128 / u128::from(bytes)) as usize;
            return Err(ModelError::StepTooLarge { what: "the activations", tokens, bytes, limit, possible });
        }
        Ok(sizes)
    }

    fn all(&self) -> Vec<(u64, Option<Texel>)> {
        let mut all = Vec::new();
        let Ok(_) = self.0.try_map(|bytes, texel| {
            all.push((*bytes, texel));
            Ok::<(), Infallible>(())
        });
        all
    }

    pub fn bytes(&self) -> u64 {
        self.all().iter().map(|(bytes, _)| bytes).sum()
    }

    pub fn allocate(&self, executor: &mut dyn Executor) -> Result<Scratch, ModelError> {
        let what = "the activations";
        self.0.try_map(|&size, texel| {
            let buffer = match texel {
                Some(texel) => executor.allocate_texels(what, size, texel)?,
                None => executor.allocate(what, size)?,
            };
            Ok(Slice { buffer, offset: 0, size })
        })
    }
}
