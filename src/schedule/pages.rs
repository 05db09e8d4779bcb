//! The cache's pages: fixed-size runs of token slots, handed out to sequences and taken back.

use thiserror::Error;

/// Why pages could not be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// A count is zero.
    #[error("a cache of {num_pages} pages of {page_size} tokens holds nothing; give it at least one page of one token")]
    Empty { num_pages: u32, page_size: u32 },
    /// Slots are numbered in 32 bits, here and in the shaders.
    #[error("{num_pages} pages of {page_size} tokens are over 2^32 - 1 slots; use a smaller cache")]
    TooLarge { num_pages: u32, page_size: u32 },
    /// Not enough free pages; nothing was handed out.
    #[error("{needed} more pages are needed and {free} are free; free a sequence or use a larger cache")]
    Exhausted { needed: usize, free: usize },
}

/// The pages of one sequence, in the order of its positions.
///
/// Only a [`PageAllocator`] changes it, and it is not `Clone`, so that no page gets two owners. Give it back with
/// [`PageAllocator::free`]: a list that is dropped instead takes its pages out of circulation.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "pages that are not given back with PageAllocator::free are lost"]
pub struct PageList {
    pages: Vec<u32>,
}

impl PageList {
    /// The page numbers; page `i` holds positions `i * page_size .. (i + 1) * page_size`.
    pub fn as_slice(&self) -> &[u32] {
        &self.pages
    }
}

/// Hands out pages of one cache. Each page has at most one owner.
#[derive(Debug)]
pub struct PageAllocator {
    page_size: u32,
    num_pages: u32,
    /// A stack: the page freed last is used next, while it may still be in a GPU cache.
    free: Vec<u32>,
}

impl PageAllocator {
    /// An allocator over pages `0..num_pages` of `page_size` tokens each, all free.
    ///
    /// # Errors
    /// [`PageError::Empty`] if either count is 0, [`PageError::TooLarge`] if the slots' numbers do not fit in 32 bits.
    pub fn new(num_pages: u32, page_size: u32) -> Result<Self, PageError> {
        if num_pages == 0 || page_size == 0 {
            return Err(PageError::Empty { num_pages, page_size });
        }
        if num_pages.checked_mul(page_size).is_none() {
            return Err(PageError::TooLarge { num_pages, page_size });
        }
        Ok(Self { page_size, num_pages, free: (0..num_pages).rev().collect() })
    }

    /// Tokens a page holds.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Pages in the cache, free or not.
    pub fn num_pages(&self) -> u32 {
        self.num_pages
    }

    /// Pages that nobody holds.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// Tokens the whole cache holds.
    pub fn capacity(&self) -> usize {
        self.num_pages as usize * self.page_size as usize
    }

    /// Pages that hold `tokens` tokens.
    pub fn pages_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_size as usize)
    }

    /// A list of fresh pages for `tokens` tokens.
    ///
    /// # Errors
    /// [`PageError::Exhausted`] if too few pages are free.
    pub fn allocate(&mut self, tokens: usize) -> Result<PageList, PageError> {
        let mut pages = PageList::default();
        self.grow(&mut pages, tokens)?;
        Ok(pages)
    }

    /// Adds pages to `pages` until it holds `tokens` tokens, or changes nothing at all.
    ///
    /// # Errors
    /// [`PageError::Exhausted`] if too few pages are free.
    pub fn grow(&mut self, pages: &mut PageList, tokens: usize) -> Result<(), PageError> {
        let needed = self.pages_for(tokens).saturating_sub(pages.pages.len());
        let Some(left) = self.free.len().checked_sub(needed) else {
            return Err(PageError::Exhausted { needed, free: self.free.len() });
        };
        pages.pages.extend(self.free.drain(left..).rev());
        Ok(())
    }

    /// Takes all pages of `pages` back and leaves it empty. The list must come from this allocator.
    pub fn free(&mut self, pages: &mut PageList) {
        self.free.extend(pages.pages.drain(..).rev());
        debug_assert!(self.free.len() <= self.num_pages as usize, "a list of another allocator was freed");
    }
}
