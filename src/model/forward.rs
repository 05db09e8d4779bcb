//! The forward pass of every family, written once, as a recording.

use super::decoder::{Choice, Model, StepShape};
use super::scratch::Scratch;
use super::step_inputs::Sections;
use super::weights::{LayerWeights, Linear, Shard};
use crate::kernels::attention_tiles::SplitPath;
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::kernels::linear::Input;
use crate::kernels::matvec::MAX_M;
use crate::kernels::{
    Destination, LinearPath, argmax, attention, attention_merge, embed, gated_activation, gather_rows, head_norm,
    linear, quantize_q8, residual_norm, rms_norm, rope_append, run_peaks, sample, to_texels,
};
use crate::recording::{Label, Recording, Slice};

/// Rows that a layer goes on with behind its attention.
#[derive(Clone, Copy)]
struct Rows {
    count: u32,
    /// The residual stream.
    x: Slice,
    attention: Slice,
    /// Whether their products take a half of a norm each.
    splits_norm: bool,
}

/// Where a block ends and the next one begins.
#[derive(Clone, Copy)]
struct Joint<'a> {
    /// Of the norm that what is added to it goes through first, where there is one.
    post_norm: Option<Slice>,
    /// Of the next block's norm.
    norm: Slice,
    /// What takes its output.
    next: &'a Linear,
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
        let splits_norm = self.splits_norms(shape.tokens);
        for (index, weights) in layers.iter().enumerate() {
            let is_last = index + 1 == layers.len();
            let attends = !is_last || shape.logits_rows > 0;
            self.record_qkv(&mut recording, index, normed, shape.tokens);
            if !(attends && self.attention_appends(shape)) {
                self.record_append(&mut recording, index, inputs, shape.tokens);
            }
            if !attends {
                break;
            }
            self.record_attention(&mut recording, index, inputs, shape);
            let (count, attention) = (shape.tokens, scratch.attention);
            let mut rows = Rows { count, x: scratch.x, attention, splits_norm };
            // The rows are rising: if they are as many as the tokens, they are the tokens.
            if is_last && shape.logits_rows < shape.tokens {
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
            let (threads, to) = (self.options.selection.row_threads(), self.destination(scratch.h, &first.qkv, m));
            let norm = rms_norm::dispatch(threads, scratch.x, first.attention_norm, to, self.norm_params(m));
            recording.push(at(Some(0), "attn_norm"), norm);
            return to.input();
        }
        Input::F32(scratch.h)
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

    /// Attention of all tokens.
    fn record_attention(&self, recording: &mut Recording, index: usize, inputs: &Sections, shape: StepShape) {
        let (config, scratch) = (&self.config, &self.scratch);
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
            let out = if shape.alone { scratch.attention } else { partials };
            let slices = attention::Slices { q, tiles: inputs.parts, out, ..slices };
            let parts = attention::Parts { count: shape.parts, alone: shape.alone, append };
            let dispatch = attention::dispatch_split(split, with, parts, stride, slices);
            let what = if append.is_some() { "rope_append + attention_split" } else { "attention_split" };
            recording.push(at(what), dispatch.costing(cost));
            if !shape.alone {
                let (sequences, merges, out) = (inputs.sequences, inputs.merges, scratch.attention);
                let slices = attention_merge::Slices { partials, sequences, merges, out };
                recording.push(at("attention_merge"), attention_merge::dispatch(split, with, shape.merges, slices));
            }
        }
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
        Rows { count, x, attention, splits_norm: self.splits_norms(count) }
    }

    /// From a layer's attention to the next one's normed input, or the head's.
    fn record_blocks(&self, recording: &mut Recording, index: usize, weights: &LayerWeights, rows: Rows) -> Input {
        let layer = Some(index as u32);
        let Rows { count: m, attention, .. } = rows;
        let to_ffn = Joint {
            post_norm: weights.post_attention_norm,
            norm: weights.ffn_norm,
            next: &weights.gate_up,
            what: "residual + ffn_norm",
        };
        let attention = Input::F32(attention);
        let normed = self.record_residual(recording, layer, &weights.attention_output, attention, to_ffn, rows);
        let hidden = self.record_gate(recording, layer, weights, normed, m);
        let (norm, next, what) = match self.weights.layers.get(index + 1) {
            Some(next) => (next.attention_norm, &next.qkv, "residual + next norm"),
            None => (self.weights.output_norm, &self.weights.output, "residual + output_norm"),
        };
        let onwards = Joint { post_norm: weights.post_ffn_norm, norm, next, what };
        self.record_residual(recording, layer, &weights.down, hidden, onwards, rows)
    }

    /// A block's last product, what it adds to the residual stream, and the norm behind: in the product and the one that
    /// takes the norm's output where both can, which spares a dispatch.
    fn record_residual(
        &self,
        recording: &mut Recording,
        layer: Option<u32>,
        weights: &Linear,
        input: Input,
        joint: Joint<'_>,
        rows: Rows,
    ) -> Input {
        let Rows { count: m, x, splits_norm, .. } = rows;
        let Scratch { h, delta, squares, .. } = self.scratch;
        let params = self.norm_params(m);
        match (&weights.shards[..], input) {
            ([shard], Input::F32(input)) if splits_norm && joint.post_norm.is_none() && weights.bias.is_none() => {
                let rms_norm::Params { eps, offset, .. } = params;
                let to = linear::Residual { stream: x, weight: joint.norm, eps, offset, unscaled: h, squares };
                let path = self.options.selection.linear(m, shard.weights.dtype);
                let (dispatch, unscaled) = linear::residual(path, &shard.weights, input, &to, m);
                recording.push(at(layer, shard.what), dispatch);
                Input::Unscaled(unscaled)
            }
            _ => {
                self.linear(recording, layer, weights, input, delta, m);
                let Joint { post_norm: post_weight, norm: weight, next, what } = joint;
                let (threads, h) = (self.options.selection.row_threads(), self.destination(h, next, m));
                let slices = residual_norm::Slices { delta, weight, x, h, post_weight };
                recording.push(at(layer, what), residual_norm::dispatch(threads, slices, params));
                h.input()
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

    /// Where activations are left for a product of `m` rows: in texels if all of its kernels load them from there.
    fn destination(&self, buffer: Slice, product: &Linear, m: u32) -> Destination {
        let path = |shard: &Shard| self.options.selection.linear(m, shard.weights.dtype);
        match product.shards.iter().all(|shard| path(shard).loads_activations_from_texels()) {
            true => Destination::Texels(self.scratch.texels),
            false => Destination::Buffer(buffer),
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
    ) -> Input {
        let (config, scratch) = (&self.config, &self.scratch);
        if let [shard] = &weights.gate_up.shards[..] {
            let path = self.options.selection.linear(m, shard.weights.dtype);
            if path.gates() {
                let label = at(layer, shard.what);
                let x = self.input(recording, label, path, normed, m * shard.weights.k);
                let gated = linear::gated(path, &shard.weights, config.activation, x, scratch.hidden, m);
                recording.push(label, gated);
                return Input::F32(scratch.hidden);
            }
        }
        self.linear(recording, layer, &weights.gate_up, normed, scratch.gate_up, m);
        let (activation, width) = (config.activation, config.ffn_dim as u32);
        let hidden = self.destination(scratch.hidden, &weights.down, m);
        let gated = gated_activation::dispatch(activation, scratch.gate_up, hidden, m, width);
        recording.push(at(layer, "ffn_activation"), gated);
        hidden.input()
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
        // As the kernels take it: the shards of one input share that.
        let (mut rounded, mut in_texels) = (None, None);
        for shard in &weights.shards {
            let (label, shard) = (at(layer, shard.what), &shard.weights);
            let path = self.options.selection.linear(m, shard.dtype);
            let made = match path {
                path if path.rounds_activations() => Some(&mut rounded),
                path if path.loads_activations_from_texels() => Some(&mut in_texels),
                _ => None,
            };
            let x = match made {
                Some(made) => *made.get_or_insert_with(|| self.input(recording, label, path, x, m * shard.k)),
                None => x,
            };
            let slices = linear::Slices { x, y, bias: weights.bias };
            recording.push(label, linear::with_path(path, shard, slices, m, weights.width));
        }
    }

    /// `count` activations as a kernel multiplies them, rounded or copied first if need be.
    fn input(&self, recording: &mut Recording, label: Label, path: LinearPath, x: Input, count: u32) -> Input {
        match x {
            Input::F32(x) if path.rounds_activations() => {
                let rounded = self.scratch.quantized();
                recording.push(label, quantize_q8::dispatch(x, rounded, count));
                Input::Q8(rounded)
            }
            Input::F32(x) if path.loads_activations_from_texels() => {
                let texels = self.scratch.texels;
                recording.push(label, to_texels::dispatch(x, texels, count));
                Input::Texels(texels)
            }
            other => other,
        }
    }
}

fn at(layer: Option<u32>, what: &'static str) -> Label {
    Label { layer, what }
}
