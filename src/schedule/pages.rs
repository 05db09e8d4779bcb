//! The cache's pages: fixed-size runs of token slots, handed out to sequences and taken back.
//!
//! A page that is full and computed can be given a name, the [`PrefixHash`] of the tokens that lead to its end. Under it
//! other sequences find the page and share it, for reading. When nobody holds it any more it is free, but found until it is
//! used again; of such pages the one that was freed first is. This is the prefix cache of vLLM V1.

use std::collections::HashMap;

use thiserror::Error;

use super::free_list::FreeList;
use super::prefix::PrefixHash;

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
/// Only a [`PageAllocator`] changes it, and it is not `Clone`, so that every owner of a page is counted. Give it back with
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

/// Hands out pages of one cache. A page has one owner, or is free, or is a named one that its owners only read.
#[derive(Debug)]
pub struct PageAllocator {
    page_size: u32,
    pages: Vec<Page>,
    free: FreeList,
    /// The named pages.
    named: HashMap<PrefixHash, u32>,
}

#[derive(Clone, Debug, Default)]
struct Page {
    owners: u32,
    name: Option<PrefixHash>,
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
        let pages = vec![Page::default(); num_pages as usize];
        Ok(Self { page_size, pages, free: FreeList::full(num_pages), named: HashMap::new() })
    }

    /// Tokens a page holds.
    pub fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Pages in the cache, free or not.
    pub fn num_pages(&self) -> u32 {
        self.pages.len() as u32
    }

    /// Pages that nobody holds, named or not.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// Tokens the whole cache holds.
    pub fn capacity(&self) -> usize {
        self.pages.len() * self.page_size as usize
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
        if needed > self.free.len() {
            return Err(PageError::Exhausted { needed, free: self.free.len() });
        }
        for _ in 0..needed {
            let Some(page) = self.free.pop_front() else { break };
            let taken = &mut self.pages[page as usize];
            taken.owners = 1;
            if let Some(name) = taken.name.take() {
                self.named.remove(&name);
            }
            pages.pages.push(page);
        }
        Ok(())
    }

    /// How many of the leading `names` are those of pages.
    pub fn count_named(&self, names: &[PrefixHash]) -> usize {
        names.iter().take_while(|name| self.named.contains_key(name)).count()
    }

    /// A list for `tokens` tokens that begins with the named pages, as far as all before them were found, and goes on with
    /// fresh ones.
    ///
    /// # Errors
    /// [`PageError::Exhausted`] if too few pages are free.
    pub fn allocate_named(&mut self, names: &[PrefixHash], tokens: usize) -> Result<PageList, PageError> {
        let found: Vec<u32> = names.iter().map_while(|name| self.named.get(name).copied()).collect();
        let of_the_free = found.iter().filter(|&&page| self.pages[page as usize].owners == 0).count();
        let needed = self.pages_for(tokens).saturating_sub(found.len());
        let free = self.free.len() - of_the_free;
        if needed > free {
            return Err(PageError::Exhausted { needed, free });
        }
        for &page in &found {
            let taken = &mut self.pages[page as usize];
            if taken.owners == 0 {
                self.free.remove(page);
            }
            taken.owners += 1;
        }
        let mut pages = PageList { pages: found };
        self.grow(&mut pages, tokens)?;
        Ok(pages)
    }

    /// Names page `index` of `pages`, whose keys and values are all computed and stay as they are. Where another page has
    /// the name already, that one keeps it.
    pub fn name(&mut self, pages: &PageList, index: usize, name: PrefixHash) {
        let Some(&page) = pages.pages.get(index) else { return };
        if !self.named.contains_key(&name) {
            let old = self.pages[page as usize].name.replace(name);
            debug_assert_eq!(old, None, "page {page} was named before");
            self.named.insert(name, page);
        }
    }

    /// Takes all names away: no page is found any more.
    pub fn forget_names(&mut self) {
        for page in std::mem::take(&mut self.named).into_values() {
            self.pages[page as usize].name = None;
        }
    }

    /// Takes all pages of `pages` back and leaves it empty; those with other owners stay with them. The list must come from
    /// this allocator.
    pub fn free(&mut self, pages: &mut PageList) {
        // The last page first: without those before it nobody could use it.
        for page in pages.pages.drain(..).rev() {
            let Page { owners, name } = &mut self.pages[page as usize];
            *owners -= 1;
            match (*owners, name) {
                (0, Some(_)) => self.free.push_back(page),
                // Used next, while it may still be in a GPU cache.
                (0, None) => self.free.push_front(page),
                _ => {}
            }
        }
    }
}
