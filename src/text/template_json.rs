//! The filter `tojson`.

use std::io::{self, Write};

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::Formatter;

use super::template_bounds::{MAX_BYTES, too_large};
use super::template_python::bind;

/// Python's `json.dumps`, which transformers puts in the place of Jinja's own filter: nothing is escaped for HTML.
pub(super) fn tojson(value: &Value, arguments: &[Value], options: &Kwargs) -> Result<String, Error> {
    let invalid = |error: &dyn std::fmt::Display| Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}"));
    let [ascii, indent, separators, sorted] =
        bind(arguments, options, ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = indent.map(|indent| indentation(&indent)).transpose()?;
    let (item, key) = match separators {
        Some(given) => match &given.try_iter()?.map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>()[..] {
            [Some(item), Some(key)] => (item.clone(), key.clone()),
            _ => return Err(invalid(&"the separators are not two texts")),
        },
        None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let ascii = ascii.is_some_and(|ascii| ascii.is_true());
    let formatter = PythonFormatter { indent, item, key, ascii, depth: 0, is_empty: true };
    let mut json = serde_json::Serializer::with_formatter(Bounded(Vec::new()), formatter);
    let written = if sorted.is_some_and(|sorted| sorted.is_true()) {
        let mut tree = serde_json::to_value(value).map_err(|error| invalid(&error))?;
        tree.sort_all_objects();
        tree.serialize(&mut json)
    } else {
        value.serialize(&mut json)
    };
    written.map_err(|error| if error.is_io() { too_large() } else { invalid(&error) })?;
    String::from_utf8(json.into_inner().0).map_err(|error| invalid(&error))
}

/// A number of spaces, or the text itself.
fn indentation(indent: &Value) -> Result<String, Error> {
    match indent.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Ok(" ".repeat(usize::try_from(indent.clone())?.min(16))),
    }
}

/// What a filter may make, so that no separator is repeated without end.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_BYTES - self.0.len() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct PythonFormatter {
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    depth: usize,
    /// Of the innermost list or object: these have no lines of their own.
    is_empty: bool,
}

impl PythonFormatter {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.is_empty {
            self.new_line(writer)?;
        }
        self.is_empty = false;
        writer.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.is_empty = false;
        self.new_line(writer)
    }

    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }
}

impl Formatter for PythonFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if !self.ascii {
            return writer.write_all(text.as_bytes());
        }
        for character in text.chars() {
            match character {
                ' '..='~' => writer.write_all(&[character as u8])?,
                _ => character.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?,
            }
        }
        Ok(())
    }
}
