//! The content of a disk in memory: pages that are shared until one of two copies writes to them.
//!
//! A copy costs a pointer a page, so a disk can be kept at many moments, and cut again from each.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

/// Bytes of one page; a disk's size is a multiple of it.
const PAGE: usize = 4096;

type Page = [u8; PAGE];

/// Everything on a disk at one moment; pages never written are zeros and take nothing.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pages: Vec<Option<Arc<Page>>>,
}

impl Image {
    /// Reads a disk's content from a file, whole pages.
    pub(crate) fn read_from(path: &Path) -> Result<Self> {
        let named = || format!("read {}", path.display());
        let mut file = File::open(path).with_context(named)?;
        let length = usize::try_from(file.metadata().with_context(named)?.len()).with_context(named)?;
        let mut image = Self { pages: vec![None; length.div_ceil(PAGE)] };
        let mut buffer = vec![0; 256 * PAGE];
        let mut offset = 0;
        loop {
            match file.read(&mut buffer).with_context(named)? {
                0 => return Ok(image),
                n => image.write(offset, &buffer[..n]),
            }
            offset += 256 * PAGE;
        }
    }

    /// Writes a disk's content into a file, with holes where there are zeros.
    pub(crate) fn write_to(&self, path: &Path) -> Result<()> {
        let named = || format!("write {}", path.display());
        let file = File::create(path).with_context(named)?;
        file.set_len(self.size() as u64).with_context(named)?;
        for (n, page) in self.pages.iter().enumerate() {
            if let Some(page) = page {
                file.write_all_at(&page[..], (n * PAGE) as u64).with_context(named)?;
            }
        }
        Ok(())
    }

    pub(crate) fn size(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// Overwrites; what lies beyond the end is left out.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        let mut offset = offset;
        let mut rest = data;
        while let Some(slot) = self.pages.get_mut(offset / PAGE).filter(|_| !rest.is_empty()) {
            let within = offset % PAGE;
            let (now, later) = rest.split_at(rest.len().min(PAGE - within));
            match slot {
                None if now.iter().all(|&byte| byte == 0) => {}
                slot => {
                    let page = Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE])));
                    page[within..within + now.len()].copy_from_slice(now);
                }
            }
            offset += now.len();
            rest = later;
        }
    }

    /// Appends what lies there to `out`; less at the end of the disk.
    pub(crate) fn read(&self, offset: usize, length: usize, out: &mut Vec<u8>) {
        let end = offset.saturating_add(length).min(self.size());
        let mut offset = offset;
        while offset < end {
            let within = offset % PAGE;
            let count = (end - offset).min(PAGE - within);
            match &self.pages[offset / PAGE] {
                Some(page) => out.extend_from_slice(&page[within..within + count]),
                None => out.resize(out.len() + count, 0),
            }
            offset += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(pages: usize) -> Image {
        Image { pages: vec![None; pages] }
    }

    fn bytes(image: &Image, offset: usize, length: usize) -> Vec<u8> {
        let mut out = Vec::new();
        image.read(offset, length, &mut out);
        out
    }

    #[test]
    fn a_write_over_pages_is_read_back_among_zeros() {
        let mut image = blank(3);
        image.write(PAGE - 2, &[1, 2, 3, 4]);
        assert_eq!(bytes(&image, PAGE - 3, 6), [0, 1, 2, 3, 4, 0]);
        assert_eq!(bytes(&image, 2 * PAGE, 9).len(), 9);
    }

    #[test]
    fn a_copy_keeps_its_moment() {
        let mut image = blank(1);
        image.write(10, b"before");
        let kept = image.clone();
        image.write(10, b"after!");
        assert_eq!((bytes(&kept, 10, 6), bytes(&image, 10, 6)), (b"before".to_vec(), b"after!".to_vec()));
    }

    #[test]
    fn what_lies_beyond_the_end_is_left_out() {
        let mut image = blank(1);
        image.write(PAGE - 1, &[7, 7]);
        assert_eq!(bytes(&image, PAGE - 1, 10), [7]);
    }
}
