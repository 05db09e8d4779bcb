//! A look at `tokenizer.json` before the `tokenizers` crate reads it, which panics on one kind of bad file, and whose
//! steps a bad file can stack so that each makes a text several times as long.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How many times as long as it was a text may become before it is cut into tokens: a space is one byte and its stand-in
/// `▁` three, and every byte becomes a character of at most two.
const MAX_GROWTH: usize = 256;

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
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

/// Refuses what the crate would not survive.
pub(super) fn check(json: &[u8]) -> Result<(), String> {
    let file: File = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    check_merges(&file.model)?;
    let growth = growth(&file.normalizer).saturating_mul(growth(&file.pre_tokenizer));
    if growth > MAX_GROWTH {
        return Err(format!("its normalizer and pre-tokenizer make a text up to {growth} times as long"));
    }
    if repeats(&file.post_processor) {
        return Err("its post-processor repeats the text".to_owned());
    }
    Ok(())
}

/// How many times as long a step, or all steps of a sequence, can make a text.
fn growth(step: &Value) -> usize {
    let len = |text: &Value| text.as_str().map_or(0, str::len);
    match step["type"].as_str() {
        Some("Sequence") => {
            let steps = step["normalizers"].as_array().or_else(|| step["pretokenizers"].as_array());
            steps.into_iter().flatten().map(growth).fold(1, usize::saturating_mul)
        }
        Some("ByteLevel") => 2,
        // Before every piece of a text, and the pieces may be as short as a character.
        Some("Prepend") => len(&step["prepend"]).saturating_add(1),
        Some("Metaspace") => 4,
        // A table of texts of any length, which no model of a supported family has.
        Some("Precompiled") => usize::MAX,
        Some("Replace") => match len(&step["pattern"]["String"]) {
            // An expression, or an empty text, is found between any two characters.
            0 => len(&step["content"]).saturating_add(1),
            found => len(&step["content"]).div_ceil(found).max(1),
        },
        _ => 1,
    }
}

/// Whether a template puts the text of a sequence into it more than once.
fn repeats(step: &Value) -> bool {
    match step["type"].as_str() {
        Some("Sequence") => step["processors"].as_array().into_iter().flatten().any(repeats),
        Some("TemplateProcessing") => {
            let pieces = step["single"].as_array().into_iter().flatten();
            pieces.filter(|piece| piece.get("SpecialToken").is_none()).count() > 1
        }
        _ => false,
    }
}

/// Refuses a merge that is longer than every token: the crate would copy it past the end of a buffer of that size.
fn check_merges(model: &Model<'_>) -> Result<(), String> {
    let Some(longest) = model.vocab.0 else { return Ok(()) };
    let prefix = model.continuing_subword_prefix.as_ref().map_or(0, String::len);
    for (rank, merge) in model.merges.iter().enumerate() {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_with(key: &str, step: &Value) -> Result<(), String> {
        let model = json!({"type": "BPE", "vocab": {"a": 0}, "merges": []});
        check(json!({"model": model, key: step}).to_string().as_bytes())
    }

    #[test]
    fn steps_that_multiply_a_text_are_refused() {
        let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"String": pattern}, "content": content});
        let regex = json!({"type": "Replace", "pattern": {"Regex": ".*"}, "content": "aaaa"});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false});
        let normalizers = |step: &Value, count: usize| json!({"type": "Sequence", "normalizers": vec![step; count]});
        for (step, most) in
            [(replace(" ", "▁"), 5), (replace("a", "aa"), 8), (replace("", "a"), 8), (regex, 3), (bytes.clone(), 8)]
        {
            assert_eq!(check_with("normalizer", &normalizers(&step, most)), Ok(()), "{step}");
            assert!(check_with("normalizer", &normalizers(&step, most + 1)).is_err(), "{step}");
        }
        let nested = normalizers(&normalizers(&replace("a", "aa"), 4), 3);
        assert!(check_with("normalizer", &nested).is_err());
        let cuts = json!({"type": "Sequence", "pretokenizers": vec![bytes; 9]});
        assert!(check_with("pre_tokenizer", &cuts).is_err());
        assert_eq!(check_with("normalizer", &replace("long", "")), Ok(()));
    }

    #[test]
    fn templates_that_repeat_the_text_are_refused() {
        let sequence = json!({"Sequence": {"id": "A", "type_id": 0}});
        let special = json!({"SpecialToken": {"id": "<s>", "type_id": 0}});
        let template = |pieces: Vec<&Value>| json!({"type": "TemplateProcessing", "single": pieces});
        let once = template(vec![&special, &sequence, &special]);
        assert_eq!(check_with("post_processor", &once), Ok(()));
        let twice = template(vec![&sequence, &sequence]);
        assert!(check_with("post_processor", &twice).is_err());
        let nested = json!({"type": "Sequence", "processors": [once, twice]});
        assert!(check_with("post_processor", &nested).is_err());
    }
}
