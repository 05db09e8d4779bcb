//! The key-value section of a GGUF file: hyperparameters, the vocabulary and whatever else its writer left there.

use std::collections::BTreeMap;

use super::GgufError;

/// One metadata value, in the type that the file gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// An array value. Its elements have one type; an array of arrays is not representable, because no model uses one.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    String(Vec<String>),
}

/// The metadata of a GGUF file: unique, non-empty keys in sorted order, such as `llama.block_count`.
///
/// Keys and string values are UTF-8. A file with a string that is not is refused rather than repaired, since a replaced
/// byte in a token would change what the model reads; byte-level vocabularies spell raw bytes in UTF-8 anyway.
///
/// Writers disagree about the width of integers, so the typed accessors convert between widths; a value that does not
/// fit the width asked for is `None`, as is one of another kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: BTreeMap<String, Value>,
}

impl Metadata {
    /// Adds one entry.
    ///
    /// # Errors
    /// [`GgufError::EmptyKey`] or [`GgufError::DuplicateKey`]; the metadata is then as it was.
    pub fn insert(&mut self, key: String, value: Value) -> Result<(), GgufError> {
        if key.is_empty() {
            return Err(GgufError::EmptyKey);
        }
        if self.entries.contains_key(&key) {
            return Err(GgufError::DuplicateKey { key });
        }
        self.entries.insert(key, value);
        Ok(())
    }

    /// The value of `key` in the type that the file gives it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// A string value.
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::String(value) => Some(value),
            _ => None,
        }
    }

    /// An integer value of any width that is not negative.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.integer(key)?.try_into().ok()
    }

    /// An integer value of any width that fits an `i64`.
    pub fn i64(&self, key: &str) -> Option<i64> {
        self.integer(key)?.try_into().ok()
    }

    /// A float value; an `f64` is rounded to the nearest `f32`.
    pub fn f32(&self, key: &str) -> Option<f32> {
        match self.get(key)? {
            Value::F32(value) => Some(*value),
            Value::F64(value) => Some(*value as f32),
            _ => None,
        }
    }

    /// A boolean value.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An array of strings, such as `tokenizer.ggml.tokens`.
    pub fn strings(&self, key: &str) -> Option<&[String]> {
        match self.array(key)? {
            Array::String(values) => Some(values),
            _ => None,
        }
    }

    /// An array of floats, such as `tokenizer.ggml.scores`; each `f64` is rounded to the nearest `f32`.
    pub fn f32s(&self, key: &str) -> Option<Vec<f32>> {
        match self.array(key)? {
            Array::F32(values) => Some(values.clone()),
            Array::F64(values) => Some(values.iter().map(|&value| value as f32).collect()),
            _ => None,
        }
    }

    /// An array of integers of any width, all of which fit an `i64`, such as `tokenizer.ggml.token_type`.
    pub fn i64s(&self, key: &str) -> Option<Vec<i64>> {
        fn widen<T: Copy + Into<i64>>(values: &[T]) -> Vec<i64> {
            values.iter().map(|&value| value.into()).collect()
        }
        Some(match self.array(key)? {
            Array::U8(values) => widen(values),
            Array::I8(values) => widen(values),
            Array::U16(values) => widen(values),
            Array::I16(values) => widen(values),
            Array::U32(values) => widen(values),
            Array::I32(values) => widen(values),
            Array::I64(values) => values.clone(),
            Array::U64(values) => values.iter().map(|&value| i64::try_from(value).ok()).collect::<Option<_>>()?,
            Array::F32(_) | Array::F64(_) | Array::Bool(_) | Array::String(_) => return None,
        })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys in sorted order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    fn integer(&self, key: &str) -> Option<i128> {
        Some(match *self.get(key)? {
            Value::U8(value) => value.into(),
            Value::I8(value) => value.into(),
            Value::U16(value) => value.into(),
            Value::I16(value) => value.into(),
            Value::U32(value) => value.into(),
            Value::I32(value) => value.into(),
            Value::U64(value) => value.into(),
            Value::I64(value) => value.into(),
            Value::F32(_) | Value::F64(_) | Value::Bool(_) | Value::String(_) | Value::Array(_) => return None,
        })
    }

    fn array(&self, key: &str) -> Option<&Array> {
        match self.get(key)? {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Metadata {
        let mut metadata = Metadata::default();
        for (key, value) in entries {
            metadata.insert(key.to_owned(), value).unwrap();
        }
        metadata
    }

    #[test]
    fn integers_convert_between_widths_within_range() {
        let metadata = metadata([
            ("small", Value::U8(7)),
            ("negative", Value::I32(-1)),
            ("huge", Value::U64(u64::MAX)),
            ("float", Value::F32(1.0)),
        ]);
        assert_eq!(metadata.u64("small"), Some(7));
        assert_eq!(metadata.i64("small"), Some(7));
        assert_eq!(metadata.u64("negative"), None);
        assert_eq!(metadata.i64("negative"), Some(-1));
        assert_eq!(metadata.u64("huge"), Some(u64::MAX));
        assert_eq!(metadata.i64("huge"), None);
        assert_eq!(metadata.i64("float"), None);
        assert_eq!(metadata.i64("absent"), None);
    }

    #[test]
    fn arrays_convert_between_widths_within_range() {
        let metadata = metadata([
            ("types", Value::Array(Array::I32(vec![1, -6]))),
            ("fits", Value::Array(Array::U64(vec![1, i64::MAX as u64]))),
            ("huge", Value::Array(Array::U64(vec![1, u64::MAX]))),
            ("scores", Value::Array(Array::F64(vec![-0.5]))),
            ("tokens", Value::Array(Array::String(vec!["a".into()]))),
        ]);
        assert_eq!(metadata.i64s("types"), Some(vec![1, -6]));
        assert_eq!(metadata.i64s("fits"), Some(vec![1, i64::MAX]));
        assert_eq!(metadata.i64s("huge"), None);
        assert_eq!(metadata.f32s("scores"), Some(vec![-0.5]));
        assert_eq!(metadata.f32s("types"), None);
        assert_eq!(metadata.strings("tokens"), Some(&["a".to_owned()][..]));
        assert_eq!(metadata.strings("scores"), None);
    }

    #[test]
    fn keys_are_unique_and_not_empty() {
        let mut metadata = metadata([("a", Value::Bool(true))]);
        assert!(
            matches!(metadata.insert("a".into(), Value::U8(1)), Err(GgufError::DuplicateKey { key }) if key == "a")
        );
        assert!(matches!(metadata.insert(String::new(), Value::U8(1)), Err(GgufError::EmptyKey)));
        assert_eq!((metadata.len(), metadata.bool("a")), (1, Some(true)));
    }
}
