//! Hugging Face folders: what a valid one yields, and that a bad one yields the right error.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use wgpt::formats::{Checkpoint, DType, Description, FormatError, SafetensorsError};

use crate::support::gguf_writer::GgufWriter;

/// A safetensors file of a header, which need not be valid, and data.
fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// A file with the tensors `a: [2, 2]` in F32, `b: [3]` in BF16 and `c: []` in F16, in another order than their names'.
fn valid() -> Vec<u8> {
    let header = json!({
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]},
        "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        "c": {"dtype": "F16", "shape": [], "data_offsets": [22, 24]},
    });
    safetensors(&header.to_string(), &(0..24).collect::<Vec<u8>>())
}

/// A file with one F32 tensor of one element, which is `value`.
fn single(name: &str, value: u8) -> Vec<u8> {
    let header = json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}});
    safetensors(&header.to_string(), &[value; 4])
}

struct Folder(TempDir);

impl Folder {
    fn new(weights: &[u8]) -> Folder {
        let folder = Folder::without_weights();
        folder.write("model.safetensors", weights);
        folder
    }

    fn without_weights() -> Folder {
        let folder = Folder(TempDir::new().unwrap());
        folder.write("config.json", br#"{"model_type": "llama"}"#);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn index(&self, weight_map: serde_json::Value) {
        let index = json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
        self.write("model.safetensors.index.json", index.to_string().as_bytes());
    }

    fn open(&self) -> Result<Checkpoint, FormatError> {
        Checkpoint::open(self.0.path())
    }
}

fn error_of(weights: &[u8]) -> SafetensorsError {
    match Folder::new(weights).open() {
        Err(FormatError::Safetensors { cause, .. }) => cause,
        other => panic!("{other:?} is not a safetensors error"),
    }
}

#[test]
fn a_valid_folder_yields_its_configuration_and_tensors() {
    let folder = Folder::new(&valid());
    for name in ["", "config.json", "model.safetensors"] {
        let checkpoint = Checkpoint::open(&folder.path(name)).unwrap();
        assert_eq!(fs::canonicalize(checkpoint.path()).unwrap(), fs::canonicalize(folder.0.path()).unwrap());
        let Description::HuggingFace { config, generation_config } = checkpoint.description() else { panic!() };
        assert_eq!((config, generation_config), (&json!({"model_type": "llama"}), &None));

        let names: Vec<_> = checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let of = |name: &str| {
            let tensor = checkpoint.tensor(name).unwrap();
            (tensor.shape.clone(), tensor.dtype, checkpoint.bytes(tensor).unwrap())
        };
        assert_eq!(of("a"), (vec![2, 2], DType::F32, (0..16).collect()));
        assert_eq!(of("b"), (vec![3], DType::BF16, (16..22).collect()));
        assert_eq!(of("c"), (vec![], DType::F16, vec![22, 23]));
        assert_eq!(checkpoint.size_bytes(), 24);
    }
}

#[test]
fn the_generation_configuration_is_read_if_there() {
    let folder = Folder::new(&valid());
    folder.write("generation_config.json", br#"{"eos_token_id": [1, 2]}"#);
    let checkpoint = folder.open().unwrap();
    let Description::HuggingFace { generation_config, .. } = checkpoint.description() else { panic!() };
    assert_eq!(generation_config, &Some(json!({"eos_token_id": [1, 2]})));

    folder.write("generation_config.json", b"[]");
    assert!(matches!(folder.open(), Err(FormatError::Json { path, .. }) if path.ends_with("generation_config.json")));
}

#[test]
fn the_index_decides_which_tensor_comes_from_which_shard() {
    let folder = Folder::without_weights();
    folder.write("one.safetensors", &valid());
    folder.write("two.safetensors", &single("d", 9));
    folder.index(json!({"a": "one.safetensors", "c": "one.safetensors", "d": "two.safetensors"}));
    let checkpoint = folder.open().unwrap();
    assert_eq!(checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
    assert_eq!(checkpoint.bytes(checkpoint.tensor("d").unwrap()).unwrap(), [9; 4]);
}

#[test]
fn shards_may_lie_in_folders_below() {
    let folder = Folder::without_weights();
    fs::create_dir_all(folder.path("sub/deep")).unwrap();
    folder.write("sub/one.safetensors", &single("a", 1));
    folder.write("sub/deep/two.safetensors", &single("b", 2));
    folder.index(json!({"a": "sub/one.safetensors", "b": "sub/deep/two.safetensors"}));
    let checkpoint = folder.open().unwrap();
    assert_eq!(checkpoint.bytes(checkpoint.tensor("a").unwrap()).unwrap(), [1; 4]);
    assert_eq!(checkpoint.bytes(checkpoint.tensor("b").unwrap()).unwrap(), [2; 4]);
}

#[test]
fn bad_indexes_are_refused() {
    let folder = Folder::without_weights();
    folder.write("one.safetensors", &single("a", 1));
    for shard in [
        "../one.safetensors",
        "sub/../../one.safetensors",
        "/one.safetensors",
        "./one.safetensors",
        "sub\\one.safetensors",
        ".",
        "..",
        "",
        "x/",
    ] {
        folder.index(json!({"a": shard}));
        let error = folder.open().unwrap_err();
        assert!(matches!(error, FormatError::ShardPath { .. }), "{shard:?}: {error}");
    }
    folder.index(json!({"a": "one.safetensors", "b": "one.safetensors"}));
    assert!(matches!(folder.open(), Err(FormatError::ShardTensor { tensor, .. }) if tensor == "b"));
    folder.index(json!({"a": "absent.safetensors"}));
    assert!(matches!(folder.open(), Err(FormatError::Io { path, .. }) if path.ends_with("absent.safetensors")));
    folder.index(json!({"a": 1}));
    assert!(matches!(folder.open(), Err(FormatError::Json { .. })));
    folder.index(json!({"a": "config.json"}));
    assert!(matches!(folder.open(), Err(FormatError::Safetensors { .. })));
}

#[test]
fn folders_without_a_model_are_refused() {
    let folder = Folder::without_weights();
    assert!(matches!(folder.open(), Err(FormatError::NoModel { .. })));
    assert!(matches!(Checkpoint::open(&folder.path("config.json")), Err(FormatError::NoModel { .. })));
    assert!(matches!(Checkpoint::open(&folder.path("absent")), Err(FormatError::Io { .. })));
    folder.write("notes.txt", b"hello");
    assert!(matches!(Checkpoint::open(&folder.path("notes.txt")), Err(FormatError::UnknownFile { .. })));
    assert!(matches!(Folder(TempDir::new().unwrap()).open(), Err(FormatError::NoModel { .. })));
}

#[test]
fn a_folder_with_one_gguf_file_opens_it() {
    let folder = Folder::without_weights();
    let writer = GgufWriter::default().tensor("t", &[1], DType::F32, vec![0; 4]);
    writer.write(&folder.path("model.gguf"));
    assert_eq!(folder.open().unwrap().path(), folder.path("model.gguf"));
    writer.write(&folder.path("other"));
    assert!(matches!(Checkpoint::open(&folder.path("other")).unwrap().description(), Description::Gguf(_)));
    writer.write(&folder.path("other.gguf"));
    assert!(matches!(folder.open(), Err(FormatError::SeveralModels { .. })));
    folder.write("model.safetensors", &valid());
    assert!(matches!(folder.open().unwrap().description(), Description::HuggingFace { .. }));
}

#[test]
fn bad_configurations_are_refused() {
    let folder = Folder::new(&valid());
    for config in ["", "[]", "null", "{", "{\"a\": 1", &"[".repeat(100_000)] {
        folder.write("config.json", config.as_bytes());
        assert!(matches!(folder.open(), Err(FormatError::Json { path, .. }) if path.ends_with("config.json")));
    }
    folder.write("config.json", &vec![b' '; (4 << 20) + 1]);
    assert!(matches!(folder.open(), Err(FormatError::TooLarge { .. })));
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let bytes = valid();
    for len in 0..bytes.len() {
        error_of(&bytes[..len]);
    }
}

#[test]
fn bad_safetensors_headers_are_refused() {
    let entry = |dtype: &str, shape: &str, from: u64, to: u64| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
    };
    let file = |a: &str, b: &str, data: usize| safetensors(&format!(r#"{{"a":{a},"b":{b}}}"#), &vec![0; data]);
    let good = entry("F32", "[1]", 0, 4);

    assert!(matches!(error_of(b"\x01\0\0\0"), SafetensorsError::Truncated));
    assert!(matches!(error_of(&100u64.to_le_bytes()), SafetensorsError::Truncated));
    for len in [100_000_001, u64::MAX] {
        let found = error_of(&[&len.to_le_bytes()[..], b"{}"].concat());
        assert!(matches!(found, SafetensorsError::HeaderTooLarge { len: claimed } if claimed == len));
    }
    for header in ["", "[]", "{", "{} x", "\"a\"", r#"{"a": {}}"#, "\u{0}", &"[".repeat(100_000)] {
        let error = error_of(&safetensors(header, &[]));
        assert!(matches!(error, SafetensorsError::Header(_)), "{header:.20}: {error}");
    }
    assert!(matches!(error_of(&[&1u64.to_le_bytes()[..], b"\xff"].concat()), SafetensorsError::Header(_)));

    let duplicate = safetensors(&format!(r#"{{"a":{good},"a":{good}}}"#), &[0; 4]);
    assert!(error_of(&duplicate).to_string().contains("\"a\" occurs twice"));
    let unknown = error_of(&file(&good, &entry("Q3", "[1]", 4, 8), 8)).to_string();
    assert!(unknown.contains("\"b\"") && unknown.contains("Q3"), "{unknown}");
    let negative = error_of(&file(&good, &entry("F32", "[-1]", 4, 8), 8));
    assert!(matches!(negative, SafetensorsError::Header(_)), "{negative}");

    for (what, second, data) in [
        ("a gap", entry("F32", "[1]", 8, 12), 12),
        ("an overlap", entry("F32", "[1]", 2, 6), 6),
        ("the same place", entry("F32", "[1]", 0, 4), 4),
        ("a span that is too long", entry("F32", "[1]", 4, 12), 12),
        ("a span that is backwards", entry("F32", "[1]", 4, 0), 8),
        ("a product that wraps", entry("F32", "[4294967296,4294967296]", 4, 4), 4),
        ("a size that wraps", entry("F32", "[4611686018427387905]", 4, 8), 8),
    ] {
        let error = error_of(&file(&good, &second, data));
        assert!(matches!(error, SafetensorsError::Layout(_)), "{what}: {error}");
    }
    for data in [0, 7, 9] {
        let error = error_of(&file(&good, &entry("F32", "[1]", 4, 8), data));
        assert!(matches!(error, SafetensorsError::DataLen { expected: 8, .. }), "{data}: {error}");
    }
}

#[test]
fn other_storage_types_are_refused_by_name() {
    for (dtype, len) in [("I64", 8), ("F64", 8), ("F8_E4M3", 1), ("BOOL", 1)] {
        let header = json!({"odd": {"dtype": dtype, "shape": [1], "data_offsets": [0, len]}});
        let text = error_of(&safetensors(&header.to_string(), &vec![0; len])).to_string();
        assert!(text.contains("\"odd\"") && text.contains(dtype), "{text}");
    }
}

#[test]
fn a_hundred_thousand_entries_are_read() {
    let entries: Vec<String> = (0..100_000)
        .map(|i| format!(r#""t{i}":{{"dtype":"F16","shape":[1],"data_offsets":[{},{}]}}"#, 2 * i, 2 * i + 2))
        .collect();
    let checkpoint =
        Folder::new(&safetensors(&format!("{{{}}}", entries.join(",")), &vec![1; 200_000])).open().unwrap();
    assert_eq!((checkpoint.tensors().len(), checkpoint.size_bytes()), (100_000, 200_000));
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let folder = Folder::new(&valid());
    let checkpoint = folder.open().unwrap();
    let file = fs::OpenOptions::new().write(true).open(folder.path("model.safetensors")).unwrap();
    file.set_len(10).unwrap();
    let error = checkpoint.bytes(checkpoint.tensor("a").unwrap()).unwrap_err();
    assert!(matches!(error, FormatError::Shrank { .. }), "{error}");
}

#[test]
fn a_tensor_of_another_checkpoint_is_an_error() {
    let (one, other) = (Folder::new(&valid()).open().unwrap(), Folder::new(&single("a", 1)).open().unwrap());
    let error = other.bytes(one.tensor("a").unwrap()).unwrap_err();
    assert!(matches!(error, FormatError::ForeignTensor { .. }), "{error}");
}

#[test]
fn a_git_lfs_pointer_is_told_apart() {
    let error = Folder::new(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n").open().unwrap_err();
    assert!(matches!(error, FormatError::LfsPointer { .. }), "{error}");
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = valid();
        for (index, byte) in flips {
            *index.get_mut(&mut bytes) = byte;
        }
        if let Ok(checkpoint) = Folder::new(&bytes).open() {
            for tensor in checkpoint.tensors() {
                let stored = checkpoint.bytes(tensor).unwrap();
                prop_assert_eq!(tensor.dtype.bytes_of(tensor.shape.iter().product()), Some(stored.len()));
            }
        }
    }
}
