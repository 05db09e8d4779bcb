//! What a rendering may build and how long it may take.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::template_bounds::{MAX_BYTES, too_large};

/// The bytes of all values that one rendering may build, beside a multiple of the messages' own length.
const ALLOWANCE: usize = 64 << 20;
const PER_INPUT: usize = 64;
/// What a value counts for beside its text.
const VALUE_BYTES: usize = 32;
/// Lists in lists: printing, comparing and dropping them recurse.
const MAX_DEPTH: usize = 64;
/// A rendering takes a millisecond; this is for the operations that are slow for what they build.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Counts one rendering's values down. Every value that an instruction builds is taken in full, with what it refers to:
/// so none is ever larger than what is left, and neither is all that is alive at once.
pub(super) struct Meter {
    state: Mutex<State>,
    deadline: Instant,
    longest_text: usize,
}

struct State {
    left: usize,
    exceeded: Option<&'static str>,
}

impl Meter {
    /// For a conversation of `input` bytes.
    pub(super) fn new(input: usize) -> Meter {
        let left = input.saturating_mul(PER_INPUT).saturating_add(ALLOWANCE);
        Meter {
            state: Mutex::new(State { left, exceeded: None }),
            deadline: Instant::now() + MAX_TIME,
            longest_text: input.saturating_add(MAX_BYTES),
        }
    }

    /// The limit that was exceeded, if one was.
    pub(super) fn exceeded(&self) -> Option<&'static str> {
        self.with(|state| state.exceeded)
    }

    /// Takes a value that was just built, and hands it on as one that holds its items: what computes them anew each time
    /// it is asked could be stacked a hundred thousand deep.
    pub(super) fn take(&self, value: Value) -> Result<Value, Error> {
        let mut left = self.with(|state| state.left);
        let taken = self.measure(&value, 0, &mut left);
        self.settle(taken.map(|()| left))?;
        match value.kind() {
            ValueKind::Iterable => Ok(Value::from(value.try_iter()?.collect::<Vec<_>>())),
            _ => Ok(value),
        }
    }

    /// Takes a text of so many bytes.
    pub(super) fn take_bytes(&self, bytes: usize) -> Result<(), Error> {
        let left = self.with(|state| state.left.checked_sub(bytes));
        self.settle(left.ok_or(Refusal::Memory))
    }

    /// Checks what a multiplication would repeat before it does.
    pub(super) fn check_factors(&self, left: &Value, right: &Value) -> Result<(), Error> {
        for (repeated, times) in [(left, right), (right, left)] {
            let Some(times) = times.as_usize() else { continue };
            let bytes = match repeated.kind() {
                ValueKind::String => repeated.as_str().map_or(0, str::len),
                ValueKind::Seq | ValueKind::Iterable => repeated.len().unwrap_or(0).saturating_mul(VALUE_BYTES),
                _ => continue,
            };
            if bytes.saturating_mul(times) > MAX_BYTES {
                return Err(too_large());
            }
        }
        Ok(())
    }

    fn settle(&self, left: Result<usize, Refusal>) -> Result<(), Error> {
        let left = if Instant::now() > self.deadline { Err(Refusal::Time) } else { left };
        let refusal = match left {
            Ok(left) => {
                self.with(|state| state.left = left);
                return Ok(());
            }
            Err(Refusal::Value(error)) => return Err(error),
            Err(Refusal::Memory) => "the memory that a conversation can need",
            Err(Refusal::Time) => "the time that a conversation can need",
        };
        self.with(|state| state.exceeded = Some(refusal));
        Err(Error::new(ErrorKind::InvalidOperation, refusal))
    }

    fn measure(&self, value: &Value, depth: usize, left: &mut usize) -> Result<(), Refusal> {
        let text = value.as_str().map_or(0, str::len);
        if text > self.longest_text {
            return Err(Refusal::Value(too_large()));
        }
        *left = left.checked_sub(VALUE_BYTES + text).ok_or(Refusal::Memory)?;
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
            return Ok(());
        }
        if depth > MAX_DEPTH || (depth > 0 && is_namespace(value)) {
            return Err(Refusal::Value(nested()));
        }
        for item in value.try_iter().map_err(Refusal::Value)? {
            self.measure(&item, depth + 1, left)?;
            if value.kind() == ValueKind::Map {
                self.measure(&value.get_item(&item).map_err(Refusal::Value)?, depth + 1, left)?;
            }
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

enum Refusal {
    Memory,
    Time,
    Value(Error),
}

/// Refuses a namespace where a value is stored: one that holds itself has no end, and one that is held can grow after
/// its holder was measured.
pub(super) fn check_stored(value: &Value) -> Result<(), Error> {
    if is_namespace(value) { Err(nested()) } else { Ok(()) }
}

/// minijinja's one kind of value that changes.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn nested() -> Error {
    Error::new(ErrorKind::InvalidOperation, "values in it are nested too deeply, or hold a namespace")
}
