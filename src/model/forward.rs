//! The forward pass of every family, written once, as a recording.

use super::decoder::{Choice, Model, StepShape};
use super::scratch::Scratch;
use super::step_inputs::Sections;
use super::weights::{LayerWeights, Linear};
use crate::kernels::kv_cache::PAGE_SIZE;
use crate::kernels::{
    add, argmax, attention, attention_merge, embed, gated_activation, gather_rows, kv_append, linear, residual_norm,
    rms_norm, rope, run_peaks, sample,
};
use crate::recording::{Label, Recording, Slice};

impl Model {
    /// The forward pass of a step.
    pub fn record(&self, shape: StepShape) -> Recording {
        let mut recording = Recording::default();
        let (config, scratch) = (&self.config, &self.scratch);
        let inputs = self.inputs.sections(shape.tokens as usize);
        let m = shape.tokens;
        let dim = config.dim as u32;
        let token_ids = embed::TokenIds { ids: inputs.token_ids, sampled: scratch.tokens };
        for shard in &self.weights.embedding.shards {
            let scale = config.embedding_scale;
            recording.push(at(None, "embed"), embed::dispatch(shard, token_ids, scratch.x, m, scale));
        }
        if let Some(first) = self.weights.layers.first() {
            self.norm(&mut recording, at(Some(0), "attn_norm"), scratch.x, first.attention_norm, scratch.h, m);
        }
        for (index, weights) in self.weights.layers.iter().enumerate() {
            self.record_attention(&mut recording, index, weights, inputs, shape);
            self.record_ffn(&mut recording, index, weights, m);
        }
        let rows = shape.logits_rows;
        if rows > 0 {
            let gathered = gather_rows::dispatch(scratch.x, inputs.logits_rows, scratch.delta, rows, dim);
            recording.push(at(None, "logits rows"), gathered);
            self.norm(
                &mut recording,
                at(None, "output_norm"),
                scratch.delta,
                self.weights.output_norm,
                scratch.h,
                rows,
            );
            let label = at(None, "output");
            self.linear(&mut recording, label, &self.weights.output, scratch.h, scratch.logits, rows);
        }
        let width = config.vocabulary as u32;
        match shape.choice {
            Choice::None => {}
            Choice::Greedy => {
                let params = argmax::Params { rows, width };
                recording.push(at(None, "argmax"), argmax::dispatch(scratch.logits, scratch.tokens, params));
            }
            Choice::Drawn => {
                let params = run_peaks::Params { rows, width };
                recording.push(at(None, "run_peaks"), run_peaks::dispatch(scratch.logits, scratch.peaks, params));
                let slices = sample::Slices {
                    logits: scratch.logits,
                    peaks: scratch.peaks,
                    draws: inputs.draws,
                    tokens: scratch.tokens,
                };
                recording.push(at(None, "sample"), sample::dispatch(slices, params));
            }
        }
        recording
    }

    /// From its normed input in `h` to that of the feed-forward block.
    fn record_attention(
        &self,
        recording: &mut Recording,
        index: usize,
        weights: &LayerWeights,
        inputs: &Sections,
        shape: StepShape,
    ) {
        let (config, scratch) = (&self.config, &self.scratch);
        let at = |what| at(Some(index as u32), what);
        let m = shape.tokens;
        let (heads, kv_heads) = (config.heads as u32, config.kv_heads as u32);
        let head_dim = config.head_dim as u32;
        let window = config.layers[index].window;

        self.linear(recording, at("attn_q"), &weights.query, scratch.h, scratch.q, m);
        self.linear(recording, at("attn_k"), &weights.key, scratch.h, scratch.k, m);
        self.linear(recording, at("attn_v"), &weights.value, scratch.h, scratch.v, m);
        let mut head_norm = |what, x: Slice, weight: Option<Slice>, normed: Slice, heads: u32| match weight {
            Some(weight) => {
                let params = self.norm_params(m * heads, head_dim);
                recording.push(at(what), rms_norm::dispatch(x, weight, normed, params));
                normed
            }
            None => x,
        };
        let q = head_norm("attn_q_norm", scratch.q, weights.query_norm, scratch.q_normed, heads);
        let k = head_norm("attn_k_norm", scratch.k, weights.key_norm, scratch.k_normed, kv_heads);

        let turns = if config.layers[index].sliding { inputs.turns_sliding } else { inputs.turns };
        let params = rope::Params { tokens: m, heads, kv_heads, head_dim, rotary: head_dim };
        recording.push(at("rope"), rope::dispatch(config.pairing, q, k, turns, params));
        let cache = self.cache.layers[index];
        let slices = kv_append::Slices { k, v: scratch.v, slot_mapping: inputs.slot_mapping, cache };
        let params = kv_append::Params { tokens: m, kv_heads, dim4: head_dim / 4 };
        recording.push(at("kv_append"), kv_append::dispatch(self.options.kv_type, slices, params));

        let slices = attention::Slices {
            q,
            cache,
            page_table: inputs.page_table,
            sequences: inputs.sequences,
            tiles: inputs.tiles,
            out: scratch.attention,
        };
        let with = attention::Heads {
            heads,
            kv_heads,
            head_dim,
            kv_type: self.options.kv_type,
            window: window.unwrap_or(0),
            scale: config.attention_scale,
        };
        let (tiling, stride, cost) = (&self.limits.tiling, shape.page_stride, self.attention_cost(shape));
        let whole = attention::dispatch(tiling.whole(), with, shape.tiles, stride, slices);
        recording.push(at("attention"), whole.costing(cost));
        if let Some(split) = tiling.split() {
            let partials = scratch.partials;
            let slices = attention::Slices { tiles: inputs.parts, out: partials, ..slices };
            let dispatch = attention::dispatch_split(split, with, shape.parts, stride, slices);
            recording.push(at("attention_split"), dispatch.costing(cost));
            let (sequences, merges, out) = (inputs.sequences, inputs.merges, scratch.attention);
            let slices = attention_merge::Slices { partials, sequences, merges, out };
            recording.push(at("attention_merge"), attention_merge::dispatch(split, with, shape.merges, slices));
        }
        self.linear(recording, at("attn_output"), &weights.attention_output, scratch.attention, scratch.delta, m);
        self.residual_and_norm(recording, at("residual"), weights.post_attention_norm, weights.ffn_norm, m);
    }

    /// Of one layer's, in multiplications with an addition. How far a step is into the context is not known here: a quarter
    /// of it is a guess that is not far off in the steps that are long.
    fn attention_cost(&self, shape: StepShape) -> u64 {
        let keys = u64::from(shape.page_stride) * u64::from(PAGE_SIZE) / 4;
        2 * u64::from(shape.tokens) * keys * (self.config.heads * self.config.head_dim) as u64
    }

    /// From its normed input in `h` to that of the next layer.
    fn record_ffn(&self, recording: &mut Recording, index: usize, weights: &LayerWeights, m: u32) {
        let scratch = &self.scratch;
        let at = |what| at(Some(index as u32), what);
        self.linear(recording, at("ffn_gate"), &weights.gate, scratch.h, scratch.gate, m);
        self.linear(recording, at("ffn_up"), &weights.up, scratch.h, scratch.up, m);
        let count = m * self.config.ffn_dim as u32;
        let activation = gated_activation::dispatch(self.config.activation, scratch.gate, scratch.up, count);
        recording.push(at("ffn_activation"), activation);
        self.linear(recording, at("ffn_down"), &weights.down, scratch.gate, scratch.delta, m);
        match self.weights.layers.get(index + 1) {
            Some(next) => {
                self.residual_and_norm(recording, at("residual"), weights.post_ffn_norm, next.attention_norm, m);
            }
            // Only some of the rows are normed for the logits.
            None => {
                let mut delta = scratch.delta;
                if let Some(weight) = weights.post_ffn_norm {
                    self.norm(recording, at("post_ffw_norm"), delta, weight, scratch.h, m);
                    delta = scratch.h;
                }
                recording.push(at("residual"), add::dispatch(scratch.x, delta, m * self.config.dim as u32));
            }
        }
    }

    /// `x += delta`, which is normed first where the family has a norm behind its blocks, and the norm of the next block.
    fn residual_and_norm(
        &self,
        recording: &mut Recording,
        label: Label,
        post_weight: Option<Slice>,
        weight: Slice,
        rows: u32,
    ) {
        let Scratch { x, h, delta, .. } = self.scratch;
        let slices = residual_norm::Slices { delta, weight, x, h, post_weight };
        recording.push(label, residual_norm::dispatch(slices, self.norm_params(rows, self.config.dim as u32)));
    }

    fn norm(&self, recording: &mut Recording, label: Label, x: Slice, weight: Slice, y: Slice, rows: u32) {
        let params = self.norm_params(rows, self.config.dim as u32);
        recording.push(label, rms_norm::dispatch(x, weight, y, params));
    }

    fn norm_params(&self, rows: u32, width: u32) -> rms_norm::Params {
        rms_norm::Params { rows, dim4: width / 4, eps: self.config.norm_eps, offset: self.config.norm_offset }
    }

    fn linear(&self, recording: &mut Recording, label: Label, layer: &Linear, x: Slice, y: Slice, m: u32) {
        let y_stride = layer.shards.iter().map(|shard| shard.rows).sum();
        for shard in &layer.shards {
            let slices = linear::Slices { x, y, bias: layer.bias };
            recording.push(label, linear::dispatch(&self.options.selection, shard, slices, m, y_stride));
        }
    }
}

fn at(layer: Option<u32>, what: &'static str) -> Label {
    Label { layer, what }
}
