//! Filters and methods of chat templates whose result can be far larger than what they are given, with a bound.

use std::fmt::{self, Write};

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Rest, StringInput, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use minijinja_contrib::pycompat;

/// The longest text that one of them may make: more than any context holds.
const MAX_BYTES: usize = 1 << 24;
/// The widest field, the deepest indentation and the longest row.
const MAX_WIDTH: usize = 1 << 12;

/// Puts bounded versions in the place of minijinja's own.
pub(super) fn install(environment: &mut Environment) {
    environment.add_filter("indent", indent);
    environment.add_filter("format", |text: &str, values: Rest<Value>| formatted(FormatStyle::Printf, text, &values));
    environment.add_filter("join", join);
    environment.add_filter("replace", replace);
    environment.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::batch(state, value, within(count, MAX_WIDTH)?, fill)
    });
    environment.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        filters::slice(state, value, within(count, MAX_WIDTH)?, fill)
    });
    environment.set_unknown_method_callback(method);
}

/// Python's methods of strings, lists and maps.
fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), name) {
        (Some(text), "format") => return formatted(FormatStyle::StrFormat, text, arguments).map(Value::from),
        (Some(text), "replace") => {
            let (from, to, _): (&str, &str, Option<i32>) = from_args(arguments)?;
            check_replacement(text, from, to)?;
        }
        (Some(text), "join") => {
            let (values,): (&Value,) = from_args(arguments)?;
            check_joined(values, text)?;
        }
        _ => {}
    }
    pycompat::unknown_method_callback(state, value, name, arguments)
}

fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let spaces = match width {
        Some(width) => width,
        None => options.peek::<Option<usize>>("width").unwrap_or(None).unwrap_or(0),
    };
    let lines = text.as_str().split('\n').count();
    within(within(spaces, MAX_WIDTH)?.saturating_mul(lines).saturating_add(text.as_str().len()), MAX_BYTES)?;
    filters::indent(text, width, first, blank, options)
}

fn replace(
    state: &mut State,
    text: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    check_replacement(text.as_str(), from.as_str(), to.as_str())?;
    filters::replace(state, text, from, to)
}

fn join(
    state: &mut State,
    values: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let between = match &joiner {
        Some(joiner) => joiner.as_str().to_owned(),
        None => options.peek::<Option<String>>("d").unwrap_or(None).unwrap_or_default(),
    };
    check_joined(values, &between)?;
    filters::join(state, values, joiner, attribute, options)
}

fn formatted(style: FormatStyle, text: &str, values: &[Value]) -> Result<String, Error> {
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
    format(style, text, values)
}

fn check_replacement(text: &str, from: &str, to: &str) -> Result<(), Error> {
    let made = text.matches(from).count().saturating_mul(to.len());
    within(made.saturating_add(text.len()), MAX_BYTES).map(drop)
}

fn check_joined(values: &Value, between: &str) -> Result<(), Error> {
    let mut room = Room(MAX_BYTES);
    for value in values.try_iter()? {
        room.take(&value)?;
        room.write_str(between).map_err(|_| too_large())?;
    }
    Ok(())
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

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a text in it would be far longer than any conversation")
}
