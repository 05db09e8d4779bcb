//! Text to tokens and back: tokenizers, the streaming detokeniser and chat templates.
