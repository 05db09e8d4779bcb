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
    /// The residual stream, normed: what products take.
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
    /// The same as products take it, where that is in texels.
    pub attended: T,
    /// What attention over parts of the keys leaves.
    pub partials: T,
    /// Of each token, the gate and what it lets through.
    pub gate_up: T,
    /// The hidden layer of the feed-forward network: what a product takes.
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
}

impl<T> Scratch<T> {
    fn try_map<U, E>(&self, mut to: impl FnMut(&T) -> Result<U, E>) -> Result<Scratch<U>, E> {
        Ok(Scratch {
            x: to(&self.x)?,
            wanted: to(&self.wanted)?,
            h: to(&self.h)?,
            squares: to(&self.squares)?,
            delta: to(&self.delta)?,
            qkv: to(&self.qkv)?,
            q: to(&self.q)?,
            attention: to(&self.attention)?,
            attended: to(&self.attended)?,
            partials: to(&self.partials)?,
            gate_up: to(&self.gate_up)?,
            hidden: to(&self.hidden)?,
            logits: to(&self.logits)?,
            peaks: to(&self.peaks)?,
            tokens: to(&self.tokens)?,
            codes: to(&self.codes)?,
            scales: to(&self.scales)?,
        })
    }
}

impl Scratch {
    pub fn quantized(&self) -> Quantized {
        Quantized { codes: self.codes, scales: self.scales }
    }
}

/// What is allocated for an activation.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    /// Where it is no buffer.
    texel: Option<Texel>,
}

/// The size of each activation.
pub(super) struct ScratchSizes(Scratch<Size>);

impl ScratchSizes {
    pub fn new(config: &Config, limits: StepLimits, memory: MemoryLimits) -> Result<ScratchSizes, ModelError> {
        let StepLimits { tokens, sequences, logits_rows, context, tiling, .. } = limits;
        let (q_dim, kv_dim) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let buffer = |bytes: u64| Size { bytes, texel: None };
        let words = |rows: usize, width: usize| buffer(4 * (rows * width) as u64);
        let logits = words(logits_rows, config.vocabulary);
        let limit = memory.max_binding;
        if logits.bytes > limit {
            let (bytes, vocabulary) = (logits.bytes, config.vocabulary);
            return Err(ModelError::Unsupported(format!(
                "a step with {logits_rows} rows of {vocabulary} logits, {bytes} bytes, on a device that binds {limit} at once,",
            )));
        }
        let widest = tokens * config.dim.max(q_dim).max(config.ffn_dim);
        // A binding of nothing is none.
        let [codes, scales] = Quantized::bytes(if limits.takes_q8 { widest } else { BLOCK }).map(buffer);
        let for_product = |size: Size| Size { texel: limits.in_texels.then_some(Texel::FourWords), ..size };
        let parts = tiling.most_parts(sequences, context);
        let sizes = Scratch {
            x: words(tokens, config.dim),
            wanted: words(logits_rows, config.dim),
            h: for_product(words(tokens, config.dim)),
            squares: buffer(linear::squares_bytes(tokens.min(matvec::MAX_M as usize), config.dim)),
            delta: words(tokens, config.dim),
            qkv: words(tokens, q_dim + 2 * kv_dim),
            q: words(tokens, q_dim),
            attention: words(tokens, q_dim),
            attended: for_product(if limits.in_texels { words(tokens, q_dim) } else { words(BLOCK, 1) }),
            partials: words(tiling.partials(config.kv_heads as u32, parts).max(1), 1),
            gate_up: words(tokens, 2 * config.ffn_dim),
            hidden: for_product(words(tokens, config.ffn_dim)),
            logits,
            peaks: words(logits_rows, run_peaks::runs(config.vocabulary as u32) as usize),
            tokens: words(logits_rows, 1),
            codes,
            scales,
        };
        let sizes = ScratchSizes(sizes);
        let beyond = sizes.all().into_iter().filter(|size| size.bytes > memory.most(size.texel));
        if let Some(Size { bytes, texel }) = beyond.max_by_key(|size| size.bytes) {
            let limit = memory.most(texel);
            let possible = (u128::from(limit) * tokens as u128 / u128::from(bytes)) as usize;
            return Err(ModelError::StepTooLarge { what: "the activations", tokens, bytes, limit, possible });
        }
        Ok(sizes)
    }

    fn all(&self) -> Vec<Size> {
        let mut all = Vec::new();
        let Ok(_) = self.0.try_map(|size| {
            all.push(*size);
            Ok::<(), Infallible>(())
        });
        all
    }

    /// What they take of the device's memory.
    pub fn bytes(&self) -> u64 {
        self.all().iter().map(|Size { bytes, texel }| texel.map_or(*bytes, |texel| texel.taken(*bytes))).sum()
    }

    pub fn allocate(&self, executor: &mut dyn Executor) -> Result<Scratch, ModelError> {
        let what = "the activations";
        self.0.try_map(|&Size { bytes, texel }| {
            let buffer = match texel {
                Some(texel) => executor.allocate_texels(what, bytes, texel)?,
                None => executor.allocate(what, bytes)?,
            };
            Ok(Slice { buffer, offset: 0, size: bytes })
        })
    }
}
