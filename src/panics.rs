//! Panics of other people's code that become errors here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread now would become an error: wgpu panics when a driver loses its device while it is waited
/// for, and the `tokenizers` crate over some files. A panic hook that asks need not report those.
pub fn are_caught() -> bool {
    CAUGHT.get()
}

/// What `act` gives, or nothing if it panics. It must leave nothing half done that is used afterwards.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Option<T> {
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    CAUGHT.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_known_to_be_in_the_call_alone() {
        assert_eq!(caught(are_caught), Some(true));
        let inner_panics = || {
            let inner: Option<()> = caught(|| std::panic::resume_unwind(Box::new("lost")));
            (inner, are_caught())
        };
        assert_eq!(caught(inner_panics), Some((None, true)));
        assert!(!are_caught());
    }
}
