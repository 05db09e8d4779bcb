//! What each fuzzer does with an input.

use std::cell::LazyCell;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::formats::{Checkpoint, Description};
use crate::kernels::Selection;
use crate::kernels::kv_cache::KvType;
use crate::model::{Config, Model, ModelOptions};
use crate::recording::MemoryLimits;
use crate::reference::ReferenceExecutor;
use crate::text::{ChatTemplate, Message, Tokenizer};

/// Cuts an input into the files and texts that it stands for; short enough for a mutation to make or break one.
const SEPARATOR: &[u8] = b"\n---\n";

const TEXTS: [&str; 3] =
    ["Hello  world, don't! 12345\n\t ", "<s>é世界🦙</s><|im_end|>\u{0}\u{301}", "aaaaaaaaaaaaaaaa"];

thread_local! {
    static SCRATCH: LazyCell<Scratch> = LazyCell::new(Scratch::default);
}

/// Any bytes as a GGUF file: opened, its tensors read, its model loaded on the CPU reference.
pub fn gguf(input: &[u8]) {
    SCRATCH.with(|scratch| load(&scratch.put("model.gguf", input)));
}

/// Any bytes as the files of a Hugging Face folder: `config.json`, `generation_config.json`, an index (whose only shard
/// is then the weights), and the weights.
pub fn huggingface(input: &[u8]) {
    let [config, generation_config, index, weights] = parts(input);
    let (whole, shard) = if index.is_empty() { (weights, &b""[..]) } else { (&b""[..], weights) };
    SCRATCH.with(|scratch| {
        scratch.put("config.json", config);
        scratch.put("generation_config.json", generation_config);
        scratch.put("model.safetensors.index.json", index);
        scratch.put("model.safetensors", whole);
        scratch.put("shard.safetensors", shard);
        load(scratch.path());
    });
}

/// Any bytes as a tokenizer and a text: a GGUF file, or `tokenizer.json`, `tokenizer_config.json` and
/// `generation_config.json`. What loads must encode the text, decode it again, and stream what it decodes.
pub fn tokenizer(input: &[u8]) {
    let loaded = SCRATCH.with(|scratch| {
        if input.starts_with(b"GGUF") {
            let checkpoint = Checkpoint::open(&scratch.put("model.gguf", input)).ok()?;
            let Description::Gguf(metadata) = checkpoint.description() else { return None };
            return Some((Tokenizer::from_gguf(metadata).ok()?, &b""[..]));
        }
        let [tokenizer, config, generation, text] = parts(input);
        scratch.put("tokenizer.json", tokenizer);
        scratch.put("tokenizer_config.json", config);
        scratch.put("generation_config.json", generation);
        Some((Tokenizer::from_folder(scratch.path()).ok()?, text))
    });
    let Some((tokenizer, text)) = loaded else { return };
    let text = String::from_utf8_lossy(text);
    TEXTS.into_iter().chain([&*text]).for_each(|text| round_trip(&tokenizer, text));
    let _ = tokenizer.chat_template();
}

/// Any text as a chat template and a message: whatever it does, rendering ends, within a bound.
pub fn chat_template(input: &[u8]) {
    let [source, content] = parts(input).map(String::from_utf8_lossy);
    let Ok(template) = ChatTemplate::new(&source, [("bos_token", "<s>"), ("eos_token", "</s>")]) else { return };
    let messages = ["system", "user", "assistant", "user"].map(|role| Message::new(role, &*content));
    for add_generation_prompt in [false, true] {
        if let Ok(text) = template.render(&messages, add_generation_prompt) {
            assert!(text.len() <= (1 << 20) + 8 * 4 * content.len(), "{} bytes", text.len());
        }
    }
}

fn round_trip(tokenizer: &Tokenizer, text: &str) {
    let _ = tokenizer.encode_plain(text);
    let Ok(ids) = tokenizer.encode(text, true) else { return };
    for &id in &ids {
        assert!((id as usize) < tokenizer.vocab_size(), "token {id} of {}", tokenizer.vocab_size());
        let _ = (tokenizer.token_text(id), tokenizer.is_end_of_generation(id));
    }
    let mut stream = tokenizer.detokenizer_from_start();
    let streamed: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
    assert_eq!(streamed + &stream.finish(), tokenizer.decode(&ids, true));
}

/// The parts of an input, empty ones where it has fewer than `N`; the last one is all that is left.
fn parts<const N: usize>(mut input: &[u8]) -> [&[u8]; N] {
    let mut parts = [&b""[..]; N];
    for part in &mut parts[..N - 1] {
        let cut = input.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let (head, rest) = cut.map_or((input, &b""[..]), |at| (&input[..at], &input[at + SEPARATOR.len()..]));
        (*part, input) = (head, rest);
    }
    parts[N - 1] = input;
    parts
}

/// A folder that is filled anew for every input. TMPDIR=/dev/shm keeps it in memory.
#[derive(Debug)]
struct Scratch(TempDir);

impl Default for Scratch {
    fn default() -> Self {
        Self(TempDir::new().expect("a temporary folder"))
    }
}

impl Scratch {
    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file; one that an input leaves empty is absent.
    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        if bytes.is_empty() {
            let _ = std::fs::remove_file(&path);
        } else {
            std::fs::write(&path, bytes).expect("a file in a temporary folder");
        }
        path
    }
}

/// Takes a checkpoint as far as a model without a GPU: its tensors, its hyperparameters, its weights.
fn load(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    for tensor in checkpoint.tensors() {
        let bytes = checkpoint.bytes(tensor).expect("a tensor that was said to lie in the file");
        assert_eq!(bytes.len() as u64, tensor.size_bytes());
    }
    let Ok(config) = Config::from_checkpoint(&checkpoint) else { return };
    let options = ModelOptions {
        context: config.context.min(64),
        sequences: 1,
        step_tokens: 8,
        logits_rows: 1,
        kv_type: KvType::F16,
        selection: Selection::BASELINE,
        available_memory: Some(64 << 20),
    };
    let mut executor = ReferenceExecutor::with_limits(MemoryLimits {
        max_buffer: 64 << 20,
        max_binding: 16 << 20,
        max_texels: 1 << 20,
    });
    let _ = Model::load(&mut executor, &checkpoint, config, options, &[], &mut |_| {});
}
