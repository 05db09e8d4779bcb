//! What each token stands for in bytes, so that decoding is a look-up and no token is decoded twice.

use std::collections::HashMap;
use std::sync::LazyLock;

/// How a vocabulary spells the bytes of its ordinary tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Every byte is one printable character, after GPT-2.
    ByteLevel,
    /// Text as it is, with `▁` for a space and, where the model falls back to bytes, tokens such as `<0x0A>`.
    SentencePiece {
        /// Whether `<0x0A>` means the byte.
        byte_fallback: bool,
    },
}

/// The bytes of each token id, and whether it is a special token; ids that no token has are empty.
#[derive(Debug, Default)]
pub(super) struct TokenTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl TokenTable {
    /// Appends the next id with its text as it is: a control or user-defined token.
    pub(super) fn push_added(&mut self, text: &str, special: bool) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        self.special.push(special);
    }

    /// Appends the next id, an ordinary token of the vocabulary.
    pub(super) fn push_spelled(&mut self, text: &str, spelling: Spelling) {
        match spelling {
            Spelling::ByteLevel => self.push_byte_level(text),
            Spelling::SentencePiece { byte_fallback } => match byte_token(text).filter(|_| byte_fallback) {
                Some(byte) => self.bytes.push(byte),
                None => self.bytes.extend_from_slice(text.replace('▁', " ").as_bytes()),
            },
        }
        self.ends.push(self.bytes.len());
        self.special.push(false);
    }

    /// The number of ids.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a token; none for an id outside the vocabulary.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..end]
    }

    /// Whether the token is a special one, which is not text.
    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// A token with a character outside the alphabet is not byte-level after all, and stands for itself.
    fn push_byte_level(&mut self, text: &str) {
        let start = self.bytes.len();
        for character in text.chars() {
            match BYTE_OF_CHARACTER.get(&character) {
                Some(&byte) => self.bytes.push(byte),
                None => {
                    self.bytes.truncate(start);
                    self.bytes.extend_from_slice(text.as_bytes());
                    return;
                }
            }
        }
    }
}

/// The byte that a token such as `<0x0A>` stands for.
pub(super) fn byte_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// GPT-2's alphabet: printable Latin-1 bytes are their own character, the others follow in order from U+0100.
static BYTE_OF_CHARACTER: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let mut others = (0x100..).filter_map(char::from_u32);
    (0..=u8::MAX)
        .filter_map(|byte| match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => Some((char::from(byte), byte)),
            _ => others.next().map(|character| (character, byte)),
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_the_tokenizers_crates() {
        let ours: Vec<char> = BYTE_OF_CHARACTER.keys().copied().collect();
        let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert_eq!(ours.len(), 256);
        assert!(ours.iter().all(|character| theirs.contains(character)));
        assert_eq!((BYTE_OF_CHARACTER[&'Ġ'], BYTE_OF_CHARACTER[&'Ċ'], BYTE_OF_CHARACTER[&'Ń']), (b' ', b'\n', 0xAD));
    }

    #[test]
    fn byte_tokens_have_two_hexadecimal_digits() {
        assert_eq!((byte_token("<0x0A>"), byte_token("<0xff>")), (Some(10), Some(255)));
        for text in ["<0x+A>", "<0xA>", "<0x0A0>", "0x0A", "<0x0A", "<0xé>"] {
            assert_eq!(byte_token(text), None, "{text}");
        }
    }

    #[test]
    fn ids_outside_the_vocabulary_are_empty() {
        let mut table = TokenTable::default();
        table.push_spelled("Ġa", Spelling::ByteLevel);
        table.push_spelled("▁a", Spelling::SentencePiece { byte_fallback: true });
        table.push_spelled("世界", Spelling::ByteLevel);
        table.push_added("<s>", true);
        assert_eq!((table.bytes(0), table.bytes(1), table.bytes(2)), (&b" a"[..], &b" a"[..], "世界".as_bytes()));
        assert_eq!((table.bytes(3), table.bytes(4), table.bytes(u32::MAX)), (&b"<s>"[..], &b""[..], &b""[..]));
        assert_eq!((table.is_special(2), table.is_special(3), table.is_special(4)), (false, true, false));
    }
}
