//! A list of large rows that lie side by side: walking it streams memory in order, and growing it moves nothing.

use std::ops::{Index, IndexMut};

/// Rows of one page; a page of detectors is some 64 KiB.
const PAGE: usize = 64;

/// A list in pages. Unlike a `Vec` it holds at most one page more than it needs.
#[derive(Debug)]
pub struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: vec![], len: 0 }
    }
}

impl<T> Pages<T> {
    /// Adds a row at the end.
    pub fn push(&mut self, row: T) {
        if self.len == self.pages.len() * PAGE {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(row);
            self.len += 1;
        }
    }

    /// Removes a row; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        let Some(last) = self.pages.last_mut().and_then(Vec::pop) else { return };
        self.len -= 1;
        if at < self.len {
            self[at] = last;
        }
        if self.pages.last().is_some_and(Vec::is_empty) {
            self.pages.pop();
        }
    }
}

impl<T> Index<usize> for Pages<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pages[at / PAGE][at % PAGE]
    }
}

impl<T> IndexMut<usize> for Pages<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pages[at / PAGE][at % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let (mut pages, mut list) = (Pages::default(), Vec::new());
        for i in 0..200 {
            pages.push(i);
            list.push(i);
        }
        for at in [199, 0, 64, 63, 128, 5, 0] {
            pages.swap_remove(at);
            list.swap_remove(at);
            assert!((0..list.len()).all(|i| pages[i] == list[i]));
        }
        while !list.is_empty() {
            pages.swap_remove(0);
            list.swap_remove(0);
            assert!((0..list.len()).all(|i| pages[i] == list[i]));
        }
        assert!(pages.pages.is_empty());
    }
}
