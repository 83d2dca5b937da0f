//! A run: a sorted table on disk, written once, mapped, and searched in place.
//!
//! | part | holds |
//! |---|---|
//! | header page | magic 8, version 4, pages of data 4, index pages 4, entries 8; checksum at the page's end |
//! | data pages | in sorted order; an item too large for a page takes several pages in a row |
//! | index pages | for every node, a page or several in a row, the number of its first page; 4 bytes each |
//!
//! A node begins with its checksum 4, its pages 4, its length in bytes 4, and holds whole entries. Every page is
//! believed only after its checksum was compared, once for each time the run is open.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::{Entry, decode_entry, encode_entry};
use crate::disk::{Access, Bytes, Disk};
use crate::layout::PAGE;
use crate::{Error, Result, layout};

const MAGIC: [u8; 8] = *b"plyfsrun";
/// Checksum, pages, length.
const NODE_HEADER: usize = 12;
/// Checksum at the front of an index page.
const INDEX_HEADER: usize = 4;
const NODES_PER_PAGE: usize = (PAGE - INDEX_HEADER) / 4;
/// The bytes of the header page that its checksum covers.
const HEADER: usize = PAGE - 4;

/// Writes a run and syncs it; its name is durable when the names are synced. The answer is its length in bytes.
pub(crate) fn write<'a>(
    disk: &dyn Disk,
    number: u64,
    entries: impl Iterator<Item = Result<(Vec<u8>, Option<Vec<u8>>)>> + 'a,
    is_durable: bool,
) -> Result<()> {
    let name = layout::run(number);
    let failed = |e| Error::io(format!("write journal/{name}"), e);
    let file = disk.open(&name, Access::Create).map_err(failed)?;
    let mut writer = Writer { out: Vec::new(), offset: PAGE as u64, node: Vec::new(), nodes: Vec::new(), entries: 0 };
    for entry in entries {
        let (key, value) = entry?;
        writer.push(&key, value.as_deref());
        if writer.out.len() >= 64 * PAGE {
            file.write_at(&writer.out, writer.offset).map_err(failed)?;
            writer.offset += writer.out.len() as u64;
            writer.out.clear();
        }
    }
    writer.close_node();
    let data_pages = (writer.offset as usize + writer.out.len()) / PAGE - 1;
    let index_pages = writer.push_index();
    file.write_at(&writer.out, writer.offset).map_err(failed)?;
    let header = header(data_pages, index_pages, writer.nodes.len(), writer.entries);
    file.write_at(&header, 0).map_err(failed)?;
    if is_durable { file.sync().map_err(failed) } else { Ok(()) }
}

fn header(data_pages: usize, index_pages: usize, nodes: usize, entries: u64) -> Vec<u8> {
    let number = |count: usize| u32::try_from(count).expect("a run is far below 16 TiB").to_le_bytes();
    let mut page = Vec::with_capacity(PAGE);
    page.extend(MAGIC);
    page.extend(layout::VERSION.to_le_bytes());
    page.extend(number(data_pages));
    page.extend(number(index_pages));
    page.extend(number(nodes));
    page.extend(entries.to_le_bytes());
    page.resize(HEADER, 0);
    page.extend(crc32fast::hash(&page).to_le_bytes());
    page
}

struct Writer {
    out: Vec<u8>,
    /// Where `out` begins in the file.
    offset: u64,
    node: Vec<u8>,
    /// The first page of every node.
    nodes: Vec<u32>,
    entries: u64,
}

impl Writer {
    fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        let size = 8 + key.len() + value.map_or(0, <[u8]>::len);
        if !self.node.is_empty() && NODE_HEADER + self.node.len() + size > PAGE {
            self.close_node();
        }
        encode_entry(key, value, &mut self.node);
        self.entries += 1;
    }

    fn close_node(&mut self) {
        if self.node.is_empty() {
            return;
        }
        let number = |count: usize| u32::try_from(count).expect("a run is far below 16 TiB");
        let pages = (NODE_HEADER + self.node.len()).div_ceil(PAGE);
        let start = self.out.len();
        self.nodes.push(number((self.offset as usize + start) / PAGE));
        self.out.extend([0; 4]);
        self.out.extend(number(pages).to_le_bytes());
        self.out.extend(number(self.node.len()).to_le_bytes());
        self.out.append(&mut self.node);
        self.out.resize(start + pages * PAGE, 0);
        let crc = crc32fast::hash(&self.out[start + 4..]);
        self.out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Appends the index; the answer is its number of pages.
    fn push_index(&mut self) -> usize {
        for nodes in self.nodes.chunks(NODES_PER_PAGE) {
            let start = self.out.len();
            self.out.extend([0; INDEX_HEADER]);
            self.out.extend(nodes.iter().flat_map(|node| node.to_le_bytes()));
            self.out.resize(start + PAGE, 0);
            let crc = crc32fast::hash(&self.out[start + INDEX_HEADER..]);
            self.out[start..start + INDEX_HEADER].copy_from_slice(&crc.to_le_bytes());
        }
        self.nodes.len().div_ceil(NODES_PER_PAGE)
    }
}

/// An open run.
pub(crate) struct Run {
    number: u64,
    bytes: Bytes,
    data_pages: usize,
    nodes: usize,
    entries: u64,
    /// A bit for every page that was compared with its checksum.
    verified: Vec<AtomicU64>,
}

impl Run {
    pub(crate) fn open(disk: &dyn Disk, number: u64) -> Result<Arc<Self>> {
        let name = layout::run(number);
        let failed = |e| Error::io(format!("journal/{name}"), e);
        let file = disk.open(&name, Access::Read).map_err(failed)?;
        let bytes = file.bytes().map_err(failed)?;
        let damage = |what| Error::damage(&name, 0, what);
        let page = bytes.get(..PAGE).ok_or_else(|| damage("no header"))?;
        let u32_at = |at: usize| page[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
        if page[..8] != MAGIC || crc32fast::hash(&page[..HEADER]) != u32_at(HEADER) {
            return Err(damage("wrong checksum"));
        }
        let (data_pages, index_pages, nodes) = (u32_at(12) as usize, u32_at(16) as usize, u32_at(20) as usize);
        let entries = page[24..32].try_into().map(u64::from_le_bytes).expect("eight bytes");
        if bytes.len() != (1 + data_pages + index_pages) * PAGE || index_pages != nodes.div_ceil(NODES_PER_PAGE) {
            return Err(damage("the file has another length than its header says"));
        }
        let verified = (0..bytes.len() / PAGE / 64 + 1).map(|_| AtomicU64::new(0)).collect();
        Ok(Arc::new(Self { number, bytes, data_pages, nodes, entries, verified }))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many entries it holds, deletions counted.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    fn damage(&self, page: usize, what: &str) -> Error {
        Error::damage(&layout::run(self.number), (page * PAGE) as u64, what)
    }

    /// Says whether the page was compared before, and notes that it is from now on.
    fn note_verified(&self, page: usize) -> bool {
        let bit = 1 << (page % 64);
        self.verified[page / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0
    }

    fn is_verified(&self, page: usize) -> bool {
        self.verified[page / 64].load(Ordering::Relaxed) & (1 << (page % 64)) != 0
    }

    /// The first page of a node.
    fn first_page(&self, node: usize) -> Result<usize> {
        let page = 1 + self.data_pages + node / NODES_PER_PAGE;
        let bytes = &self.bytes[page * PAGE..(page + 1) * PAGE];
        if !self.is_verified(page) {
            let crc = bytes[..INDEX_HEADER].try_into().map(u32::from_le_bytes).expect("four bytes");
            if crc32fast::hash(&bytes[INDEX_HEADER..]) != crc {
                return Err(self.damage(page, "wrong checksum"));
            }
            self.note_verified(page);
        }
        let at = INDEX_HEADER + node % NODES_PER_PAGE * 4;
        let first = bytes[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes") as usize;
        if first == 0 || first > self.data_pages {
            return Err(self.damage(page, "an index out of bounds"));
        }
        Ok(first)
    }

    /// The entries of a node, as bytes.
    fn node(&self, node: usize) -> Result<&[u8]> {
        let page = self.first_page(node)?;
        let bytes = &self.bytes[page * PAGE..];
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
        let (pages, length) = (u32_at(4) as usize, u32_at(8) as usize);
        if pages == 0 || page + pages > 1 + self.data_pages || NODE_HEADER + length > pages * PAGE {
            return Err(self.damage(page, "a node out of bounds"));
        }
        if !self.is_verified(page) {
            if crc32fast::hash(&bytes[4..pages * PAGE]) != u32_at(0) {
                return Err(self.damage(page, "wrong checksum"));
            }
            self.note_verified(page);
        }
        Ok(&bytes[NODE_HEADER..NODE_HEADER + length])
    }

    fn malformed(&self, node: usize) -> Error {
        let page = self.first_page(node).unwrap_or(0);
        self.damage(page, "a malformed entry")
    }

    /// The first entry of a node.
    fn first_key(&self, node: usize) -> Result<&[u8]> {
        let mut bytes = self.node(node)?;
        decode_entry(&mut bytes).map(|(key, _)| key).ok_or_else(|| self.malformed(node))
    }

    /// The last node whose first key is not above `key`.
    fn node_for(&self, key: &[u8]) -> Result<Option<usize>> {
        let (mut low, mut high) = (0, self.nodes);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.first_key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1))
    }

    /// What the run says of a key: nothing, a deletion, or a value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Option<&[u8]>>> {
        let Some(node) = self.node_for(key)? else { return Ok(None) };
        let mut bytes = self.node(node)?;
        while !bytes.is_empty() {
            let (found, value) = decode_entry(&mut bytes).ok_or_else(|| self.malformed(node))?;
            match found.cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(value)),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// A cursor at the first entry whose key is not below `key`.
    pub(crate) fn seek(self: &Arc<Self>, key: &[u8]) -> Result<Cursor> {
        let node = self.node_for(key)?.unwrap_or(0);
        let mut cursor = Cursor { run: self.clone(), node, offset: 0 };
        while cursor.peek()?.is_some_and(|(found, _)| found < key) {
            cursor.advance()?;
        }
        Ok(cursor)
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("number", &self.number).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// A place in a run.
#[derive(Debug)]
pub(crate) struct Cursor {
    run: Arc<Run>,
    node: usize,
    offset: usize,
}

impl Cursor {
    /// The entry here; `None` at the end.
    pub(crate) fn peek(&self) -> Result<Option<Entry<'_>>> {
        if self.node >= self.run.nodes {
            return Ok(None);
        }
        let mut bytes = &self.run.node(self.node)?[self.offset..];
        decode_entry(&mut bytes).map(Some).ok_or_else(|| self.run.malformed(self.node))
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) -> Result<()> {
        let node = self.run.node(self.node)?;
        let mut rest = &node[self.offset..];
        decode_entry(&mut rest).ok_or_else(|| self.run.malformed(self.node))?;
        if rest.is_empty() {
            (self.node, self.offset) = (self.node + 1, 0);
        } else {
            self.offset = node.len() - rest.len();
        }
        Ok(())
    }
}
