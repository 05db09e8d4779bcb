//! Linear layers that have one input: where their weights are of one type, they are one matrix, row after row, and one
//! dispatch computes them all.

use super::config::Config;
use super::names::PerLayer::{self, *};

/// The weights and the bias of each such layer, in the order of their outputs.
pub(super) type Stack = [(PerLayer, Option<PerLayer>)];

pub(super) const QKV: &Stack = &[(Query, Some(QueryBias)), (Key, Some(KeyBias)), (Value, Some(ValueBias))];
pub(super) const ATTENTION_OUTPUT: &Stack = &[(AttentionOutput, Some(AttentionOutputBias))];
pub(super) const GATE_UP: &Stack = &[(Gate, None), (Up, None)];
pub(super) const DOWN: &Stack = &[(Down, None)];

/// Rows of a layer's weights: its outputs.
pub(super) fn outputs(config: &Config, weights: PerLayer) -> usize {
    match weights {
        Query => config.heads * config.head_dim,
        Key | Value => config.kv_heads * config.head_dim,
        Gate | Up => config.ffn_dim,
        _ => config.dim,
    }
}

/// Elements of a row of a layer's weights: its inputs.
pub(super) fn inputs(config: &Config, weights: PerLayer) -> usize {
    match weights {
        AttentionOutput => config.heads * config.head_dim,
        Down => config.ffn_dim,
        _ => config.dim,
    }
}

/// What messages call the layers of a stack from one to another.
pub(super) fn name(first: PerLayer, last: PerLayer) -> &'static str {
    match (first, last) {
        (Query, Query) => "attn_q",
        (Query, Key) => "attn_qk",
        (Query, _) => "attn_qkv",
        (Key, Key) => "attn_k",
        (Key, _) => "attn_kv",
        (Value, _) => "attn_v",
        (AttentionOutput, _) => "attn_output",
        (Gate, Gate) => "ffn_gate",
        (Gate, _) => "ffn_gate_up",
        (Up, _) => "ffn_up",
        _ => "ffn_down",
    }
}
