//! How far a benchmark has come.

/// What is about to be measured.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Cases or tests before it.
    pub done: usize,
    pub total: usize,
    pub name: &'a str,
}
