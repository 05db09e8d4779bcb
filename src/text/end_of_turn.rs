//! Tokens that end a turn, known by their text: checkpoints seldom list them all.

/// Whether a control token with this text ends the generation, after the list that llama.cpp keeps for the same purpose.
pub(super) fn ends_turn(text: &str) -> bool {
    matches!(
        text,
        "<|im_end|>"
            | "<|eot_id|>"
            | "<|eom_id|>"
            | "<|end|>"
            | "<|return|>"
            | "<|call|>"
            | "<end_of_turn>"
            | "<turn|>"
            | "<|endoftext|>"
            | "<|end_of_text|>"
            | "<end_of_utterance>"
            | "<|END_OF_TURN_TOKEN|>"
            | "<EOT>"
            | "_<EOT>"
            | "[EOT]"
            | "[EOS]"
            | "</s>"
            | "<eos>"
            | "<｜end▁of▁sentence｜>"
    )
}

/// Removes what the list above gets wrong: where `<|return|>` and `<|call|>` exist, `<|end|>` only ends one message of
/// a turn (gpt-oss).
pub(super) fn drop_message_ends<'a>(ids: &mut Vec<u32>, text: impl Fn(u32) -> &'a str) {
    let has = |wanted: &str| ids.iter().any(|&id| text(id) == wanted);
    if has("<|return|>") && has("<|call|>") {
        ids.retain(|&id| text(id) != "<|end|>");
    }
}
