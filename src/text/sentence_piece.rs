//! SentencePiece-style BPE: the whole text is one word, spaces are `▁`, and of all neighbours whose union is a token the
//! pair with the best score merges first.

use tokenizers::NormalizerWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};

use super::TextError;
use super::gguf::Vocabulary;

/// Tokens are tried at every cut, which is quadratic in their length; real ones have some tens of bytes.
const MAX_TOKEN_BYTES: usize = 512;
/// What the merges may take for each byte that the tokens take in the file; real vocabularies need a dozen. Tokens that
/// are all beginnings of each other have as many merges as the square of their number.
const MERGE_BYTES_PER_BYTE: usize = 64;
/// Two strings in a list, beside their text.
const MERGE_OVERHEAD: usize = 80;

/// What the metadata says of such a tokenizer.
pub(super) struct SentencePiece<'a> {
    pub(super) vocabulary: &'a Vocabulary,
    /// One for each token; the higher, the earlier it is merged.
    pub(super) scores: Vec<f32>,
    /// The token for characters that neither the vocabulary nor its bytes can express.
    pub(super) unknown: Option<usize>,
    /// Whether a space goes before a text, and before what follows a special token.
    pub(super) adds_space: bool,
}

pub(super) fn build(source: SentencePiece<'_>) -> Result<tokenizers::Tokenizer, TextError> {
    let SentencePiece { vocabulary, scores, unknown, adds_space } = source;
    if let Some(id) = scores.iter().position(|score| score.is_nan()) {
        return Err(TextError::Vocabulary(format!("the score of token {id} is not a number")));
    }
    if let Some(id) = vocabulary.tokens.iter().position(|text| text.len() > MAX_TOKEN_BYTES) {
        return Err(TextError::Vocabulary(format!("token {id} is longer than {MAX_TOKEN_BYTES} bytes")));
    }
    let ids = vocabulary.ids();
    let merges = merges(vocabulary, &ids, &scores)?;
    let mut model = BPE::builder().vocab_and_merges(ids, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown {
        model = model.unk_token(vocabulary.tokens[unknown].clone());
    }
    let mut tokenizer = tokenizers::Tokenizer::new(model.build()?);
    tokenizer.with_normalizer(Some(normalizer(adds_space)?))?;
    tokenizer.add_tokens(vocabulary.added_tokens())?;
    Ok(tokenizer)
}

fn normalizer(adds_space: bool) -> Result<NormalizerWrapper, TextError> {
    let escape: NormalizerWrapper = Replace::new(" ", "▁")?.into();
    let mut steps = Vec::with_capacity(2);
    if adds_space {
        steps.push(Prepend::new("▁".to_owned()).into());
    }
    steps.push(escape);
    Ok(Sequence::new(steps).into())
}

/// Every way to put a token together from two others, best score first.
///
/// Ties are broken as transformers' converters do, the longer left half first, so that the ids agree with theirs.
fn merges(vocabulary: &Vocabulary, ids: &Vocab, scores: &[f32]) -> Result<Vec<(String, String)>, TextError> {
    struct Merge {
        token: usize,
        /// Where the token is cut, in bytes and in characters from its left end.
        bytes: usize,
        characters: usize,
    }
    let merges_of = |text: &str| ids.get(text).is_some_and(|&id| vocabulary.merges(id as usize));
    let stored: usize = vocabulary.tokens.iter().map(|text| text.len() + size_of::<u64>()).sum();
    let mut room = stored.saturating_mul(MERGE_BYTES_PER_BYTE);
    let mut found = Vec::with_capacity(vocabulary.tokens.len() * 2);
    for (token, text) in vocabulary.tokens.iter().enumerate().filter(|&(id, _)| vocabulary.merges(id)) {
        for (characters, (bytes, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(bytes);
            if merges_of(left) && merges_of(right) {
                room = room.checked_sub(text.len() + MERGE_OVERHEAD).ok_or_else(|| {
                    TextError::Vocabulary("its tokens can be put together in too many ways".to_owned())
                })?;
                found.push(Merge { token, bytes, characters });
            }
        }
    }
    found.sort_by(|a, b| {
        let by_score = scores[b.token].total_cmp(&scores[a.token]);
        by_score.then(b.characters.cmp(&a.characters)).then(a.token.cmp(&b.token))
    });
    let halves = found.iter().map(|merge| vocabulary.tokens[merge.token].split_at(merge.bytes));
    Ok(halves.map(|(left, right)| (left.to_owned(), right.to_owned())).collect())
}
