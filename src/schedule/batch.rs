//! The ragged batch: the tokens of one step and where their keys and values live.

use std::ops::Range;

use thiserror::Error;

use super::RequestId;

/// Why a batch is not one that the model can run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// An array's length does not follow from the others'.
    #[error("the batch's {field} has {len} entries where {expected} are due; build it with Batch::push_sequence")]
    Length { field: &'static str, len: usize, expected: usize },
    /// A sequence brings no tokens.
    #[error("sequence {sequence} has no tokens in this step; leave it out")]
    EmptySequence { sequence: usize },
    /// `query_start` does not cut the tokens into S runs.
    #[error("query_start does not rise from 0 to the number of tokens at sequence {sequence}; rebuild the batch")]
    QueryStart { sequence: usize },
    /// The same request stands in the batch twice.
    #[error("request {id} is in the batch more than once; give it one run of tokens a step")]
    DuplicateRequest { id: RequestId },
    /// A position is not the one before it plus one, or the last is not the end of the context.
    #[error(
        "token {token} is at position {position} where {expected} is due; positions must be contiguous and end the context"
    )]
    Position { token: usize, position: u32, expected: u64 },
    /// A sequence has more tokens than its row of the page table can address.
    #[error("sequence {sequence} needs {needed} pages and has {available}; allocate its pages before the step")]
    Pages { sequence: usize, needed: usize, available: usize },
    /// A page number is outside the cache.
    #[error("sequence {sequence} names page {page} of a cache with {num_pages} pages; rebuild its page list")]
    PageOutOfRange { sequence: usize, page: u32, num_pages: u32 },
    /// Two entries of the page table name one page, and it is written to or they are one sequence's.
    #[error(
        "page {page} stands twice in the page table; a page may be shared only by several sequences that all just read it"
    )]
    SharedPage { page: u32 },
    /// A slot is not where the page table puts the token's position.
    #[error("token {token} goes to slot {slot} where its page table says {expected}; rebuild slot_mapping")]
    Slot { token: usize, slot: u32, expected: u64 },
    /// A row of logits is outside the tokens, repeated or out of order.
    #[error("logits row {row} is not after the one before it or not below {tokens} tokens; list wanted rows in order")]
    LogitsRow { row: u32, tokens: usize },
    /// A number does not fit in the 32 bits that the shaders use.
    #[error("{what} is over 2^32 - 1; use a smaller batch or cache")]
    Overflow { what: &'static str },
    /// Pages of no tokens cannot hold a sequence.
    #[error("the page size is 0; use pages of at least one token")]
    ZeroPageSize,
}

/// Which logits of a sequence's tokens in a step are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None: a prefill chunk that does not end the prompt.
    None,
    /// The last token's: what the next token is sampled from.
    Last,
    /// Those of the tokens from this index of the step's tokens on.
    From(usize),
}

impl LogitsWanted {
    /// Every token's, as for scoring a text.
    pub const ALL: Self = Self::From(0);

    /// The first of `len` tokens whose logits are wanted; `len` if none are.
    pub fn first_of(self, len: usize) -> usize {
        match self {
            Self::None => len,
            Self::Last => len.saturating_sub(1),
            Self::From(first) => first.min(len),
        }
    }
}

/// What one sequence brings to a step.
#[derive(Clone, Copy, Debug)]
pub struct SequenceStep<'a> {
    /// Whose sequence it is.
    pub request_id: RequestId,
    /// The tokens to compute now; at least one.
    pub tokens: &'a [u32],
    /// The first of these tokens' position in the sequence.
    pub first_position: usize,
    /// The sequence's pages, at least those of all positions up to its last token.
    pub pages: &'a [u32],
    /// Which logits are wanted.
    pub logits: LogitsWanted,
}

/// Marks an entry of [`Batch::token_ids`] that is no token but the place of one: see [`Batch::sampled`].
pub const SAMPLED: u32 = 1 << 31;

/// T tokens of S sequences that run in one step: prefill chunks and decode tokens side by side.
///
/// Sequence `s` owns tokens `query_start[s]..query_start[s + 1]`, and these are the last of its `context_len[s]`
/// tokens. A token id may be [the place](Batch::sampled) of one that the step before samples on the device; nothing else in
/// the batch depends on its value.
///
/// A batch keeps its memory over [`Batch::clear`], so that refilling one allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// `[T]` token ids.
    pub token_ids: Vec<u32>,
    /// `[T]` positions in the token's own sequence, from 0.
    pub positions: Vec<u32>,
    /// `[T]` cache slots that take the token's key and value: `page * page_size + position % page_size`.
    pub slot_mapping: Vec<u32>,
    /// `[S + 1]` first token of each sequence, then T.
    pub query_start: Vec<u32>,
    /// `[S]` keys visible to the sequence after this step's tokens are appended.
    pub context_len: Vec<u32>,
    /// `[S][page_table_stride]` page numbers in the order of positions. Entries beyond a sequence's context are 0.
    pub page_table: Vec<u32>,
    /// Entries in a row of `page_table`.
    pub page_table_stride: u32,
    /// Tokens (rows of the `[T, dim]` activations) whose logits are wanted, rising.
    pub logits_rows: Vec<u32>,
    /// `[S]` whose sequence it is.
    pub request_ids: Vec<RequestId>,
}

/// Lists that [`Batch::validate_with`] fills anew each time.
#[derive(Debug, Default)]
pub struct ValidationScratch {
    ids: Vec<RequestId>,
    /// Each page that a sequence has, with that sequence and whether the step writes to it.
    owned: Vec<(u32, usize, bool)>,
}

impl Batch {
    /// An empty batch whose page table has `page_table_stride` entries a row.
    pub fn new(page_table_stride: u32) -> Self {
        Self { page_table_stride, query_start: vec![0], ..Self::default() }
    }

    /// A batch of one sequence with `tokens` at `first_position` and after; its page table holds `pages`.
    ///
    /// # Errors
    /// As [`Batch::push_sequence`].
    pub fn single(
        tokens: &[u32],
        first_position: usize,
        pages: &[u32],
        page_size: u32,
        logits: LogitsWanted,
    ) -> Result<Self, BatchError> {
        let stride = u32::try_from(pages.len()).map_err(|_| BatchError::Overflow { what: "the number of pages" })?;
        let mut batch = Self::new(stride);
        batch.push_sequence(
            SequenceStep { request_id: RequestId(0), tokens, first_position, pages, logits },
            page_size,
        )?;
        Ok(batch)
    }

    /// The `[batch_size, seq_len]` special case: fresh sequences of equal length from position 0, each in
    /// consecutive pages of its own. `token_ids` is row-major.
    ///
    /// # Errors
    /// [`BatchError::Length`] unless there are `batch_size * seq_len` tokens; else as [`Batch::push_sequence`].
    pub fn dense(
        token_ids: &[u32],
        batch_size: usize,
        seq_len: usize,
        page_size: u32,
        logits: LogitsWanted,
    ) -> Result<Self, BatchError> {
        let expected = batch_size.checked_mul(seq_len).ok_or(BatchError::Overflow { what: "the number of tokens" })?;
        if token_ids.len() != expected {
            return Err(BatchError::Length { field: "token_ids", len: token_ids.len(), expected });
        }
        if page_size == 0 {
            return Err(BatchError::ZeroPageSize);
        }
        if seq_len == 0 && batch_size > 0 {
            return Err(BatchError::EmptySequence { sequence: 0 });
        }
        let stride = seq_len.div_ceil(page_size as usize);
        let num_pages = u32::try_from(stride as u128 * batch_size as u128)
            .map_err(|_| BatchError::Overflow { what: "the number of pages" })?;
        let pages: Vec<u32> = (0..num_pages).collect();
        let stride_u32 = u32::try_from(stride).map_err(|_| BatchError::Overflow { what: "the number of pages" })?;
        let mut batch = Self::new(stride_u32);
        for (s, tokens) in token_ids.chunks(seq_len.max(1)).enumerate() {
            let pages = &pages[s * stride..(s + 1) * stride];
            let request_id = RequestId(s as u64);
            batch.push_sequence(SequenceStep { request_id, tokens, first_position: 0, pages, logits }, page_size)?;
        }
        Ok(batch)
    }

    /// Stands in `token_ids` for the token that the step before samples from its row `row` of logits.
    pub fn sampled(row: usize) -> u32 {
        SAMPLED | row as u32
    }

    /// Number of tokens, T.
    pub fn num_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// Number of sequences, S.
    pub fn num_sequences(&self) -> usize {
        self.request_ids.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.token_ids.is_empty()
    }

    /// Each sequence's request, tokens in this step, and context length.
    pub fn sequences(&self) -> impl Iterator<Item = (RequestId, usize, usize)> {
        let query_len = self.query_start.windows(2).map(|w| w[1].saturating_sub(w[0]) as usize);
        let context_len = self.context_len.iter().map(|&len| len as usize);
        self.request_ids.iter().zip(query_len).zip(context_len).map(|((&id, query), context)| (id, query, context))
    }

    /// The entries of `logits_rows` that belong to sequence `sequence`: which rows of the step's `[rows, vocab]` logits
    /// are its own. Empty if it wants none or does not exist.
    pub fn logits_range(&self, sequence: usize) -> Range<usize> {
        let entries_below = |i: usize| {
            let token = self.query_start.get(i).copied().unwrap_or(u32::MAX);
            self.logits_rows.partition_point(|&row| row < token)
        };
        entries_below(sequence)..entries_below(sequence.saturating_add(1))
    }

    /// Empties the batch for rows of `page_table_stride` pages and keeps its memory.
    pub fn clear(&mut self, page_table_stride: u32) {
        self.token_ids.clear();
        self.positions.clear();
        self.slot_mapping.clear();
        self.query_start.clear();
        self.query_start.push(0);
        self.context_len.clear();
        self.page_table.clear();
        self.page_table_stride = page_table_stride;
        self.logits_rows.clear();
        self.request_ids.clear();
    }

    /// Adds one sequence's tokens. Whether its pages are its own is for [`Batch::validate`] to see.
    ///
    /// # Errors
    /// No tokens, too few pages, more pages than a row of the page table takes, or numbers over 32 bits; the batch is
    /// then as it was.
    pub fn push_sequence(&mut self, step: SequenceStep<'_>, page_size: u32) -> Result<(), BatchError> {
        let sequence = self.num_sequences();
        if page_size == 0 {
            return Err(BatchError::ZeroPageSize);
        }
        if step.tokens.is_empty() {
            return Err(BatchError::EmptySequence { sequence });
        }
        if u32::try_from(self.num_tokens().saturating_add(step.tokens.len())).is_err() {
            return Err(BatchError::Overflow { what: "the number of tokens" });
        }
        let context_len = step.first_position.saturating_add(step.tokens.len());
        if u32::try_from(context_len).is_err() {
            return Err(BatchError::Overflow { what: "the context length" });
        }
        let needed = context_len.div_ceil(page_size as usize);
        let available = step.pages.len().min(self.page_table_stride as usize);
        if needed > available {
            return Err(BatchError::Pages { sequence, needed, available });
        }
        if step.pages[..needed]
            .iter()
            .any(|&page| u64::from(page) * u64::from(page_size) + u64::from(page_size) - 1 > u64::from(u32::MAX))
        {
            return Err(BatchError::Overflow { what: "a slot number" });
        }
        self.append(step, page_size);
        Ok(())
    }

    /// [`Batch::push_sequence`] for a step that is known to satisfy its conditions, as the scheduler's are.
    pub(super) fn append(&mut self, step: SequenceStep<'_>, page_size: u32) {
        let first_token = self.num_tokens();
        let context_len = step.first_position + step.tokens.len();
        self.token_ids.extend_from_slice(step.tokens);
        for position in step.first_position as u32..context_len as u32 {
            self.positions.push(position);
            self.slot_mapping.push(step.pages[(position / page_size) as usize] * page_size + position % page_size);
        }
        self.query_start.push(self.token_ids.len() as u32);
        self.context_len.push(context_len as u32);
        let row = self.page_table.len() + self.page_table_stride as usize;
        self.page_table.extend_from_slice(&step.pages[..context_len.div_ceil(page_size as usize)]);
        self.page_table.resize(row, 0);
        let first_row = first_token + step.logits.first_of(step.tokens.len());
        self.logits_rows.extend(first_row as u32..self.token_ids.len() as u32);
        self.request_ids.push(step.request_id);
    }

    /// Checks every invariant of the batch against a cache of `num_pages` pages of `page_size` tokens.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn validate(&self, num_pages: u32, page_size: u32) -> Result<(), BatchError> {
        self.validate_with(num_pages, page_size, &mut ValidationScratch::default())
    }

    /// [`Batch::validate`] step after step, which allocates nothing once the lists are long enough.
    ///
    /// # Errors
    /// As there.
    pub fn validate_with(
        &self,
        num_pages: u32,
        page_size: u32,
        scratch: &mut ValidationScratch,
    ) -> Result<(), BatchError> {
        if page_size == 0 {
            return Err(BatchError::ZeroPageSize);
        }
        self.validate_lengths()?;
        let ValidationScratch { ids, owned } = scratch;
        ids.clear();
        ids.extend_from_slice(&self.request_ids);
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|w| w[0] == w[1]) {
            return Err(BatchError::DuplicateRequest { id: pair[0] });
        }
        owned.clear();
        for sequence in 0..self.num_sequences() {
            let pages = self.validate_sequence(sequence, num_pages, page_size)?;
            let first = self.positions[self.query_start[sequence] as usize] / page_size;
            owned.extend((0..).zip(pages).map(|(index, &page)| (page, sequence, index >= first)));
        }
        owned.sort_unstable();
        let clash = |a: &(u32, usize, bool), b: &(u32, usize, bool)| a.0 == b.0 && (a.1 == b.1 || a.2 || b.2);
        if let Some(pair) = owned.windows(2).find(|w| clash(&w[0], &w[1])) {
            return Err(BatchError::SharedPage { page: pair[0].0 });
        }
        let mut next = 0;
        for &row in &self.logits_rows {
            if (row as usize) < next || row as usize >= self.num_tokens() {
                return Err(BatchError::LogitsRow { row, tokens: self.num_tokens() });
            }
            next = row as usize + 1;
        }
        Ok(())
    }

    fn validate_lengths(&self) -> Result<(), BatchError> {
        let (tokens, sequences) = (self.num_tokens(), self.num_sequences());
        let table = sequences
            .checked_mul(self.page_table_stride as usize)
            .ok_or(BatchError::Overflow { what: "the size of the page table" })?;
        for (field, len, expected) in [
            ("positions", self.positions.len(), tokens),
            ("slot_mapping", self.slot_mapping.len(), tokens),
            ("query_start", self.query_start.len(), sequences + 1),
            ("context_len", self.context_len.len(), sequences),
            ("page_table", self.page_table.len(), table),
        ] {
            if len != expected {
                return Err(BatchError::Length { field, len, expected });
            }
        }
        let covered = self.query_start[0] == 0 && self.query_start[sequences] as usize == tokens;
        if !covered {
            return Err(BatchError::QueryStart { sequence: 0 });
        }
        if let Some(sequence) = self.query_start.windows(2).position(|w| w[0] >= w[1]) {
            return Err(if self.query_start[sequence] == self.query_start[sequence + 1] {
                BatchError::EmptySequence { sequence }
            } else {
                BatchError::QueryStart { sequence }
            });
        }
        Ok(())
    }

    /// Checks one sequence of a batch whose lengths are right; returns the pages that hold its context.
    fn validate_sequence(&self, sequence: usize, num_pages: u32, page_size: u32) -> Result<&[u32], BatchError> {
        let (start, end) = (self.query_start[sequence] as usize, self.query_start[sequence + 1] as usize);
        let context_len = u64::from(self.context_len[sequence]);
        let stride = self.page_table_stride as usize;
        let needed = (context_len as usize).div_ceil(page_size as usize);
        if needed > stride {
            return Err(BatchError::Pages { sequence, needed, available: stride });
        }
        let pages = &self.page_table[sequence * stride..][..needed];
        if let Some(&page) = pages.iter().find(|&&page| page >= num_pages) {
            return Err(BatchError::PageOutOfRange { sequence, page, num_pages });
        }
        for token in start..end {
            let position = self.positions[token];
            let expected = (context_len + (token - start) as u64).checked_sub((end - start) as u64);
            if expected != Some(u64::from(position)) {
                return Err(BatchError::Position { token, position, expected: expected.unwrap_or(0) });
            }
            let page = pages[(position / page_size) as usize];
            let expected = u64::from(page) * u64::from(page_size) + u64::from(position % page_size);
            if u64::from(self.slot_mapping[token]) != expected {
                return Err(BatchError::Slot { token, slot: self.slot_mapping[token], expected });
            }
        }
        Ok(pages)
    }
}
