//! The forward pass of every family, written once, as a recording.

use super::decoder::{Choice, Model, StepShape};
use super::scratch::Scratch;
use super::step_inputs::Sections;
use super::weights::{LayerWeights, Linear};
use crate::kernels::attention_tiles::SplitPath;
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::kernels::linear::Input;
use crate::kernels::matvec::MAX_M;
use crate::kernels::{
    Activations, LinearPath, argmax, attention, attention_merge, embed, gated_activation, gather_rows, head_norm,
    linear, quantize_q8, residual_norm, rms_norm, rope_append, run_peaks, sample, to_texels,
};
use crate::recording::{Label, Recording, Slice};

/// Rows that a layer goes on with behind its attention.
#[derive(Clone, Copy)]
struct Rows {
    count: u32,
    /// The residual stream.
    x: Slice,
    attention: Activations,
    /// Whether their products take a half of a norm each.
    splits_norm: bool,
}

/// Where a block ends and the next one begins.
#[derive(Clone, Copy)]
struct Joint {
    /// Of the norm that what is added to it goes through first, where there is one.
    post_norm: Option<Slice>,
    /// Of the next block's norm.
    norm: Slice,
    /// What the two are called where they are a dispatch.
    what: &'static str,
}

impl Model {
    /// The forward pass of a step.
    ///
    /// The last layer's keys and values are those of all tokens. What is behind them is computed for the rows whose logits
    /// are wanted.
    pub fn record(&self, shape: StepShape) -> Recording {
        let mut recording = Recording::default();
        let scratch = &self.scratch;
        let inputs = self.inputs.sections(shape.tokens as usize);
        let mut normed = self.record_embedding(&mut recording, inputs, shape.tokens);
        let layers = &self.weights.layers;
        let (splits_norm, appends) = (self.splits_norms(shape.tokens), self.attention_appends(shape));
        for (index, weights) in layers.iter().enumerate() {
            let is_last = index + 1 == layers.len();
            let attends = !is_last || shape.logits_rows > 0;
            self.record_qkv(&mut recording, index, normed, shape.tokens);
            if !(attends && appends) {
                self.record_append(&mut recording, index, inputs, shape.tokens);
            }
            if !attends {
                break;
            }
            // The rows are rising: if they are as many as the tokens, they are the tokens.
            let gathers = is_last && shape.logits_rows < shape.tokens;
            let attention = self.record_attention(&mut recording, index, inputs, shape, gathers);
            let mut rows = Rows { count: shape.tokens, x: scratch.x, attention, splits_norm };
            if gathers {
                rows = self.record_gathering(&mut recording, inputs, shape.logits_rows);
            }
            normed = self.record_blocks(&mut recording, index, weights, rows);
        }
        if shape.logits_rows > 0 {
            self.linear(&mut recording, None, &self.weights.output, normed, scratch.logits, shape.logits_rows);
        }
        self.record_choice(&mut recording, inputs, shape);
        recording
    }

    /// To the first layer's normed input.
    fn record_embedding(&self, recording: &mut Recording, inputs: &Sections, m: u32) -> Input {
        let scratch = &self.scratch;
        let token_ids = embed::TokenIds { ids: inputs.token_ids, sampled: scratch.tokens };
        for shard in &self.weights.embedding.shards {
            let scale = self.config.embedding_scale;
            recording.push(at(None, shard.what), embed::dispatch(&shard.weights, token_ids, scratch.x, m, scale));
        }
        if let Some(first) = self.weights.layers.first() {
            let (threads, to) = (self.options.selection.row_threads(), self.for_product(scratch.h));
            let norm = rms_norm::dispatch(threads, scratch.x, first.attention_norm, to, self.norm_params(m));
            recording.push(at(Some(0), "attn_norm"), norm);
        }
        Input::Plain(self.for_product(scratch.h))
    }

    /// From a layer's normed input to its queries, keys and values in `qkv`.
    fn record_qkv(&self, recording: &mut Recording, index: usize, normed: Input, m: u32) {
        let (config, scratch, weights) = (&self.config, &self.scratch, &self.weights.layers[index]);
        let layer = Some(index as u32);
        let (heads, kv_heads, dim4) = (config.heads as u32, config.kv_heads as u32, config.head_dim as u32 / 4);
        self.linear(recording, layer, &weights.qkv, normed, scratch.qkv, m);
        if let Some(weights) = weights.head_norm {
            let (eps, offset) = (config.norm_eps, config.norm_offset);
            let params = head_norm::Params { tokens: m, heads, kv_heads, dim4, eps, offset };
            let threads = self.options.selection.row_threads();
            recording.push(at(layer, "head_norm"), head_norm::dispatch(threads, scratch.qkv, weights, params));
        }
    }

    /// Whether a step's attention turns queries and keys and appends to the cache itself: where all tokens go the split way.
    fn attention_appends(&self, shape: StepShape) -> bool {
        let appends = |split: SplitPath| split.appends(self.options.kv_type);
        shape.tiles == 0 && self.limits.tiling.split().is_some_and(appends)
    }

    /// The (cos, sin) of a layer.
    fn turns(&self, index: usize, inputs: &Sections) -> Slice {
        if self.config.layers[index].sliding { inputs.turns_sliding } else { inputs.turns }
    }

    /// From `qkv` to turned queries in `q`, and keys and values in the cache.
    fn record_append(&self, recording: &mut Recording, index: usize, inputs: &Sections, m: u32) {
        let (config, scratch) = (&self.config, &self.scratch);
        let (heads, kv_heads, dim4) = (config.heads as u32, config.kv_heads as u32, config.head_dim as u32 / 4);
        let slices = rope_append::Slices {
            qkv: scratch.qkv,
            turns: self.turns(index, inputs),
            slot_mapping: inputs.slot_mapping,
            q: scratch.q,
            cache: self.cache.layers[index],
        };
        let params = rope_append::Params { tokens: m, heads, kv_heads, dim4 };
        let append = rope_append::dispatch(
            self.options.selection.loads_wide(),
            self.options.kv_type,
            config.pairing,
            slices,
            params,
        );
        recording.push(at(Some(index as u32), "rope_append"), append);
    }

    /// Attention of all tokens. In texels already where only the split way is taken, unless rows are to be gathered from it.
    fn record_attention(
        &self,
        recording: &mut Recording,
        index: usize,
        inputs: &Sections,
        shape: StepShape,
        gathers: bool,
    ) -> Activations {
        let (config, scratch) = (&self.config, &self.scratch);
        let to = match self.options.selection.in_texels() && shape.tiles == 0 && !gathers {
            true => Activations::Texels(scratch.attended),
            false => Activations::Buffer(scratch.attention),
        };
        let at = |what| at(Some(index as u32), what);
        let slices = attention::Slices {
            q: scratch.q,
            cache: self.cache.layers[index],
            page_table: inputs.page_table,
            sequences: inputs.sequences,
            tiles: inputs.tiles,
            out: scratch.attention,
        };
        let with = attention::Heads {
            heads: config.heads as u32,
            kv_heads: config.kv_heads as u32,
            head_dim: config.head_dim as u32,
            kv_type: self.options.kv_type,
            window: config.layers[index].window.unwrap_or(0),
            scale: config.attention_scale,
        };
        let (tiling, stride, cost) = (&self.limits.tiling, shape.page_stride, self.attention_cost(shape));
        let whole = attention::dispatch(tiling.whole(), with, shape.tiles, stride, slices);
        recording.push(at("attention"), whole.costing(cost));
        if let Some(split) = tiling.split() {
            let partials = scratch.partials;
            let (pairing, turns) = (config.pairing, self.turns(index, inputs));
            let append = self.attention_appends(shape).then_some(attention::Append { pairing, turns });
            let q = if append.is_some() { scratch.qkv } else { scratch.q };
            let slices = attention::Slices { q, tiles: inputs.parts, out: partials, ..slices };
            let alone = match to {
                Activations::Texels(to) if shape.alone => Some(to),
                _ => None,
            };
            let parts = attention::Parts { count: shape.parts, alone, append };
            let dispatch = attention::dispatch_split(split, with, parts, stride, slices);
            let what = if append.is_some() { "rope_append + attention_split" } else { "attention_split" };
            recording.push(at(what), dispatch.costing(cost));
            if alone.is_none() {
                let (sequences, merges) = (inputs.sequences, inputs.merges);
                let slices = attention_merge::Slices { partials, sequences, merges, out: to };
                recording.push(at("attention_merge"), attention_merge::dispatch(split, with, shape.merges, slices));
            }
        }
        to
    }

    /// Of one layer's, in multiplications with an addition. How far a step is into the context is not known here: a quarter
    /// of it is a guess that is not far off in the steps that are long.
    fn attention_cost(&self, shape: StepShape) -> u64 {
        let keys = u64::from(shape.page_stride) * u64::from(PAGE_SIZE) / 4;
        2 * u64::from(shape.tokens) * keys * (self.config.heads * self.config.head_dim) as u64
    }

    /// The rows whose logits are wanted, where these are not all.
    fn record_gathering(&self, recording: &mut Recording, inputs: &Sections, count: u32) -> Rows {
        let (config, scratch) = (&self.config, &self.scratch);
        let mut gather = |what, from, to, width: usize| {
            let gathered = gather_rows::dispatch(from, inputs.logits_rows, to, count, width as u32);
            recording.push(at(Some(config.layers.len() as u32 - 1), what), gathered);
            to
        };
        let x = gather("wanted rows", scratch.x, scratch.wanted, config.dim);
        // The queries are not needed any more.
        let attention = gather("wanted attention", scratch.attention, scratch.q, config.heads * config.head_dim);
        Rows { count, x, attention: Activations::Buffer(attention), splits_norm: self.splits_norms(count) }
    }

    /// From a layer's attention to the next one's normed input, or the head's.
    fn record_blocks(&self, recording: &mut Recording, index: usize, weights: &LayerWeights, rows: Rows) -> Input {
        let layer = Some(index as u32);
        let Rows { count: m, attention, .. } = rows;
        let (post_norm, norm) = (weights.post_attention_norm, weights.ffn_norm);
        let to_ffn = Joint { post_norm, norm, what: "residual + ffn_norm" };
        let width = (self.config.heads * self.config.head_dim) as u32;
        let attention = self.record_to_texels(recording, layer, attention, m * width);
        let normed = self.record_residual(recording, layer, &weights.attention_output, attention, to_ffn, rows);
        let hidden = self.record_gate(recording, layer, weights, normed, m);
        let (norm, what) = match self.weights.layers.get(index + 1) {
            Some(next) => (next.attention_norm, "residual + next norm"),
            None => (self.weights.output_norm, "residual + output_norm"),
        };
        let onwards = Joint { post_norm: weights.post_ffn_norm, norm, what };
        self.record_residual(recording, layer, &weights.down, hidden, onwards, rows)
    }

    /// Activations that a kernel left in a buffer, as products take them.
    fn record_to_texels(
        &self,
        recording: &mut Recording,
        layer: Option<u32>,
        from: Activations,
        count: u32,
    ) -> Activations {
        match (from, self.for_product(self.scratch.attended)) {
            (Activations::Buffer(buffer), to @ Activations::Texels(texels)) => {
                recording.push(at(layer, "attention to texels"), to_texels::dispatch(buffer, texels, count));
                to
            }
            _ => from,
        }
    }

    /// A block's last product, what it adds to the residual stream, and the norm behind: in the product and the one that
    /// takes the norm's output where both can, which spares a dispatch.
    fn record_residual(
        &self,
        recording: &mut Recording,
        layer: Option<u32>,
        weights: &Linear,
        input: Activations,
        joint: Joint,
        rows: Rows,
    ) -> Input {
        let Rows { count: m, x, splits_norm, .. } = rows;
        let Scratch { h, delta, squares, .. } = self.scratch;
        let params = self.norm_params(m);
        let h = self.for_product(h);
        match &weights.shards[..] {
            [shard] if splits_norm && joint.post_norm.is_none() && weights.bias.is_none() => {
                let rms_norm::Params { eps, offset, .. } = params;
                let to = linear::Residual { stream: x, weight: joint.norm, eps, offset, unscaled: h, squares };
                let path = self.options.selection.linear(m, shard.weights.dtype);
                let (dispatch, unscaled) = linear::residual(path, &shard.weights, input, &to, m);
                recording.push(at(layer, shard.what), dispatch);
                Input::Unscaled(unscaled)
            }
            _ => {
                self.linear(recording, layer, weights, Input::Plain(input), delta, m);
                let Joint { post_norm: post_weight, norm: weight, what } = joint;
                let threads = self.options.selection.row_threads();
                let slices = residual_norm::Slices { delta, weight, x, h, post_weight };
                recording.push(at(layer, what), residual_norm::dispatch(threads, slices, params));
                Input::Plain(h)
            }
        }
    }

    /// Whether all products of `m` rows take half of a norm.
    fn splits_norms(&self, m: u32) -> bool {
        let weights = &self.weights;
        let layers = weights.layers.iter().flat_map(|layer| {
            [&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down].map(|linear| &linear.shards)
        });
        let mut shards = layers.chain([&weights.output.shards]).flatten();
        m <= MAX_M
            && shards.all(|shard| self.options.selection.splits_norms(m, shard.weights.dtype, self.config.dim as u32))
    }

    /// What [`Scratch`] has for a product.
    fn for_product(&self, slice: Slice) -> Activations {
        match self.options.selection.in_texels() {
            true => Activations::Texels(slice),
            false => Activations::Buffer(slice),
        }
    }

    /// From the normed input to `act(gate) * up`: at once where a kernel can and the two are one matrix.
    fn record_gate(
        &self,
        recording: &mut Recording,
        layer: Option<u32>,
        weights: &LayerWeights,
        normed: Input,
        m: u32,
    ) -> Activations {
        let (config, scratch) = (&self.config, &self.scratch);
        let hidden = self.for_product(scratch.hidden);
        if let [shard] = &weights.gate_up.shards[..] {
            let path = self.options.selection.linear(m, shard.weights.dtype);
            if linear::gates(path, &shard.weights) {
                let label = at(layer, shard.what);
                let x = self.input(recording, label, path, normed, m * shard.weights.k);
                let gated = linear::gated(path, &shard.weights, config.activation, x, hidden, m);
                recording.push(label, gated);
                return hidden;
            }
        }
        self.linear(recording, layer, &weights.gate_up, normed, scratch.gate_up, m);
        let (activation, width) = (config.activation, config.ffn_dim as u32);
        let gated = gated_activation::dispatch(activation, scratch.gate_up, hidden, m, width);
        recording.push(at(layer, "ffn_activation"), gated);
        hidden
    }

    /// The choice of a token from each row of logits.
    fn record_choice(&self, recording: &mut Recording, inputs: &Sections, shape: StepShape) {
        let scratch = &self.scratch;
        let params = run_peaks::Params { rows: shape.logits_rows, width: self.config.vocabulary as u32 };
        let (what, choice) = match shape.choice {
            Choice::None => return,
            Choice::Greedy => ("argmax", argmax::dispatch(scratch.logits, scratch.peaks, scratch.tokens, params)),
            Choice::Drawn => {
                let slices = sample::Slices {
                    logits: scratch.logits,
                    peaks: scratch.peaks,
                    draws: inputs.draws,
                    tokens: scratch.tokens,
                };
                ("sample", sample::dispatch(slices, params))
            }
        };
        recording.push(at(None, "run_peaks"), run_peaks::dispatch(scratch.logits, scratch.peaks, params));
        recording.push(at(None, what), choice);
    }

    /// Of the norm of rows of the residual stream.
    fn norm_params(&self, rows: u32) -> rms_norm::Params {
        let config = &self.config;
        rms_norm::Params { rows, dim4: config.dim as u32 / 4, eps: config.norm_eps, offset: config.norm_offset }
    }

    /// `y [m][width] = x W^T (+ bias)`.
    fn linear(&self, recording: &mut Recording, layer: Option<u32>, weights: &Linear, x: Input, y: Slice, m: u32) {
        // The shards of one input share it.
        let mut rounded = None;
        for shard in &weights.shards {
            let (label, shard) = (at(layer, shard.what), &shard.weights);
            let path = self.options.selection.linear(m, shard.dtype);
            let x = match path.takes_q8() {
                true => *rounded.get_or_insert_with(|| self.input(recording, label, path, x, m * shard.k)),
                false => x,
            };
            let slices = linear::Slices { x, y, bias: weights.bias };
            recording.push(label, linear::with_path(path, shard, slices, m, weights.width));
        }
    }

    /// `count` activations as a kernel multiplies them, rounded first if need be.
    fn input(&self, recording: &mut Recording, label: Label, path: LinearPath, x: Input, count: u32) -> Input {
        match x {
            Input::Plain(Activations::Buffer(x)) if path.takes_q8() => {
                let rounded = self.scratch.quantized();
                recording.push(label, quantize_q8::dispatch(x, rounded, count));
                Input::Q8(rounded)
            }
            other => other,
        }
    }
}

fn at(layer: Option<u32>, what: &'static str) -> Label {
    Label { layer, what }
}
