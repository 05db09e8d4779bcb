//! What a user sees on stderr: single lines and progress bars.

use std::fmt::Display;
use std::io::Write;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

/// Prints a line on stderr. Unlike `eprintln!` it does not panic when stderr is closed.
pub fn note(line: &str) {
    // Nobody is left to tell when stderr itself fails.
    let _ = writeln!(std::io::stderr(), "{}", escaped(line, &['\n']));
}

/// Shows a part of a line on stderr at once.
pub fn progress(text: &str) {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// Prints a text on stdout; a reader who has seen enough of it is no error.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to stdout"),
    }
}

/// Prints a JSON value as a line on stdout.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{value}\n"))
}

/// A name from a file or from the hub, with its control characters spelled out: they could command the terminal.
pub fn printable(name: &str) -> String {
    escaped(name, &[])
}

fn escaped(text: &str, kept: &[char]) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !kept.contains(&c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// An error and its causes as one line: `what: why: why`, where a cause that the line already quotes is left out.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        append(&mut line, cause);
    }
    line
}

fn append(line: &mut String, cause: impl Display) {
    let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    if line.contains(&text) {
        return;
    }
    if !line.is_empty() {
        line.push_str(": ");
    }
    line.push_str(&text);
}

/// A bar that counts bytes on stderr; it draws nothing if stderr is no terminal or `quiet` is set.
pub fn byte_bar(bytes: u64, message: &str, quiet: bool) -> ProgressBar {
    bar(bytes, message, "{bytes}/{total_bytes} {bytes_per_sec} ({eta})", quiet)
}

/// The same for tokens, of which there are as many as will be said.
pub fn token_bar(message: &str, quiet: bool) -> ProgressBar {
    bar(0, message, "{pos}/{len} tokens ({eta})", quiet)
}

fn bar(length: u64, message: &str, figures: &str, quiet: bool) -> ProgressBar {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(length) };
    bar.set_length(length);
    let layout = format!("{{msg}} [{{wide_bar:.cyan/blue}}] {figures}");
    if let Ok(style) = ProgressStyle::with_template(&layout) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(printable(message));
    bar
}

/// A line that counts cases on stderr; it draws nothing if stderr is no terminal.
pub fn case_bar(prefix: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar.with_prefix(prefix.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn control_characters_of_names_are_spelled_out() {
        assert_eq!(printable("a\u{1b}[31m\r\n\u{9b}é"), "a\\u{1b}[31m\\r\\n\\u{9b}é");
        assert_eq!(escaped("a\nb\u{7}", &['\n']), "a\nb\\u{7}");
    }

    #[test]
    fn causes_follow_on_one_line_without_repeats() {
        let error = anyhow!("no such\nfile").context("cannot open a.gguf: no such file");
        assert_eq!(one_line(&error), "cannot open a.gguf: no such file");
        let error = anyhow!("disk full").context("cannot write");
        assert_eq!(one_line(&error), "cannot write: disk full");
    }
}
