//! What a file of saved logits is about.

use std::io::{self, Read, Write};

const MAGIC: [u8; 8] = *b"_logits_";

/// The text that was scored, and how it was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Tokens of a window.
    pub window: usize,
    pub vocabulary: usize,
    /// `[windows][window]`; without BOS in place of each window's first token.
    pub tokens: Vec<u32>,
}

/// Why a file of saved logits cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SavedLogitsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it does not begin with '_logits_'; name a file that --save-logits or llama-perplexity wrote")]
    Magic,
    #[error(
        "its sizes make no sense: {windows} windows of {window} tokens of a vocabulary of {vocabulary}; write it again"
    )]
    Sizes { window: u32, vocabulary: i32, windows: i32 },
    #[error("it has {found} bytes where its header asks for {expected}; it was cut off or damaged, write it again")]
    Length { found: u64, expected: u128 },
    #[error("it holds the token {token}, which its vocabulary of {vocabulary} does not have; write it again")]
    Token { token: i32, vocabulary: usize },
    #[error("row {row} holds numbers that are no log-probabilities; write it again")]
    Row { row: u64 },
    #[error("{written} rows were written where {due} are due; score all of the header's windows")]
    Rows { written: u64, due: u64 },
    #[error("{what} is over 2^31 - 1, which the file's format cannot hold")]
    Overflow { what: &'static str },
}

impl Header {
    pub fn windows(&self) -> usize {
        self.tokens.len() / self.window.max(1)
    }

    /// Rows of a window.
    pub fn rows_per_window(&self) -> usize {
        rows_per_window(self.window)
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        row_bytes(self.vocabulary)
    }

    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u128 {
        file_bytes(self.window, self.vocabulary, self.windows())
    }

    /// Reads a header from a file of `length` bytes, which bounds what is allocated.
    ///
    /// # Errors
    /// It is no such file, or not all of it.
    pub fn read(from: &mut impl Read, length: u64) -> Result<Self, SavedLogitsError> {
        let mut magic = [0; 8];
        from.read_exact(&mut magic).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => SavedLogitsError::Magic,
            _ => e.into(),
        })?;
        if magic != MAGIC {
            return Err(SavedLogitsError::Magic);
        }
        let mut sizes = [0; 12];
        from.read_exact(&mut sizes)?;
        let [window, vocabulary, windows] = words(&sizes);
        let (vocabulary, windows) = (vocabulary.cast_signed(), windows.cast_signed());
        let senseless = SavedLogitsError::Sizes { window, vocabulary, windows };
        let (Ok(window), Ok(vocabulary), Ok(windows)) =
            (usize::try_from(window), usize::try_from(vocabulary), usize::try_from(windows))
        else {
            return Err(senseless);
        };
        if rows_per_window(window) == 0 || vocabulary == 0 || windows == 0 {
            return Err(senseless);
        }
        let expected = file_bytes(window, vocabulary, windows);
        if u128::from(length) != expected {
            return Err(SavedLogitsError::Length { found: length, expected });
        }
        let mut bytes = vec![0; 4 * windows * window];
        from.read_exact(&mut bytes)?;
        let as_token = |bytes: &[u8; 4]| {
            let token = i32::from_le_bytes(*bytes);
            let valid = usize::try_from(token).is_ok_and(|token| token < vocabulary);
            if valid { Ok(token.cast_unsigned()) } else { Err(SavedLogitsError::Token { token, vocabulary }) }
        };
        let tokens = bytes.as_chunks().0.iter().map(as_token).collect::<Result<_, _>>()?;
        Ok(Self { window, vocabulary, tokens })
    }

    /// # Errors
    /// A number that the format cannot hold, or the file cannot be written.
    pub fn write(&self, to: &mut impl Write) -> Result<(), SavedLogitsError> {
        let signed = |what, number: usize| i32::try_from(number).map_err(|_| SavedLogitsError::Overflow { what });
        to.write_all(&MAGIC)?;
        for (what, number) in [
            ("the context", self.window),
            ("the vocabulary", self.vocabulary),
            ("the number of windows", self.windows()),
        ] {
            to.write_all(&signed(what, number)?.to_le_bytes())?;
        }
        for &token in &self.tokens {
            to.write_all(&signed("a token", token as usize)?.to_le_bytes())?;
        }
        Ok(())
    }
}

fn words(bytes: &[u8; 12]) -> [u32; 3] {
    let words = bytes.as_chunks::<4>().0;
    [0, 1, 2].map(|i| u32::from_le_bytes(words[i]))
}

fn rows_per_window(window: usize) -> usize {
    window.saturating_sub(window / 2 + 1)
}

fn row_bytes(vocabulary: usize) -> usize {
    2 * (4 + vocabulary + vocabulary % 2)
}

fn file_bytes(window: usize, vocabulary: usize, windows: usize) -> u128 {
    // Each is below 2^32, so the products stay below 2^98.
    let [window_, row, windows] = [window, row_bytes(vocabulary), windows].map(|n| n as u128);
    20 + 4 * windows * window_ + windows * rows_per_window(window) as u128 * row
}
