//! Where the prompt comes from, and its text.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use super::figures::size;

/// No context holds as much, and a pipe may have no end.
const MOST_BYTES: u64 = 256 << 20;

/// Where the prompt comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptSource {
    Argument(OsString),
    File(PathBuf),
    /// Asked for with `-`.
    Stdin,
    /// Nothing was given: stdin, unless a person sits in front of it.
    Unsaid,
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("cannot read the {what} from {from}: {source}")]
    Read { what: &'static str, from: String, source: io::Error },
    #[error("the {what} from {from} is not UTF-8 text (byte {offset} is wrong); convert it, for example with iconv")]
    NotUtf8 { what: &'static str, from: String, offset: usize },
    #[error("the {what} from {from} is empty; give it some text")]
    Empty { what: &'static str, from: String },
    #[error("the {what} from {from} is longer than {}, which no model can read; give it a part", size(MOST_BYTES))]
    TooLong { what: &'static str, from: String },
    #[error("a prompt is needed; give it as an argument, with -f FILE, or through a pipe")]
    Missing,
}

impl PromptSource {
    /// The one that the flags name; clap has seen to it that there is one at most.
    pub fn resolve(positional: Option<OsString>, flag: Option<OsString>, file: Option<PathBuf>) -> Self {
        match (positional, flag, file) {
            (Some(text), _, _) if text == "-" => Self::Stdin,
            (_, _, Some(file)) if file.as_os_str() == "-" => Self::Stdin,
            (Some(text), _, _) | (None, Some(text), _) => Self::Argument(text),
            (None, None, Some(file)) => Self::File(file),
            (None, None, None) => Self::Unsaid,
        }
    }

    /// The prompt, or `what` else it is called in errors. A file and stdin lose one newline at their end, which an
    /// editor or `echo` put there.
    ///
    /// # Errors
    /// It cannot be read, is too long, no UTF-8 or empty, or [`PromptError::Missing`].
    pub fn read(self, what: &'static str) -> Result<String, PromptError> {
        let (from, bytes) = match self {
            Self::Argument(text) => return from_utf8(what, "the command line", text.into_encoded_bytes()),
            Self::File(path) => {
                (path.display().to_string(), File::open(&path).and_then(|file| read_to_end(file, MOST_BYTES)))
            }
            Self::Unsaid if io::stdin().is_terminal() => return Err(PromptError::Missing),
            Self::Stdin | Self::Unsaid => ("stdin".to_owned(), read_to_end(io::stdin().lock(), MOST_BYTES)),
        };
        let bytes = bytes.map_err(|source| PromptError::Read { what, from: from.clone(), source })?;
        let Some(mut bytes) = bytes else { return Err(PromptError::TooLong { what, from }) };
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        from_utf8(what, &from, bytes)
    }
}

/// All that there is; `None` where that is more than `most`.
fn read_to_end(from: impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

fn from_utf8(what: &'static str, from: &str, bytes: Vec<u8>) -> Result<String, PromptError> {
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Err(PromptError::Empty { what, from: from.to_owned() }),
        Ok(text) => Ok(text),
        Err(error) => {
            Err(PromptError::NotUtf8 { what, from: from.to_owned(), offset: error.utf8_error().valid_up_to() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_stdin_wherever_it_stands() {
        assert_eq!(PromptSource::resolve(Some("-".into()), None, None), PromptSource::Stdin);
        assert_eq!(PromptSource::resolve(None, None, Some("-".into())), PromptSource::Stdin);
        assert_eq!(PromptSource::resolve(None, Some("-".into()), None), PromptSource::Argument("-".into()));
        assert_eq!(PromptSource::resolve(None, None, None), PromptSource::Unsaid);
    }

    #[test]
    fn a_file_loses_one_newline_at_its_end() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("prompt.txt");
        for (content, prompt) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a")] {
            std::fs::write(&file, content).expect("written");
            assert_eq!(PromptSource::File(file.clone()).read("prompt").expect("a prompt"), prompt);
        }
    }

    #[test]
    fn a_text_without_end_is_given_up() {
        assert_eq!(read_to_end(io::repeat(b'a'), 1000).expect("read"), None);
        assert_eq!(read_to_end(&[b'a'; 1000][..], 1000).expect("read"), Some(vec![b'a'; 1000]));
    }

    #[test]
    fn wrong_utf8_is_located() {
        let error = from_utf8("prompt", "x", b"abc\xff".to_vec()).expect_err("not UTF-8");
        assert!(matches!(error, PromptError::NotUtf8 { offset: 3, .. }), "{error}");
    }
}
