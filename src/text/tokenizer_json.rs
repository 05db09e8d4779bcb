//! A look at `tokenizer.json` before the `tokenizers` crate reads it, which panics on one kind of bad file.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(default)]
    vocab: LongestToken,
    #[serde(default, borrow)]
    merges: Vec<Merge<'a>>,
    continuing_subword_prefix: Option<String>,
}

/// The bytes of the longest key of a vocabulary; none for vocabularies that are lists.
#[derive(Default)]
struct LongestToken(Option<usize>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge<'a> {
    Line(#[serde(borrow)] Cow<'a, str>),
    Pair(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>),
}

/// Refuses a merge that is longer than every token: the crate would copy it past the end of a buffer of that size.
pub(super) fn check(json: &[u8]) -> Result<(), String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let Some(longest) = file.model.vocab.0 else { return Ok(()) };
    let prefix = file.model.continuing_subword_prefix.map_or(0, |prefix| prefix.len());
    for (rank, merge) in file.model.merges.iter().enumerate() {
        let (left, right) = match merge {
            Merge::Line(line) => line.split_once(' ').unwrap_or((line, "")),
            Merge::Pair(left, right) => (&**left, &**right),
        };
        if right.len() < prefix || left.len() + right.len() - prefix > longest {
            return Err(format!("merge {rank} makes {left:?} and {right:?} a token that the vocabulary lacks"));
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for LongestToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LongestTokenVisitor)
    }
}

struct LongestTokenVisitor;

impl<'de> Visitor<'de> for LongestTokenVisitor {
    type Value = LongestToken;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a vocabulary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LongestToken, A::Error> {
        let mut longest = 0;
        while let Some((token, IgnoredAny)) = map.next_entry::<Cow<'de, str>, IgnoredAny>()? {
            longest = longest.max(token.len());
        }
        Ok(LongestToken(Some(longest)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LongestToken, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(LongestToken(None))
    }
}
