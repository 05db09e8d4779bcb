//! What templates take from Jinja's Python and minijinja does not have.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds the filter, and the tests that answer otherwise in Python.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("wordcount", |text: &str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()
    });
    // Templates ask this of the tools that they may not get, and then for the tools' number.
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        value.is_undefined() || matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
}

/// Python's methods of strings that minijinja-contrib lacks, or does not give all arguments; `None` for others.
pub(super) fn string_method(text: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    let invalid = |reason: &str| Error::new(ErrorKind::InvalidOperation, format!("{name}: {reason}"));
    Ok(Some(match name {
        "split" | "rsplit" => {
            let (by_place, by_name): (&[Value], Kwargs) = from_args(arguments)?;
            let [separator, most] = bind(by_place, &by_name, ["sep", "maxsplit"])?;
            let separator = match &separator {
                Some(separator) => Some(separator.as_str().ok_or_else(|| invalid("the separator is no text"))?),
                None => None,
            };
            let most = most.map(i64::try_from).transpose()?.and_then(|most| usize::try_from(most).ok());
            if separator == Some("") {
                return Err(invalid("the separator is empty"));
            }
            pieces(text, separator, most.unwrap_or(usize::MAX), name == "rsplit")
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            if separator.is_empty() {
                return Err(invalid("the separator is empty"));
            }
            let parts = match name {
                "partition" => text.split_once(separator).map_or([text, "", ""], |(a, b)| [a, separator, b]),
                _ => text.rsplit_once(separator).map_or(["", "", text], |(a, b)| [a, separator, b]),
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_prefix(prefix).unwrap_or(text))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(arguments)?;
            Value::from(text.strip_suffix(suffix).unwrap_or(text))
        }
        "index" => {
            let (part,): (&str,) = from_args(arguments)?;
            match text.find(part) {
                Some(at) => Value::from(text[..at].chars().count()),
                None => return Err(invalid("the part is not in the text")),
            }
        }
        _ => return Ok(None),
    }))
}

/// The arguments of a call by their names in Python, whether they are given by place or by name; `None` is as good as
/// nothing.
pub(super) fn bind<const N: usize>(
    by_place: &[Value],
    by_name: &Kwargs,
    names: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    if by_place.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut bound = [const { None }; N];
    for (at, (name, argument)) in names.into_iter().zip(&mut bound).enumerate() {
        let value = match by_place.get(at) {
            Some(value) => Some(value.clone()),
            None => by_name.get::<Option<Value>>(name)?,
        };
        *argument = value.filter(|value| !value.is_none() && !value.is_undefined());
    }
    by_name.assert_all_used()?;
    Ok(bound)
}

/// A text cut at most so many times, from its start or from its end; without a separator at runs of white space, of
/// which none is left at the ends.
fn pieces(text: &str, separator: Option<&str>, most: usize, from_end: bool) -> Value {
    let mut found = Vec::new();
    let mut rest = text;
    while found.len() < most {
        let cut = match (separator, from_end) {
            (Some(separator), false) => rest.split_once(separator).map(|(piece, rest)| (rest, piece)),
            (Some(separator), true) => rest.rsplit_once(separator),
            (None, false) => rest.trim_start().split_once(char::is_whitespace).map(|(piece, rest)| (rest, piece)),
            (None, true) => rest.trim_end().rsplit_once(char::is_whitespace),
        };
        let Some((left, piece)) = cut else { break };
        found.push(piece);
        rest = left;
    }
    match (separator, from_end) {
        (Some(_), _) => found.push(rest),
        (None, false) => found.extend(Some(rest.trim_start()).filter(|rest| !rest.is_empty())),
        (None, true) => found.extend(Some(rest.trim_end()).filter(|rest| !rest.is_empty())),
    }
    if from_end {
        found.reverse();
    }
    found.into_iter().map(Value::from).collect()
}
