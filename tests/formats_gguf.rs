//! GGUF files: what a valid one yields, and that a bad one yields the right error.

use proptest::prelude::*;
use tempfile::TempDir;
use wgpt::formats::gguf::{Array, GgufError, Metadata, Value};
use wgpt::formats::{Checkpoint, DType, Description, FormatError};

use crate::support::gguf_writer::{GgufWriter, Tensor};

fn open_bytes(bytes: &[u8]) -> Result<Checkpoint, FormatError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    Checkpoint::open(&path)
}

fn error_of_bytes(bytes: &[u8]) -> GgufError {
    match open_bytes(bytes) {
        Err(FormatError::Gguf { cause, .. }) => cause,
        other => panic!("{other:?} is not a GGUF error"),
    }
}

fn error_of(writer: &GgufWriter) -> GgufError {
    error_of_bytes(&writer.bytes())
}

fn metadata(checkpoint: &Checkpoint) -> &Metadata {
    match checkpoint.description() {
        Description::Gguf(metadata) => metadata,
        other => panic!("{other:?}"),
    }
}

fn all_values() -> Vec<(&'static str, Value)> {
    vec![
        ("u8", Value::U8(200)),
        ("i8", Value::I8(-100)),
        ("u16", Value::U16(60_000)),
        ("i16", Value::I16(-30_000)),
        ("u32", Value::U32(4_000_000_000)),
        ("i32", Value::I32(-2_000_000_000)),
        ("u64", Value::U64(u64::MAX)),
        ("i64", Value::I64(i64::MIN)),
        ("f32", Value::F32(1e-6)),
        ("f64", Value::F64(1e-300)),
        ("bool", Value::Bool(true)),
        ("string", Value::String("größe".into())),
        ("u8s", Value::Array(Array::U8(vec![1, 2]))),
        ("i8s", Value::Array(Array::I8(vec![-1, 2]))),
        ("u16s", Value::Array(Array::U16(vec![1, 60_000]))),
        ("i16s", Value::Array(Array::I16(vec![-1, 2]))),
        ("u32s", Value::Array(Array::U32(vec![1, u32::MAX]))),
        ("i32s", Value::Array(Array::I32(vec![-1, 2]))),
        ("u64s", Value::Array(Array::U64(vec![1, u64::MAX]))),
        ("i64s", Value::Array(Array::I64(vec![i64::MIN]))),
        ("f32s", Value::Array(Array::F32(vec![0.5, -0.0]))),
        ("f64s", Value::Array(Array::F64(vec![0.5]))),
        ("bools", Value::Array(Array::Bool(vec![true, false]))),
        ("strings", Value::Array(Array::String(vec!["".into(), "Ġthe".into()]))),
        ("empty", Value::Array(Array::String(vec![]))),
    ]
}

/// A small file with every type of value and three tensors.
fn valid() -> GgufWriter {
    all_values()
        .iter()
        .fold(GgufWriter::default(), |writer, (key, value)| writer.entry(key, value))
        .tensor("matrix", &[2, 3], DType::F32, (0..24).collect())
        .tensor("scalar", &[], DType::F16, vec![1, 2])
        .tensor("blocks", &[3, 64], DType::Q8_0, (0..3 * 68).map(|byte| byte as u8).collect())
}

fn one_tensor(change: impl FnOnce(&mut Tensor)) -> GgufWriter {
    let mut writer = GgufWriter::default().tensor("t", &[2, 32], DType::Q8_0, vec![0; 68]);
    change(&mut writer.tensors[0]);
    writer
}

#[test]
fn a_valid_file_yields_its_metadata_and_tensors() {
    for version in [2, 3] {
        let checkpoint = open_bytes(&GgufWriter { version, ..valid() }.bytes()).unwrap();
        let metadata = metadata(&checkpoint);
        assert_eq!(metadata.len(), all_values().len());
        for (key, value) in all_values() {
            assert_eq!(metadata.get(key), Some(&value), "{key}");
        }
        let names: Vec<_> = checkpoint.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["matrix", "scalar", "blocks"]);
        let matrix = checkpoint.tensor("matrix").unwrap();
        assert_eq!((matrix.shape.as_slice(), matrix.dtype), (&[2, 3][..], DType::F32));
        assert_eq!(checkpoint.bytes(matrix).unwrap(), (0..24).collect::<Vec<u8>>());
        let scalar = checkpoint.tensor("scalar").unwrap();
        assert_eq!((scalar.shape.as_slice(), &checkpoint.bytes(scalar).unwrap()[..]), (&[][..], &[1, 2][..]));
        let blocks = checkpoint.tensor("blocks").unwrap();
        assert_eq!(checkpoint.bytes(blocks).unwrap(), (0..204).collect::<Vec<u8>>());
        assert_eq!(checkpoint.size_bytes(), 24 + 2 + 204);
        assert_eq!(checkpoint.tensor("absent"), None);
    }
}

#[test]
fn the_alignment_of_the_file_is_honoured() {
    let writer = GgufWriter { alignment: 128, ..valid() }.entry("general.alignment", &Value::U32(128));
    let checkpoint = open_bytes(&writer.bytes()).unwrap();
    let blocks = checkpoint.tensor("blocks").unwrap();
    assert_eq!(checkpoint.bytes(blocks).unwrap(), (0..204).collect::<Vec<u8>>());
}

#[test]
fn a_vocabulary_without_tensors_opens() {
    let checkpoint = open_bytes(&GgufWriter::default().entry("a", &Value::U8(1)).bytes()).unwrap();
    assert_eq!((checkpoint.tensors().len(), checkpoint.size_bytes()), (0, 0));
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    let bytes = valid().bytes();
    open_bytes(&bytes).unwrap();
    for len in 0..bytes.len() {
        error_of_bytes(&bytes[..len]);
    }
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = valid().bytes();
        for (index, byte) in flips {
            *index.get_mut(&mut bytes) = byte;
        }
        if let Ok(checkpoint) = open_bytes(&bytes) {
            for tensor in checkpoint.tensors() {
                let stored = checkpoint.bytes(tensor).unwrap();
                prop_assert_eq!(tensor.dtype.bytes_of(tensor.shape.iter().product()), Some(stored.len()));
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&b"GGUF\x03\0\0\0"[..], &tail].concat();
        let _ = open_bytes(&bytes);
    }
}

#[test]
fn a_tensor_is_read_in_pieces_and_no_further_than_it_reaches() {
    let checkpoint = open_bytes(&valid().bytes()).unwrap();
    let matrix = checkpoint.tensor("matrix").unwrap();
    let mut piece = [0; 5];
    checkpoint.read(matrix, 7, &mut piece).unwrap();
    assert_eq!(piece, [7, 8, 9, 10, 11]);
    checkpoint.read(matrix, 24, &mut []).unwrap();
    for (offset, len) in [(20, 5), (25, 0), (usize::MAX, 1)] {
        let beyond = checkpoint.read(matrix, offset, &mut vec![0; len]);
        assert!(matches!(beyond, Err(FormatError::BeyondTensor { len: 24, .. })), "{offset}");
    }
}

#[test]
fn other_files_and_versions_are_refused() {
    assert!(matches!(error_of_bytes(b""), GgufError::Magic));
    assert!(matches!(error_of_bytes(b"GGML\x03\0\0\0"), GgufError::Magic));
    for version in [0, 1, 4, u32::MAX] {
        let error = error_of(&GgufWriter { version, ..valid() });
        assert!(matches!(error, GgufError::Version { version: found } if found == version), "{error}");
    }
    for version in [2u32, 3] {
        assert!(matches!(error_of(&GgufWriter { version: version.swap_bytes(), ..valid() }), GgufError::BigEndian));
    }
}

#[test]
fn counts_beyond_the_file_are_refused_before_anything_is_allocated() {
    for count in [1 << 40, u64::MAX] {
        let error = error_of(&GgufWriter { entry_count: Some(count), ..GgufWriter::default() });
        assert!(matches!(error, GgufError::Count { what: "metadata entries", .. }), "{error}");
        let error = error_of(&GgufWriter { tensor_count: Some(count), ..GgufWriter::default() });
        assert!(matches!(error, GgufError::Count { what: "tensors", .. }), "{error}");
        for type_id in [0u32, 8, 12] {
            let value = [&type_id.to_le_bytes()[..], &count.to_le_bytes()].concat();
            let error = error_of(&GgufWriter::default().raw_entry(b"array", 9, &value));
            assert!(matches!(error, GgufError::Count { .. }), "{error}");
        }
        let error = error_of(&GgufWriter::default().raw_entry(b"string", 8, &count.to_le_bytes()));
        assert!(matches!(error, GgufError::Truncated { .. }), "{error}");
        let header = [&b"GGUF\x03\0\0\0"[..], &[0; 8], &1u64.to_le_bytes(), &count.to_le_bytes(), &[0; 64]].concat();
        assert!(matches!(error_of_bytes(&header), GgufError::Truncated { what: "a metadata key" }));
    }
}

#[test]
fn bad_metadata_is_refused() {
    let entry = |key: &str| GgufWriter::default().entry(key, &Value::U8(0));
    assert!(matches!(error_of(&entry("")), GgufError::EmptyKey));
    assert!(matches!(error_of(&entry("a").entry("a", &Value::U8(1))), GgufError::DuplicateKey { .. }));
    let raw = |type_id, value: &[u8]| error_of(&GgufWriter::default().raw_entry(b"k", type_id, value));
    assert!(matches!(raw(13, &[0; 64]), GgufError::ValueType { id: 13, .. }));
    assert!(matches!(raw(7, &[2]), GgufError::Bool { .. }));
    let array_of = |element: u32| [&element.to_le_bytes()[..], &1u64.to_le_bytes(), &[9; 64]].concat();
    assert!(matches!(raw(9, &array_of(9)), GgufError::NestedArray { .. }));
    assert!(matches!(raw(9, &array_of(13)), GgufError::ValueType { id: 13, .. }));
    assert!(matches!(raw(9, &array_of(7)), GgufError::Bool { .. }));
    assert!(matches!(raw(8, b"\x01\0\0\0\0\0\0\0\xff"), GgufError::Utf8 { .. }));
    assert!(matches!(error_of(&GgufWriter::default().raw_entry(b"\xff", 0, &[0])), GgufError::Utf8 { .. }));
    for alignment in [Value::U32(0), Value::U32(13), Value::U32(1 << 30), Value::String("32".into())] {
        let error = error_of(&valid().entry("general.alignment", &alignment));
        assert!(matches!(error, GgufError::Alignment { .. }), "{alignment:?}: {error}");
    }
}

#[test]
fn bad_tensors_are_refused() {
    type Change = fn(&mut Tensor);
    type Check = fn(&GgufError) -> bool;
    let cases: [(Change, Check); 13] = [
        (|t| t.name.clear(), |e| matches!(e, GgufError::EmptyTensorName)),
        (|t| t.dims = vec![1; 5], |e| matches!(e, GgufError::Dimensions { count: 5, .. })),
        (|t| t.dims[1] = 0, |e| matches!(e, GgufError::Shape { .. })),
        (|t| t.dims[1] = -2i64 as u64, |e| matches!(e, GgufError::Shape { .. })),
        (|t| t.dims = vec![1 << 32, 1 << 32], |e| matches!(e, GgufError::Shape { .. })),
        (|t| t.dims = vec![1 << 32, 1 << 31, 2], |e| matches!(e, GgufError::Shape { .. })),
        (|t| t.dims = vec![33, 32], |e| matches!(e, GgufError::Blocks { row: 33, .. })),
        (|t| t.type_id = 999, |e| matches!(e, GgufError::TensorType { storage, .. } if storage == "type 999")),
        (|t| t.offset = Some(1), |e| matches!(e, GgufError::Unaligned { .. })),
        (|t| t.offset = Some(32), |e| matches!(e, GgufError::BeyondFile { .. })),
        (|t| t.offset = Some(u64::MAX - 31), |e| matches!(e, GgufError::BeyondFile { .. })),
        (|t| t.dims[1] = 3, |e| matches!(e, GgufError::BeyondFile { .. })),
        (|t| t.dims = vec![1 << 40], |e| matches!(e, GgufError::BeyondFile { .. })),
    ];
    open_bytes(&one_tensor(|_| {}).bytes()).unwrap();
    for (index, (change, is_right)) in cases.iter().enumerate() {
        let error = error_of(&one_tensor(change));
        assert!(is_right(&error), "case {index}: {error:?}");
    }
}

#[test]
fn tensors_must_differ_in_name_and_place() {
    let two = |second: &str| {
        valid().tensor("x", &[32], DType::F32, vec![0; 128]).tensor(second, &[1], DType::F32, vec![0; 4])
    };
    assert!(matches!(error_of(&two("x")), GgufError::DuplicateTensor { name } if name == "x"));
    let mut writer = two("y");
    let count = writer.tensors.len();
    writer.tensors[count - 1].offset = Some(0);
    assert!(matches!(error_of(&writer), GgufError::Overlap { .. }));
}

#[test]
fn an_unsupported_type_is_named_with_advice() {
    let text = error_of(&one_tensor(|tensor| tensor.type_id = 17)).to_string();
    assert!(text.contains("\"t\"") && text.contains("IQ2_XS is not supported; requantise"), "{text}");
}

#[test]
fn names_from_the_file_are_escaped_in_errors() {
    let text = error_of(&one_tensor(|tensor| {
        tensor.name = "\u{1b}[2J".into();
        tensor.type_id = 17;
    }))
    .to_string();
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
