//! Which tokens of a text are scored, and with what before them.

/// Tokens that are run from an empty cache, of which the later ones are scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub tokens: Vec<u32>,
    /// Index of the first token that is scored; all after it are too. At least 1: the first token has nothing before
    /// it that it could be predicted from.
    pub first_scored: usize,
}

impl Window {
    /// Tokens that are scored.
    pub fn num_scored(&self) -> usize {
        self.tokens.len().saturating_sub(self.first_scored)
    }
}

/// How a text is cut into windows of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Tokens of a window.
    length: usize,
    /// Tokens from the start of one window to that of the next.
    step: usize,
    first_scored: usize,
    /// What stands at the start of each window in place of the text's own token.
    bos: Option<u32>,
}

/// Why a text cannot be cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("a window of {length} tokens leaves none to score; use a context (-c) of at least {least}")]
    TooShort { length: usize, least: usize },
    #[error("the stride is {stride}; use at least 1 and less than the window's {length} tokens (-c)")]
    Stride { stride: usize, length: usize },
    #[error("the text has {tokens} tokens, not enough for a window of {length}; use a longer text or a smaller -c")]
    TextTooShort { tokens: usize, length: usize },
}

impl Windows {
    /// Windows of `length` tokens side by side, of which the second half is scored: from token `length / 2 + 1` on, so that
    /// each has at least half a window before it. A rest that fills no window is left out.
    ///
    /// # Errors
    /// [`WindowError::TooShort`] where a window would have no scored token.
    pub fn side_by_side(length: usize) -> Result<Self, WindowError> {
        let first_scored = length / 2 + 1;
        if first_scored >= length {
            return Err(WindowError::TooShort { length, least: 3 });
        }
        Ok(Self { length, step: length, first_scored, bos: None })
    }

    /// Windows of `length` tokens that begin `stride` tokens apart, of which the last `stride` are scored: each token of
    /// the text once, but for those of the first window that have too few before them. This is llama.cpp's
    /// `--ppl-stride`; that its implementation enlarges the windows and forgets BOS is not followed.
    ///
    /// # Errors
    /// [`WindowError::Stride`] unless `0 < stride < length`.
    pub fn sliding(length: usize, stride: usize) -> Result<Self, WindowError> {
        if stride == 0 || stride >= length {
            return Err(WindowError::Stride { stride, length });
        }
        Ok(Self { length, step: stride, first_scored: length - stride, bos: None })
    }

    /// As in llama.cpp, this token takes the place of each window's first, which is never scored.
    pub fn with_bos(self, bos: Option<u32>) -> Self {
        Self { bos, ..self }
    }

    /// Tokens of a window.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Scored tokens of a window.
    pub fn scored(&self) -> usize {
        self.length - self.first_scored
    }

    /// The windows of a text, `most` at most.
    ///
    /// # Errors
    /// [`WindowError::TextTooShort`] where not even one is full.
    pub fn of(&self, tokens: &[u32], most: usize) -> Result<Vec<Window>, WindowError> {
        let Some(room) = tokens.len().checked_sub(self.length) else {
            return Err(WindowError::TextTooShort { tokens: tokens.len(), length: self.length });
        };
        let starts = (0..=room).step_by(self.step).take(most);
        Ok(starts.map(|start| self.window(&tokens[start..start + self.length])).collect())
    }

    fn window(&self, tokens: &[u32]) -> Window {
        let mut tokens = tokens.to_vec();
        if let (Some(first), Some(bos)) = (tokens.first_mut(), self.bos) {
            *first = bos;
        }
        Window { tokens, first_scored: self.first_scored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOS: u32 = 1000;

    fn text(tokens: u32) -> Vec<u32> {
        (0..tokens).collect()
    }

    fn scored(windows: &[Window]) -> Vec<u32> {
        windows.iter().flat_map(|window| window.tokens[window.first_scored..].to_vec()).collect()
    }

    #[test]
    fn windows_side_by_side_score_their_second_halves() {
        let windows =
            Windows::side_by_side(8).expect("valid").with_bos(Some(BOS)).of(&text(25), usize::MAX).expect("windows");
        assert_eq!(windows.len(), 3, "the last token fills no window");
        assert_eq!(windows[0].tokens, [BOS, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(windows[1].tokens, [BOS, 9, 10, 11, 12, 13, 14, 15]);
        // llama.cpp: n_ctx - n_ctx / 2 - 1 tokens a window.
        assert_eq!(scored(&windows), [5, 6, 7, 13, 14, 15, 21, 22, 23]);
        let odd = Windows::side_by_side(9).expect("valid");
        assert_eq!(scored(&odd.of(&text(9), 1).expect("windows")), [5, 6, 7, 8]);
        assert_eq!(odd.scored(), 4);
    }

    #[test]
    fn sliding_windows_score_each_token_once() {
        let sliding = Windows::sliding(8, 3).expect("valid").with_bos(Some(BOS));
        let windows = sliding.of(&text(15), usize::MAX).expect("windows");
        assert_eq!(windows[1].tokens, [BOS, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(scored(&windows), [5, 6, 7, 8, 9, 10, 11, 12, 13]);
        assert_eq!(scored(&sliding.of(&text(15), 2).expect("windows")), [5, 6, 7, 8, 9, 10]);
        // The longest stride scores all but the first token, the shortest one token a window.
        assert_eq!(scored(&Windows::sliding(4, 3).expect("valid").of(&text(7), 9).expect("windows")).len(), 6);
        assert_eq!(scored(&Windows::sliding(4, 1).expect("valid").of(&text(7), 9).expect("windows")), [3, 4, 5, 6]);
    }

    #[test]
    fn without_bos_the_text_stays_as_it_is() {
        let windows = Windows::side_by_side(4).expect("valid").of(&text(8), usize::MAX).expect("windows");
        assert_eq!(windows.concat_tokens(), text(8));
    }

    trait Concat {
        fn concat_tokens(&self) -> Vec<u32>;
    }

    impl Concat for [Window] {
        fn concat_tokens(&self) -> Vec<u32> {
            self.iter().flat_map(|window| window.tokens.clone()).collect()
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        for length in 0..3 {
            assert_eq!(Windows::side_by_side(length), Err(WindowError::TooShort { length, least: 3 }));
        }
        assert_eq!(Windows::side_by_side(3).map(|windows| windows.scored()), Ok(1));
        for stride in [0, 8, 9] {
            assert_eq!(Windows::sliding(8, stride), Err(WindowError::Stride { stride, length: 8 }));
        }
        let short = Windows::side_by_side(8).expect("valid").of(&text(7), 1);
        assert_eq!(short, Err(WindowError::TextTooShort { tokens: 7, length: 8 }));
    }
}
