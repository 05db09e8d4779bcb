//! What can be wrong with a GGUF file.

/// Why a GGUF file cannot be read. The text does not name the file: [`FormatError`](crate::formats::FormatError) does.
///
/// Names that come from the file are escaped, so that a hostile one cannot steer a terminal.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("this is not a GGUF file: it does not begin with `GGUF`; check the path and the download")]
    Magic,
    #[error(
        "this is a big-endian GGUF file, which is not supported; convert it with `gguf-convert-endian FILE little`"
    )]
    BigEndian,
    #[error(
        "GGUF version {version} is not supported, only 2 and 3 are; convert the model again with a current llama.cpp"
    )]
    Version { version: u32 },
    #[error("its header cannot be read: {0}; check the disk that it is on")]
    Read(std::io::Error),
    #[error("the file ends within {what}; it is truncated or damaged, download it again")]
    Truncated { what: &'static str },
    #[error("the file declares {count} {what}, more than its bytes can hold; it is damaged, download it again")]
    Count { what: &'static str, count: u64 },
    #[error("{what} is not UTF-8; the file is damaged, download it again")]
    Utf8 { what: &'static str },
    #[error("a metadata key is empty; the file is damaged, download it again")]
    EmptyKey,
    #[error("the metadata key {key:?} occurs twice; the file is damaged, download it again")]
    DuplicateKey { key: String },
    #[error(
        "the metadata key {key:?} has a value of unknown type {id}; the file is damaged or newer than this program"
    )]
    ValueType { key: String, id: u32 },
    #[error(
        "the metadata key {key:?} holds an array of arrays, which is not supported; remove it with gguf-py's tools"
    )]
    NestedArray { key: String },
    #[error("the metadata key {key:?} holds a boolean that is neither 0 nor 1; the file is damaged, download it again")]
    Bool { key: String },
    #[error("`general.alignment` is not a power of two of at most {limit}; the file is damaged, download it again")]
    Alignment { limit: u64 },
    #[error("a tensor has no name; the file is damaged, download it again")]
    EmptyTensorName,
    #[error("the tensor {name:?} occurs twice; the file is damaged, download it again")]
    DuplicateTensor { name: String },
    #[error("the tensor {name:?} has {count} dimensions, more than the 4 that GGUF allows; the file is damaged")]
    Dimensions { name: String, count: u32 },
    #[error("the tensor {name:?} has a dimension that is zero or too large; the file is damaged, download it again")]
    Shape { name: String },
    #[error("the tensor {name:?} has rows of {row} elements, which are not whole {dtype} blocks; the file is damaged")]
    Blocks { name: String, row: usize, dtype: crate::formats::DType },
    #[error(
        "the tensor {name:?} is stored as {storage}, and {storage} is not supported; requantise the model as one of \
         Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, for example with `llama-quantize IN OUT Q4_K_M`"
    )]
    TensorType { name: String, storage: String },
    #[error("the tensor {name:?} does not begin at a multiple of the alignment {alignment}; the file is damaged")]
    Unaligned { name: String, alignment: u64 },
    #[error("the tensor {name:?} reaches beyond the end of the file; it is truncated, download it again")]
    BeyondFile { name: String },
    #[error("the tensors {first:?} and {second:?} overlap; the file is damaged, download it again")]
    Overlap { first: String, second: String },
    #[error("this is part {number} of {count} of a split model; open the first part, {first}")]
    NotFirstSplit { number: u64, count: u64, first: String },
    #[error(
        "this is a part of a model that is split in {count}, but its name is not \
         NAME-{number:05}-of-{count:05}.gguf; rename it back"
    )]
    SplitName { number: u64, count: u64 },
    #[error("the file says that it is part {number} of {count}; it is damaged, download it again")]
    SplitNumber { number: u64, count: u64 },
    #[error("this file is missing, part {number} of {count} of the model; download it to where the first part is")]
    SplitMissing { number: u64, count: u64 },
    #[error("its metadata does not say that it is part {number} of {count} of the model; download the parts again")]
    SplitMismatch { number: u64, count: u64 },
    #[error(
        "the parts hold {found} tensors instead of the {declared} that the first one declares; download them again"
    )]
    SplitTensors { found: usize, declared: u64 },
}
