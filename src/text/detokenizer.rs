use super::token_table::TokenTable;

/// Token ids to text, one id at a time and whole characters only; each id costs its own bytes and no more.
///
/// A character whose bytes are spread over several tokens comes out with the last of them. Special tokens are not
/// shown. Bytes that cannot become a character are U+FFFD as soon as that is certain.
#[derive(Debug)]
pub struct Detokenizer<'a> {
    table: &'a TokenTable,
    /// The start of a character: up to three bytes that are valid so far.
    pending: Vec<u8>,
    strip_space: bool,
}

impl<'a> Detokenizer<'a> {
    pub(super) fn new(table: &'a TokenTable, strip_space: bool) -> Self {
        Self { table, pending: Vec::new(), strip_space }
    }

    /// The text that this token completes, if any.
    pub fn push(&mut self, id: u32) -> Option<String> {
        if self.table.is_special(id) {
            return None;
        }
        let mut bytes = self.table.bytes(id);
        if self.strip_space && !bytes.is_empty() {
            self.strip_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.pending.extend_from_slice(bytes);
        let (text, rest) = whole_characters(&self.pending);
        self.pending.drain(..self.pending.len() - rest);
        (!text.is_empty()).then_some(text)
    }

    /// What is left at the end: U+FFFD where a character was begun and never completed.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// The characters of `bytes` with invalid ones replaced, and the length of an unfinished character at the end.
fn whole_characters(bytes: &[u8]) -> (String, usize) {
    let mut text = String::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        if chunks.peek().is_none() && is_unfinished(invalid) {
            return (text, invalid.len());
        }
        if !invalid.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, 0)
}

/// Whether more bytes could make a character of these.
fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A table in which token `i` is `pieces[i]`, arbitrary bytes.
    fn table(pieces: &[Vec<u8>]) -> TokenTable {
        use crate::text::token_table::Spelling;
        let mut table = TokenTable::default();
        for piece in pieces {
            let spelled: String = piece.iter().map(|byte| character_of(*byte)).collect();
            table.push_spelled(&spelled, Spelling::ByteLevel);
        }
        table
    }

    fn character_of(byte: u8) -> char {
        match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => {
                let others = (0..byte).filter(|b| !matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)).count();
                char::from_u32(0x100 + others as u32).unwrap()
            }
        }
    }

    fn stream(pieces: &[Vec<u8>]) -> (Vec<String>, String) {
        let table = table(pieces);
        let mut detokenizer = Detokenizer::new(&table, false);
        let parts = (0..pieces.len() as u32).filter_map(|id| detokenizer.push(id)).collect();
        (parts, detokenizer.finish())
    }

    #[test]
    fn a_character_comes_out_with_its_last_byte() {
        let pieces: Vec<Vec<u8>> = "a🦙b".bytes().map(|byte| vec![byte]).collect();
        assert_eq!(stream(&pieces), (vec!["a".into(), "🦙".into(), "b".into()], String::new()));
    }

    #[test]
    fn invalid_bytes_are_replaced_once_they_are_known_to_be() {
        let (parts, rest) = stream(&[vec![0xF0, 0x9F], b"x".to_vec(), vec![0x80], vec![0xC3]]);
        assert_eq!((parts, rest), (vec!["\u{FFFD}x".into(), "\u{FFFD}".into()], "\u{FFFD}".into()));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_stream_to_their_lossy_text(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..4),
                    "\\PC{1,3}".prop_map(String::into_bytes),
                    prop::collection::vec(0x80u8..=0xF4, 1..3),
                ],
                0..40,
            )
        ) {
            let (parts, rest) = stream(&pieces);
            let bytes = pieces.concat();
            prop_assert_eq!(parts.concat() + &rest, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn text_cut_anywhere_never_shows_a_replacement(text in "\\PC{0,40}", cuts in prop::collection::vec(1usize..4, 200)) {
            let mut bytes = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
                pieces.push(piece.to_vec());
                bytes = rest;
            }
            let (parts, rest) = stream(&pieces);
            prop_assert_eq!((parts.concat(), rest.as_str()), (text, ""));
        }
    }
}
