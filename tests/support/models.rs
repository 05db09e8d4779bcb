//! Runs models on the GPU and on the reference, a chunk at a time, and reads what transformers expects of them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use wgpt::formats::Checkpoint;
use wgpt::gpu::{DeviceSelector, GpuExecutor};
use wgpt::kernels::Selection;
use wgpt::kernels::kv_cache::{KvType, PAGE_SIZE};
use wgpt::model::{Config, Model, ModelOptions};
use wgpt::recording::Executor;
use wgpt::reference::ReferenceExecutor;
use wgpt::schedule::{Batch, LogitsWanted, RequestId, SequenceStep};

/// Tokens of context in these tests.
pub const CONTEXT: usize = 128;
/// Sequences in these tests.
pub const SEQUENCES: usize = 4;

pub fn oracle(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(path)
}

/// The GPU, shared by all tests so that each pipeline is made once.
pub fn gpu() -> MutexGuard<'static, GpuExecutor> {
    static GPU: OnceLock<Mutex<GpuExecutor>> = OnceLock::new();
    GPU.get_or_init(|| Mutex::new(GpuExecutor::open(&DeviceSelector::default()).expect("an adapter")))
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

pub fn reference() -> ReferenceExecutor {
    ReferenceExecutor::new()
}

/// Arrays that transformers made: `expected.safetensors`.
pub struct Expected {
    bytes: Vec<u8>,
}

impl Expected {
    pub fn open(path: &Path) -> Expected {
        Expected { bytes: std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) }
    }

    fn words(&self, name: &str) -> Vec<u32> {
        let arrays = safetensors::SafeTensors::deserialize(&self.bytes).expect("safetensors");
        let array = arrays.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        array.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        self.words(name)
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name).into_iter().map(f32::from_bits).collect()
    }
}

/// How much a model makes room for.
#[derive(Clone, Copy)]
pub struct Room {
    pub context: usize,
    pub sequences: usize,
    pub step_tokens: usize,
    pub logits_rows: usize,
}

/// A model with the pages of [`SEQUENCES`] sequences, each of which has its own.
pub struct Runner<'e> {
    pub executor: &'e mut dyn Executor,
    pub model: Model,
}

impl<'e> Runner<'e> {
    pub fn load(executor: &'e mut dyn Executor, selection: Selection, path: &Path, kv_type: KvType) -> Runner<'e> {
        let room = Room { context: CONTEXT, sequences: SEQUENCES, step_tokens: CONTEXT, logits_rows: CONTEXT };
        Runner::load_with(executor, selection, path, kv_type, room)
    }

    pub fn load_with(
        executor: &'e mut dyn Executor,
        selection: Selection,
        path: &Path,
        kv_type: KvType,
        room: Room,
    ) -> Runner<'e> {
        let checkpoint = Checkpoint::open(path).unwrap_or_else(|e| panic!("{e}"));
        let Room { context, sequences, step_tokens, logits_rows } = room;
        let options =
            ModelOptions { context, sequences, step_tokens, logits_rows, kv_type, selection, available_memory: None };
        let config = Config::from_checkpoint(&checkpoint).unwrap_or_else(|e| panic!("{e}"));
        let model =
            Model::load(executor, &checkpoint, config, options, &[], &mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
        Runner { executor, model }
    }

    /// The last logits of a text, computed in one chunk by a model that has room for one sequence.
    pub fn last_row(&mut self, tokens: &[u32]) -> Vec<f32> {
        self.last_row_from(tokens, 0)
    }

    /// The same of a text that goes on from a position.
    pub fn last_row_from(&mut self, tokens: &[u32], first: usize) -> Vec<f32> {
        let pages: Vec<u32> = (0..self.model.pages()).collect();
        let batch = Batch::single(tokens, first, &pages, PAGE_SIZE, LogitsWanted::Last).expect("a valid batch");
        self.model.step(self.executor, &batch, false).unwrap_or_else(|e| panic!("{e}"));
        let mut logits = vec![0.0; self.model.config().vocabulary];
        self.model.read_logits(self.executor, 0, &mut logits).unwrap_or_else(|e| panic!("{e}"));
        logits
    }

    /// Pages of sequence `s`, in an order that is not that of their numbers.
    fn pages(&self, s: usize) -> Vec<u32> {
        let each = CONTEXT as u32 / PAGE_SIZE;
        (0..each).map(|page| (each - 1 - page) * SEQUENCES as u32 + s as u32).collect()
    }

    /// One step: for each (sequence, tokens, first position) all its logits, in order.
    pub fn step(&mut self, parts: &[(usize, &[u32], usize)]) -> Vec<Vec<f32>> {
        let mut batch = Batch::new(CONTEXT as u32 / PAGE_SIZE);
        for (s, tokens, first_position) in parts {
            let pages = self.pages(*s);
            let request_id = RequestId(*s as u64);
            let logits = LogitsWanted::ALL;
            let step = SequenceStep { request_id, tokens, first_position: *first_position, pages: &pages, logits };
            batch.push_sequence(step, PAGE_SIZE).expect("a valid batch");
        }
        batch.validate(self.model.pages(), PAGE_SIZE).expect("a valid batch");
        self.model.step(self.executor, &batch, false).unwrap_or_else(|e| panic!("{e}"));
        (0..batch.logits_rows.len())
            .map(|row| {
                let mut logits = vec![0.0; self.model.config().vocabulary];
                self.model.read_logits(self.executor, row, &mut logits).unwrap_or_else(|e| panic!("{e}"));
                logits
            })
            .collect()
    }

    /// All logits of a text that is computed in chunks of these sizes (the last of them goes on to the end).
    pub fn chunked(
        &mut self,
        sequence: usize,
        tokens: &[u32],
        sizes: impl IntoIterator<Item = usize>,
    ) -> Vec<Vec<f32>> {
        let mut sizes = sizes.into_iter();
        let mut done = 0;
        let mut logits = Vec::new();
        while done < tokens.len() {
            let size = sizes.next().unwrap_or(tokens.len()).clamp(1, tokens.len() - done);
            logits.extend(self.step(&[(sequence, &tokens[done..done + size], done)]));
            done += size;
        }
        logits
    }

    /// Greedy continuation: the tokens, and of each the logits that it was chosen from.
    pub fn greedy(&mut self, prompt: &[u32], count: usize) -> Vec<(u32, Vec<f32>)> {
        let mut tokens = prompt.to_vec();
        let mut row = self.chunked(0, prompt, []).pop().expect("a prompt");
        let mut made = Vec::new();
        while made.len() < count {
            let token = wgpt::engine::sampler::greedy(&row).expect("finite logits");
            let next = self.step(&[(0, &[token], tokens.len())]).pop().expect("one row");
            made.push((token, std::mem::replace(&mut row, next)));
            tokens.push(token);
        }
        made
    }

    /// Writes NaN over the whole KV cache: whatever a later step reads without having written it shows.
    pub fn poison(&mut self) {
        for cache in self.model.kv_cache().to_vec() {
            for slice in cache.all() {
                // All bits set is a NaN in f32 and, twice over, in f16, as which the scales of q8_0 are stored.
                self.executor.write(slice, &vec![0xff; slice.size as usize]).expect("a write");
            }
        }
    }
}

/// The largest difference between two sets of logits.
pub fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len(), "rows of logits");
    let difference = |(x, y): (&f32, &f32)| if x.is_nan() || y.is_nan() { f32::INFINITY } else { (x - y).abs() };
    a.iter().flatten().zip(b.iter().flatten()).map(difference).fold(0.0, f32::max)
}
