//! Parsing of metadata values.

use std::io::Read;

use super::cursor::Cursor;
use super::{Array, GgufError, Value};

const ARRAY: u32 = 9;
const VALUE: &str = "a metadata value";

/// Reads the value of `key`: its type as a `u32`, then its bytes.
pub(super) fn parse(cursor: &mut Cursor<impl Read>, key: &str) -> Result<Value, GgufError> {
    let id = cursor.u32(VALUE)?;
    Ok(match id {
        0 => Value::U8(u8::from_le_bytes(cursor.array(VALUE)?)),
        1 => Value::I8(i8::from_le_bytes(cursor.array(VALUE)?)),
        2 => Value::U16(u16::from_le_bytes(cursor.array(VALUE)?)),
        3 => Value::I16(i16::from_le_bytes(cursor.array(VALUE)?)),
        4 => Value::U32(u32::from_le_bytes(cursor.array(VALUE)?)),
        5 => Value::I32(i32::from_le_bytes(cursor.array(VALUE)?)),
        6 => Value::F32(f32::from_le_bytes(cursor.array(VALUE)?)),
        7 => Value::Bool(bool_of(cursor.array(VALUE)?, key)?),
        8 => Value::String(cursor.string("a metadata string")?),
        ARRAY => Value::Array(array(cursor, key)?),
        10 => Value::U64(u64::from_le_bytes(cursor.array(VALUE)?)),
        11 => Value::I64(i64::from_le_bytes(cursor.array(VALUE)?)),
        12 => Value::F64(f64::from_le_bytes(cursor.array(VALUE)?)),
        _ => return Err(GgufError::ValueType { key: key.to_owned(), id }),
    })
}

fn array(cursor: &mut Cursor<impl Read>, key: &str) -> Result<Array, GgufError> {
    let id = cursor.u32("a metadata array")?;
    let count = cursor.u64("a metadata array")?;
    Ok(match id {
        0 => Array::U8(cursor.numbers(count, u8::from_le_bytes)?),
        1 => Array::I8(cursor.numbers(count, i8::from_le_bytes)?),
        2 => Array::U16(cursor.numbers(count, u16::from_le_bytes)?),
        3 => Array::I16(cursor.numbers(count, i16::from_le_bytes)?),
        4 => Array::U32(cursor.numbers(count, u32::from_le_bytes)?),
        5 => Array::I32(cursor.numbers(count, i32::from_le_bytes)?),
        6 => Array::F32(cursor.numbers(count, f32::from_le_bytes)?),
        7 => {
            let bytes = cursor.numbers(count, u8::from_le_bytes)?;
            Array::Bool(bytes.into_iter().map(|byte| bool_of([byte], key)).collect::<Result<_, _>>()?)
        }
        8 => Array::String(strings(cursor, count)?),
        ARRAY => return Err(GgufError::NestedArray { key: key.to_owned() }),
        10 => Array::U64(cursor.numbers(count, u64::from_le_bytes)?),
        11 => Array::I64(cursor.numbers(count, i64::from_le_bytes)?),
        12 => Array::F64(cursor.numbers(count, f64::from_le_bytes)?),
        _ => return Err(GgufError::ValueType { key: key.to_owned(), id }),
    })
}

fn strings(cursor: &mut Cursor<impl Read>, count: u64) -> Result<Vec<String>, GgufError> {
    // Each string has at least its length of 8 bytes, so the vector's 24 bytes an element stay below 3 times the file.
    let count = cursor.count(count, size_of::<u64>(), "strings")?;
    let mut strings = Vec::with_capacity(count);
    for _ in 0..count {
        strings.push(cursor.string("a metadata string")?);
    }
    Ok(strings)
}

fn bool_of(byte: [u8; 1], key: &str) -> Result<bool, GgufError> {
    match byte {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(GgufError::Bool { key: key.to_owned() }),
    }
}
