//! Byte-level BPE, GPT-2's kind: words of bytes, merged in the order that training learnt.

use tokenizers::models::bpe::BPE;

use super::TextError;
use super::gguf::Vocabulary;
use super::pre_tokenizer::PreTokenization;

/// `merges` are pairs in order of rank, the two halves separated by a space.
pub(super) fn build(
    vocabulary: &Vocabulary,
    merges: &[String],
    pre: PreTokenization,
    warnings: &mut Vec<String>,
) -> Result<tokenizers::Tokenizer, TextError> {
    let ids = vocabulary.ids();
    let mut pairs = Vec::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        // The first half has at least one character, which may itself be a space in odd vocabularies.
        let gap = merge.char_indices().skip(1).find(|&(_, character)| character == ' ').map(|(index, _)| index);
        let Some((left, right)) = gap.map(|gap| (&merge[..gap], &merge[gap + 1..])) else {
            return Err(TextError::Vocabulary(format!("merge {rank}, {merge:?}, is not two tokens")));
        };
        // The crate refuses these; a vocabulary cut to size has some, and nothing can come of them.
        if ids.contains_key(left) && ids.contains_key(right) && ids.contains_key(&format!("{left}{right}")) {
            pairs.push((left.to_owned(), right.to_owned()));
        }
    }
    let skipped = merges.len() - pairs.len();
    if skipped > 0 {
        warnings.push(format!("{skipped} of {} merges name tokens that the vocabulary lacks", merges.len()));
    }
    let model = BPE::builder().vocab_and_merges(ids, pairs).ignore_merges(pre.ignore_merges).build()?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer.with_normalizer(pre.normalizer())?;
    tokenizer.with_pre_tokenizer(Some(pre.build()?));
    tokenizer.add_tokens(vocabulary.added_tokens())?;
    Ok(tokenizer)
}
