//! The free pages, in the order in which they are used again.

/// A doubly linked list over page numbers, which any page can leave at once.
#[derive(Debug)]
pub(super) struct FreeList {
    /// The neighbours (before, behind) of each page; the last entry stands for the list's two ends.
    links: Vec<(u32, u32)>,
    len: usize,
}

impl FreeList {
    /// All pages of `0..num_pages`, the lowest first.
    pub fn full(num_pages: u32) -> FreeList {
        let mut list = FreeList { links: vec![(num_pages, num_pages); num_pages as usize + 1], len: 0 };
        (0..num_pages).for_each(|page| list.push_back(page));
        list
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn end(&self) -> u32 {
        self.links.len() as u32 - 1
    }

    /// Puts a page where it is used next.
    pub fn push_front(&mut self, page: u32) {
        let end = self.end();
        self.insert(end, page, self.links[end as usize].1);
    }

    /// Puts a page where it is used last.
    pub fn push_back(&mut self, page: u32) {
        let end = self.end();
        self.insert(self.links[end as usize].0, page, end);
    }

    fn insert(&mut self, before: u32, page: u32, behind: u32) {
        self.links[page as usize] = (before, behind);
        self.links[before as usize].1 = page;
        self.links[behind as usize].0 = page;
        self.len += 1;
    }

    pub fn pop_front(&mut self) -> Option<u32> {
        let page = self.links[self.end() as usize].1;
        (page != self.end()).then(|| {
            self.remove(page);
            page
        })
    }

    /// Takes out a page that is in the list.
    pub fn remove(&mut self, page: u32) {
        let (before, behind) = self.links[page as usize];
        self.links[before as usize].1 = behind;
        self.links[behind as usize].0 = before;
        self.len -= 1;
    }
}
