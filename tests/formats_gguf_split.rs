//! Models that are split over several GGUF files.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wgpt::formats::gguf::{GgufError, Value};
use wgpt::formats::{Checkpoint, DType, FormatError};

use crate::support::gguf_writer::GgufWriter;

fn part(number: u16, count: u16) -> GgufWriter {
    GgufWriter::default()
        .entry("split.no", &Value::U16(number - 1))
        .entry("split.count", &Value::U16(count))
        .entry("split.tensors.count", &Value::I32(3))
        .tensor(&format!("t{number}"), &[1], DType::F32, vec![number as u8; 4])
}

fn split_folder() -> (TempDir, impl Fn(u16) -> PathBuf) {
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_owned();
    let path = move |number: u16| root.join(format!("m-{number:05}-of-00003.gguf"));
    for number in 1..=3 {
        part(number, 3).write(&path(number));
    }
    (folder, path)
}

fn gguf_error(path: &Path) -> GgufError {
    match Checkpoint::open(path) {
        Err(FormatError::Gguf { cause, .. }) => cause,
        other => panic!("{other:?} is not a GGUF error"),
    }
}

#[test]
fn the_first_part_opens_a_split_model() {
    let (folder, path) = split_folder();
    for opened in [path(1), folder.path().to_owned()] {
        let checkpoint = Checkpoint::open(&opened).unwrap();
        assert_eq!(checkpoint.path(), path(1));
        for number in 1..=3u8 {
            let tensor = checkpoint.tensor(&format!("t{number}")).unwrap();
            assert_eq!(checkpoint.bytes(tensor).unwrap(), [number; 4]);
        }
    }
}

#[test]
fn bad_splits_are_refused() {
    let (folder, path) = split_folder();
    assert!(matches!(gguf_error(&path(2)), GgufError::NotFirstSplit { first, .. } if first == "m-00001-of-00003.gguf"));

    let renamed = folder.path().join("renamed.gguf");
    part(1, 3).write(&renamed);
    assert!(matches!(gguf_error(&renamed), GgufError::SplitName { number: 1, count: 3 }));

    part(7, 3).write(&renamed);
    assert!(matches!(gguf_error(&renamed), GgufError::SplitNumber { number: 7, count: 3 }));

    part(2, 3).write(&path(3));
    assert!(matches!(gguf_error(&path(1)), GgufError::SplitMismatch { number: 3, count: 3 }));
    part(3, 4).write(&path(3));
    assert!(matches!(gguf_error(&path(1)), GgufError::SplitMismatch { number: 3, count: 3 }));

    part(3, 3).tensor("t1", &[1], DType::F32, vec![0; 4]).write(&path(3));
    assert!(matches!(gguf_error(&path(1)), GgufError::SplitTensors { found: 4, declared: 3 }));
    let mut clash = part(3, 3);
    clash.tensors[0].name = "t1".into();
    clash.write(&path(3));
    assert!(matches!(Checkpoint::open(&path(1)), Err(FormatError::DuplicateTensor { tensor, .. }) if tensor == "t1"));

    std::fs::remove_file(path(3)).unwrap();
    assert!(matches!(gguf_error(&path(1)), GgufError::SplitMissing { number: 3, count: 3 }));
}
