//! Filters and methods of chat templates whose result can be far larger than what they are given, with a bound.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, StringInput, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat;

use super::template_json::tojson;
use super::template_meter::Meter;
use super::template_python;

/// The longest text that one of them may make: more than any context holds.
pub(super) const MAX_BYTES: usize = 1 << 24;
/// The widest field, the deepest indentation and the longest row.
const MAX_WIDTH: usize = 1 << 12;

/// Puts bounded versions in the place of minijinja's own. What they make is taken from the meter at once, because `map`
/// calls them as often as a list is long before an instruction ends.
pub(super) fn install(environment: &mut Environment<'_>, meter: &Arc<Meter>) {
    let own = || Arc::clone(meter);
    let (indented, formatted_, joined, replaced, called, printed) = (own(), own(), own(), own(), own(), own());
    environment.add_filter(
        "indent",
        move |text: StringInput<'_>, width: Option<usize>, first, blank, options: Kwargs| {
            indented.take_bytes(check_indented(text.as_str(), width, &options)?)?;
            filters::indent(text, width, first, blank, options)
        },
    );
    environment.add_filter("format", move |text: &str, values: Rest<Value>| {
        formatted(&formatted_, FormatStyle::Printf, text, &values)
    });
    environment.add_filter(
        "join",
        move |state: &mut State,
              values: &Value,
              joiner: Option<StringInput<'_>>,
              attribute: Option<&str>,
              options: Kwargs| {
            let between = match &joiner {
                Some(joiner) => joiner.as_str().to_owned(),
                None => options.peek::<Option<String>>("d").unwrap_or(None).unwrap_or_default(),
            };
            joined.take_bytes(check_joined(values, &between)?)?;
            filters::join(state, values, joiner, attribute, options)
        },
    );
    environment.add_filter(
        "replace",
        move |state: &mut State, text: StringInput<'_>, from: StringInput<'_>, to: StringInput<'_>| {
            replaced.take_bytes(check_replacement(text.as_str(), from.as_str(), to.as_str())?)?;
            filters::replace(state, text, from, to)
        },
    );
    environment.add_filter("tojson", move |value: &Value, arguments: Rest<Value>, options: Kwargs| {
        let json = tojson(value, &arguments, &options)?;
        printed.take_bytes(json.len())?;
        Ok::<_, Error>(json)
    });
    environment.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::batch(state, value, within(count, MAX_WIDTH)?, fill)
    });
    environment.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::slice(state, value, within(count, MAX_WIDTH)?, fill)
    });
    environment.add_filter(
        "sum",
        |state: &State, values: Value, attribute: Option<&str>, start: Option<Value>, options: Kwargs| {
            // A sum of texts or lists would copy all before it for each item.
            let named = options.peek::<Option<Value>>("start").unwrap_or(None);
            if start.iter().chain(&named).any(|start| !start.is_number()) {
                return Err(Error::new(ErrorKind::InvalidOperation, "only numbers are summed"));
            }
            filters::sum(state, values, attribute, start, options)
        },
    );
    environment.set_unknown_method_callback(move |state, value, name, arguments| {
        method(&called, state, value, name, arguments)
    });
}

/// Python's `text % values`: the items of a tuple, or one value.
pub(super) fn remainder_of_text(meter: &Meter, text: &str, values: &Value) -> Result<String, Error> {
    match values.is_tuple() {
        true => formatted(meter, FormatStyle::Printf, text, &values.try_iter()?.collect::<Vec<_>>()),
        false => formatted(meter, FormatStyle::Printf, text, std::slice::from_ref(values)),
    }
}

/// Python's methods of strings, lists and maps.
fn method(meter: &Meter, state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "format") => {
            return formatted(meter, FormatStyle::StrFormat, text, arguments).map(Value::from);
        }
        (Some(text), "replace") => {
            let (from, to, _): (&str, &str, Option<i32>) = from_args(arguments)?;
            meter.take_bytes(check_replacement(text, from, to)?)?;
        }
        (Some(text), "join") => {
            let (values,): (&Value,) = from_args(arguments)?;
            meter.take_bytes(check_joined(values, text)?)?;
        }
        (Some(text), _) => {
            if let Some(made) = template_python::string_method(text, name, arguments)? {
                return Ok(made);
            }
        }
        _ => {}
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

/// The bytes of an indented text.
fn check_indented(text: &str, width: Option<usize>, options: &Kwargs) -> Result<usize, Error> {
    let width = width.or_else(|| options.peek::<Option<usize>>("width").unwrap_or(None)).unwrap_or(0);
    let spaces = within(width, MAX_WIDTH)?.saturating_mul(text.split('\n').count());
    within(spaces.saturating_add(text.len()), MAX_BYTES)
}

fn formatted(meter: &Meter, style: FormatStyle, text: &str, values: &[Value]) -> Result<String, Error> {
    let is_longer = |digits: &str| digits.parse().map_or(!digits.is_empty(), |number: usize| number > MAX_WIDTH);
    if text.split(|c: char| !c.is_ascii_digit()).any(is_longer) {
        return Err(too_large());
    }
    // A width may also be one of the values.
    let takes_widths =
        text.contains('*') || text.matches('{').count() > text.matches('}').count() || text.contains(":{");
    if takes_widths && values.iter().any(|value| value.as_usize().is_some_and(|width| width > MAX_WIDTH)) {
        return Err(too_large());
    }
    // A value may be written once for each of the format's fields.
    let fields = text.matches(['%', '{']).count();
    let mut room = Room(MAX_BYTES / fields.max(1));
    values.iter().try_for_each(|value| room.take(value))?;
    let made = format(style, text, values)?;
    meter.take_bytes(made.len())?;
    Ok(made)
}

/// The bytes that a replacement makes, or more.
fn check_replacement(text: &str, from: &str, to: &str) -> Result<usize, Error> {
    let made = text.matches(from).count().saturating_mul(to.len());
    within(made.saturating_add(text.len()), MAX_BYTES)
}

/// The bytes of the values with a text between them.
fn check_joined(values: &Value, between: &str) -> Result<usize, Error> {
    let mut room = Room(MAX_BYTES);
    for value in values.try_iter()? {
        room.take(&value)?;
        room.write_str(between).map_err(|_| too_large())?;
    }
    Ok(MAX_BYTES - room.0)
}

/// Counts down what is written instead of writing it.
struct Room(usize);

impl Room {
    fn take(&mut self, value: &Value) -> Result<(), Error> {
        write!(self, "{value}").map_err(|_| too_large())
    }
}

impl Write for Room {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn within(size: usize, limit: usize) -> Result<usize, Error> {
    if size <= limit { Ok(size) } else { Err(too_large()) }
}

pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a text in it would be far longer than any conversation")
}
