//! Writes GGUF files, valid ones by default and broken ones on demand.

use std::path::Path;

use wgpt::formats::DType;
use wgpt::formats::gguf::{Array, Value};

/// A GGUF file in the making. Counts, offsets and the version are right unless their fields are set to something else.
#[derive(Clone, Debug)]
pub struct GgufWriter {
    pub version: u32,
    pub alignment: usize,
    pub tensor_count: Option<u64>,
    pub entry_count: Option<u64>,
    pub tensors: Vec<Tensor>,
    /// The metadata entries as they will stand in the file, and their number.
    pub entries: Vec<u8>,
    pub entries_written: u64,
}

/// A tensor in the making.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    /// In GGUF's order, innermost first.
    pub dims: Vec<u64>,
    /// ggml's number of the storage type.
    pub type_id: u32,
    /// From the beginning of the tensor data; by default behind the previous tensor, aligned.
    pub offset: Option<u64>,
    pub data: Vec<u8>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        GgufWriter {
            version: 3,
            alignment: 32,
            tensor_count: None,
            entry_count: None,
            tensors: Vec::new(),
            entries: Vec::new(),
            entries_written: 0,
        }
    }
}

impl GgufWriter {
    /// Adds a metadata entry.
    pub fn entry(self, key: &str, value: &Value) -> Self {
        self.raw_entry(key.as_bytes(), value_id(value), &value_bytes(value))
    }

    /// Adds a metadata entry whose type and bytes need not be valid.
    pub fn raw_entry(mut self, key: &[u8], type_id: u32, value: &[u8]) -> Self {
        put_string(&mut self.entries, key);
        self.entries.extend(type_id.to_le_bytes());
        self.entries.extend(value);
        self.entries_written += 1;
        self
    }

    /// Adds a tensor of row-major `shape`, outermost dimension first.
    pub fn tensor(mut self, name: &str, shape: &[usize], dtype: DType, data: Vec<u8>) -> Self {
        let dims = shape.iter().rev().map(|&dimension| dimension as u64).collect();
        self.tensors.push(Tensor { name: name.to_owned(), dims, type_id: type_id(dtype), offset: None, data });
        self
    }

    /// The file. It ends with the last tensor's last byte.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        file.extend(self.entry_count.unwrap_or(self.entries_written).to_le_bytes());
        file.extend(&self.entries);
        let mut data = Vec::new();
        for tensor in &self.tensors {
            data.resize(data.len().next_multiple_of(self.alignment), 0);
            put_string(&mut file, tensor.name.as_bytes());
            file.extend((tensor.dims.len() as u32).to_le_bytes());
            file.extend(tensor.dims.iter().flat_map(|dimension| dimension.to_le_bytes()));
            file.extend(tensor.type_id.to_le_bytes());
            file.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
        }
        if !self.tensors.is_empty() {
            file.resize(file.len().next_multiple_of(self.alignment), 0);
        }
        file.extend(data);
        file
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).unwrap();
    }
}

/// ggml's number of a storage type.
pub fn type_id(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 6,
        DType::Q5_1 => 7,
        DType::Q8_0 => 8,
        DType::Q4_K => 12,
        DType::Q5_K => 13,
        DType::Q6_K => 14,
        DType::BF16 => 30,
    }
}

fn put_string(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text);
}

fn value_id(value: &Value) -> u32 {
    match value {
        Value::U8(_) => 0,
        Value::I8(_) => 1,
        Value::U16(_) => 2,
        Value::I16(_) => 3,
        Value::U32(_) => 4,
        Value::I32(_) => 5,
        Value::F32(_) => 6,
        Value::Bool(_) => 7,
        Value::String(_) => 8,
        Value::Array(_) => 9,
        Value::U64(_) => 10,
        Value::I64(_) => 11,
        Value::F64(_) => 12,
    }
}

fn value_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::U8(value) => value.to_le_bytes().to_vec(),
        Value::I8(value) => value.to_le_bytes().to_vec(),
        Value::U16(value) => value.to_le_bytes().to_vec(),
        Value::I16(value) => value.to_le_bytes().to_vec(),
        Value::U32(value) => value.to_le_bytes().to_vec(),
        Value::I32(value) => value.to_le_bytes().to_vec(),
        Value::F32(value) => value.to_le_bytes().to_vec(),
        Value::Bool(value) => vec![u8::from(*value)],
        Value::String(value) => string_bytes(value),
        Value::U64(value) => value.to_le_bytes().to_vec(),
        Value::I64(value) => value.to_le_bytes().to_vec(),
        Value::F64(value) => value.to_le_bytes().to_vec(),
        Value::Array(array) => array_bytes(array),
    }
}

fn array_bytes(array: &Array) -> Vec<u8> {
    fn all<T: Copy>(id: u32, values: &[T], bytes: impl Fn(T) -> Vec<u8>) -> Vec<u8> {
        let mut out = id.to_le_bytes().to_vec();
        out.extend((values.len() as u64).to_le_bytes());
        out.extend(values.iter().flat_map(|&value| bytes(value)));
        out
    }
    match array {
        Array::U8(values) => all(0, values, |value| value.to_le_bytes().to_vec()),
        Array::I8(values) => all(1, values, |value| value.to_le_bytes().to_vec()),
        Array::U16(values) => all(2, values, |value| value.to_le_bytes().to_vec()),
        Array::I16(values) => all(3, values, |value| value.to_le_bytes().to_vec()),
        Array::U32(values) => all(4, values, |value| value.to_le_bytes().to_vec()),
        Array::I32(values) => all(5, values, |value| value.to_le_bytes().to_vec()),
        Array::F32(values) => all(6, values, |value| value.to_le_bytes().to_vec()),
        Array::Bool(values) => all(7, values, |value| vec![u8::from(value)]),
        Array::String(values) => all(8, &values.iter().collect::<Vec<_>>(), |value| string_bytes(value)),
        Array::U64(values) => all(10, values, |value| value.to_le_bytes().to_vec()),
        Array::I64(values) => all(11, values, |value| value.to_le_bytes().to_vec()),
        Array::F64(values) => all(12, values, |value| value.to_le_bytes().to_vec()),
    }
}

fn string_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_string(&mut bytes, text.as_bytes());
    bytes
}
