//! What the host tells the device about a step: one buffer with a section for each array of the batch.

use super::ModelError;
use super::config::Config;
use super::rope_table::RopeTable;
use crate::kernels::attention::{AttentionPath, Sequence, Tile};
use crate::recording::{Executor, Slice};
use crate::schedule::Batch;

/// The most that a step may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepLimits {
    pub tokens: usize,
    pub sequences: usize,
    pub logits_rows: usize,
    /// Pages of the longest sequence.
    pub page_stride: usize,
    /// Whose tiles the queries are cut into.
    pub attention: AttentionPath,
}

/// The sizes of a step that fix its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepShape {
    pub tokens: u32,
    pub tiles: u32,
    pub logits_rows: u32,
    /// Entries of a row of the page table.
    pub page_stride: u32,
    /// The largest logit of each row is looked for on the device.
    pub greedy: bool,
}

/// The sections on the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepInputs {
    pub token_ids: Slice,
    pub slot_mapping: Slice,
    pub page_table: Slice,
    pub sequences: Slice,
    pub tiles: Slice,
    pub logits_rows: Slice,
    /// (cos, sin) of full layers, and of sliding ones (the same where they do not differ).
    pub turns: Slice,
    pub turns_sliding: Slice,
}

/// Host-side copies, kept so that a step allocates nothing.
#[derive(Default)]
pub(super) struct Staging {
    sequences: Vec<Sequence>,
    tiles: Vec<Tile>,
    turns: Vec<[f32; 2]>,
}

fn section_sizes(config: &Config, limits: StepLimits) -> [u64; 8] {
    let StepLimits { tokens, sequences, logits_rows, page_stride, .. } = limits;
    let rows = tokens * config.heads_per_kv_head();
    let tiles = limits.attention.most_tiles(config.head_dim as u32, sequences, rows);
    let turns = tokens * (config.head_dim / 2) * size_of::<[f32; 2]>();
    let sliding = if config.rope_sliding.is_some() { turns } else { 0 };
    let bytes = [
        tokens * 4,
        tokens * 4,
        sequences * page_stride * 4,
        sequences * size_of::<Sequence>(),
        tiles * size_of::<Tile>(),
        logits_rows * 4,
        turns,
        sliding,
    ];
    bytes.map(|b| b as u64)
}

impl StepInputs {
    /// Bytes of all sections.
    pub fn bytes(config: &Config, limits: StepLimits) -> u64 {
        section_sizes(config, limits).into_iter().map(|size| size.next_multiple_of(256)).sum()
    }

    pub fn allocate(config: &Config, limits: StepLimits, executor: &mut dyn Executor) -> Result<Self, ModelError> {
        let buffer = executor.allocate("the inputs of a step", Self::bytes(config, limits))?;
        let mut end = 0;
        let [token_ids, slot_mapping, page_table, sequences, tiles, logits_rows, turns, turns_sliding] =
            section_sizes(config, limits).map(|size| {
                let slice = Slice { buffer, offset: end, size };
                end += size.next_multiple_of(256);
                slice
            });
        let turns_sliding = if config.rope_sliding.is_some() { turns_sliding } else { turns };
        Ok(StepInputs { token_ids, slot_mapping, page_table, sequences, tiles, logits_rows, turns, turns_sliding })
    }

    /// Writes a batch's arrays and says how large the step is.
    pub fn write(
        &self,
        batch: &Batch,
        config: &Config,
        attention: AttentionPath,
        ropes: &[RopeTable],
        staging: &mut Staging,
        executor: &mut dyn Executor,
    ) -> Result<StepShape, ModelError> {
        staging.sequences.clear();
        staging.tiles.clear();
        for (index, (_, tokens, context)) in batch.sequences().enumerate() {
            let sequence = Sequence {
                row0: batch.query_start[index],
                tokens: tokens as u32,
                position0: (context - tokens) as u32,
                page_row: index as u32,
            };
            let rows = sequence.tokens * config.heads_per_kv_head() as u32;
            attention.push_tiles(config.head_dim as u32, index as u32, rows, &mut staging.tiles);
            staging.sequences.push(sequence);
        }
        executor.write(self.token_ids, bytemuck::cast_slice(&batch.token_ids))?;
        executor.write(self.slot_mapping, bytemuck::cast_slice(&batch.slot_mapping))?;
        executor.write(self.page_table, bytemuck::cast_slice(&batch.page_table))?;
        executor.write(self.sequences, bytemuck::cast_slice(&staging.sequences))?;
        executor.write(self.tiles, bytemuck::cast_slice(&staging.tiles))?;
        if !batch.logits_rows.is_empty() {
            executor.write(self.logits_rows, bytemuck::cast_slice(&batch.logits_rows))?;
        }
        for (rope, section) in ropes.iter().zip([self.turns, self.turns_sliding]) {
            staging.turns.clear();
            rope.push_turns(&batch.positions, &mut staging.turns);
            executor.write(section, bytemuck::cast_slice(&staging.turns))?;
        }
        Ok(StepShape {
            tokens: batch.num_tokens() as u32,
            tiles: staging.tiles.len() as u32,
            logits_rows: batch.logits_rows.len() as u32,
            page_stride: batch.page_table_stride,
            greedy: false,
        })
    }
}
