//! The operations that a model's steps take, by counting (a multiplication with an addition is two).

use crate::model::Config;

/// Counts the operations of a decoder. Norms, rotations and activations, a thousandth of the rest, are left out.
#[derive(Clone, Copy)]
pub struct WorkOfModel<'c>(pub &'c Config);

impl WorkOfModel<'_> {
    /// One token behind `keys - 1` others that are in the cache, and its logits: `dim^2` terms, and one that is linear in the
    /// context.
    pub fn decode(&self, keys: usize) -> f64 {
        self.0.flops_per_token() as f64 + self.attention(keys) + self.head()
    }

    /// A prompt of so many tokens, and its last token's logits: `L dim^2 + L^2 dim`.
    pub fn prefill(&self, tokens: usize) -> f64 {
        let attention: f64 = (1..=tokens).map(|keys| self.attention(keys)).sum();
        let linear = tokens as f64 * self.0.flops_per_token() as f64;
        linear - tokens.saturating_sub(1) as f64 * self.last_blocks() + attention + self.head()
    }

    /// Generating so many tokens from one, each step reading what the ones before left: `T dim^2 + T^2 dim`.
    pub fn with_cache(&self, tokens: usize) -> f64 {
        (1..=tokens).map(|keys| self.decode(keys)).sum()
    }

    /// The same with the whole sequence computed again in each step: `T^2 dim^2 + T^3 dim`.
    pub fn without_cache(&self, tokens: usize) -> f64 {
        (1..=tokens).map(|length| self.prefill(length)).sum()
    }

    /// One token's scores and their sums: a product with each key and each value, in each head.
    fn attention(&self, keys: usize) -> f64 {
        let Config { heads, head_dim, layers, .. } = self.0;
        let visible = layers.iter().map(|layer| layer.window.map_or(keys, |window| keys.min(window as usize)));
        4.0 * (heads * head_dim) as f64 * visible.sum::<usize>() as f64
    }

    /// The linear layers behind the last layer's attention, which only the last token goes through.
    fn last_blocks(&self) -> f64 {
        let Config { dim, ffn_dim, heads, head_dim, .. } = self.0;
        2.0 * (heads * head_dim * dim + 3 * ffn_dim * dim) as f64
    }

    /// One row of logits.
    fn head(&self) -> f64 {
        2.0 * (self.0.vocabulary * self.0.dim) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_a_hand_count() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/tiny/chat");
        let checkpoint = crate::formats::Checkpoint::open(&folder).expect("the tiny model");
        let config = Config::from_checkpoint(&checkpoint).expect("its description");
        let work = WorkOfModel(&config);
        let Config { dim, ffn_dim, heads, kv_heads, head_dim, vocabulary, .. } = &config;
        let layers = config.layers.len();
        let matrices = layers * (2 * heads * head_dim * dim + 2 * kv_heads * head_dim * dim + 3 * ffn_dim * dim);
        let (linear, head, key) = (2 * matrices, 2 * vocabulary * dim, 4 * layers * heads * head_dim);
        assert_eq!(work.decode(1), (linear + head + key) as f64);
        assert_eq!(work.decode(7) - work.decode(6), key as f64);
        let last = 2 * (heads * head_dim * dim + 3 * ffn_dim * dim);
        assert_eq!(work.prefill(3), (3 * linear - 2 * last + head + 6 * key) as f64);
        assert_eq!(work.with_cache(3), (3 * linear + 3 * head + 6 * key) as f64);
        assert_eq!(work.without_cache(3), (6 * linear - (1 + 2) * last + 3 * head + (1 + 3 + 6) * key) as f64);
    }
}
