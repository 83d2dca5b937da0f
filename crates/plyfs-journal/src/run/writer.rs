//! Writing a run: entries in, in order; a synced file out.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::{Named, Result};
use crate::head::{RunRef, remove_if_there};
use crate::layout::{INDEX_PAGE, RUN_BLOCK, RUN_FOOTER, RUN_HEADER, RUN_MAGIC, run_name, wide};
use crate::run::index::Index;
use crate::run::table::Table;
use crate::slice::Item;

/// Bytes collected before they are written.
const BUFFER: usize = 1 << 20;

/// Writes a run of entries that ascend; `None` when there are none.
///
/// Synced on return, but for its name, which the sync of the directory makes durable.
pub(crate) fn write<'a>(
    disk: &Arc<dyn Disk>,
    number: u64,
    commits: &RangeInclusive<u64>,
    items: impl Iterator<Item = Result<Item<'a>>>,
) -> Result<Option<RunRef>> {
    let name = run_name(number);
    let mut items = items.peekable();
    if items.peek().is_none() {
        return Ok(None);
    }
    // What a crash left of an earlier attempt; no head names it.
    remove_if_there(disk, &name)?;
    let file = disk.create(&name).named(&name)?;
    let mut output = Output { file: &*file, buffer: Vec::new(), written: 0 };
    output.buffer.extend(RUN_MAGIC);
    output.buffer.extend(number.to_le_bytes());
    debug_assert_eq!(output.buffer.len(), RUN_HEADER);
    let (mut index, mut table) = (Index::default(), Table::default());
    let (mut count, mut block, mut first_key) = (0_u64, Vec::new(), Vec::new());
    while let Some(item) = items.next().transpose()? {
        let entry = item.entry();
        if block.is_empty() {
            first_key.clear();
            first_key.extend(entry.key);
        }
        entry.encode(&mut block);
        table.push(entry.key);
        count += 1;
        if block.len() >= RUN_BLOCK || items.peek().is_none() {
            index.push(output.position(), &block, &first_key);
            output.push(&block).named(&name)?;
            table.end_block();
            block.clear();
        }
    }
    let reference = output.finish(number, count, commits, (&index, &table)).named(&name)?;
    file.sync().named(&name)?;
    Ok(Some(reference))
}

struct Output<'a> {
    file: &'a dyn DiskFile,
    buffer: Vec<u8>,
    written: u64,
}

impl Output<'_> {
    fn position(&self) -> u64 {
        self.written + wide(self.buffer.len())
    }

    fn push(&mut self, bytes: &[u8]) -> plyfs_sys::Result<()> {
        self.buffer.extend(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> plyfs_sys::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written = self.position();
        self.buffer.clear();
        Ok(())
    }

    /// Writes index, table and footer behind the data.
    fn finish(
        mut self,
        number: u64,
        entries: u64,
        commits: &RangeInclusive<u64>,
        (index, table): (&Index, &Table),
    ) -> plyfs_sys::Result<RunRef> {
        let offset = self.position().next_multiple_of(wide(INDEX_PAGE));
        let padding = usize::try_from(offset - self.position()).expect("less than a page");
        self.push(&[0; INDEX_PAGE][..padding])?;
        for page in index.pages().chain(table.pages()) {
            self.push(&page)?;
        }
        let length = self.position() + wide(RUN_FOOTER);
        let mut footer = Vec::with_capacity(RUN_FOOTER);
        footer.extend(RUN_MAGIC);
        for number in [number, entries, index.blocks(), offset, length, *commits.end()] {
            footer.extend(number.to_le_bytes());
        }
        let covered =
            u32::try_from(commits.end().saturating_sub(*commits.start()).saturating_add(1)).unwrap_or(u32::MAX);
        footer.extend(covered.to_le_bytes());
        let footer_crc = crc32fast::hash(&footer);
        footer.extend(footer_crc.to_le_bytes());
        self.push(&footer)?;
        self.flush()?;
        Ok(RunRef { number, length, entries, footer_crc })
    }
}
