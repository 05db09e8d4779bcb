//! Copies of the tiny chat model with changed weights.

use half::bf16;
use tempfile::TempDir;

use super::command::chat_model;

/// Gives the new value of an element, by its index and what it was.
pub type Change<'a> = &'a dyn Fn(usize, f32) -> f32;

/// A copy of the model's folder with the named tensors changed. The weights stay bf16.
pub fn chat_model_with(changes: &[(&str, Change<'_>)]) -> TempDir {
    let folder = TempDir::new().expect("folder");
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(chat_model().join(name), folder.path().join(name)).expect("copied");
    }
    let mut bytes = std::fs::read(chat_model().join("model.safetensors")).expect("weights");
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("safetensors");
    for (name, change) in changes {
        let (start, end) = metadata.info(name).unwrap_or_else(|| panic!("no {name}")).data_offsets;
        // Behind the header, and the eight bytes of its length.
        let data = &mut bytes[8 + header..][start..end];
        for (index, element) in data.chunks_exact_mut(2).enumerate() {
            let value = bf16::from_le_bytes([element[0], element[1]]).to_f32();
            element.copy_from_slice(&bf16::from_f32(change(index, value)).to_le_bytes());
        }
    }
    std::fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
    folder
}
