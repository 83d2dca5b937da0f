//! The messages of the FUSE protocol (fuse(4), linux/fuse.h) that a file system of two files needs.

/// Bytes of a request's header.
pub(super) const HEADER: usize = 40;

/// The largest write the kernel may send in one request.
pub(super) const MAX_WRITE: u32 = 1 << 20;

/// The protocol's version spoken here; newer kernels speak it too.
const VERSION: (u32, u32) = (7, 31);

/// `FUSE_BIG_WRITES` and `FUSE_MAX_PAGES`: writes of more than a page, and of more than 32.
const INIT_FLAGS: u32 = 1 << 5 | 1 << 22;

/// `FOPEN_DIRECT_IO`: the kernel keeps no page of the file, each read and write comes here.
const DIRECT_IO: u32 = 1;

pub(super) mod opcode {
    //! What a request asks for.
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const FORGET: u32 = 2;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const SETATTR: u32 = 4;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const READ: u32 = 15;
    pub(crate) const WRITE: u32 = 16;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const FSYNC: u32 = 20;
    pub(crate) const FLUSH: u32 = 25;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const INTERRUPT: u32 = 36;
    pub(crate) const BATCH_FORGET: u32 = 42;
}

/// One request, as the kernel sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes a message apart; `None` when it is none.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let body = message.get(HEADER..)?;
        Some(Self { opcode: u32_at(message, 4)?, unique: u64_at(message, 8)?, node: u64_at(message, 16)?, body })
    }

    /// Offset and length of a READ or WRITE, and what is written.
    pub(super) fn range(&self) -> Option<(usize, usize, &'a [u8])> {
        let offset = usize::try_from(u64_at(self.body, 8)?).ok()?;
        let length = usize::try_from(u32_at(self.body, 16)?).ok()?;
        Some((offset, length, self.body.get(40..).unwrap_or_default()))
    }

    /// The name a LOOKUP asks for.
    pub(super) fn name(&self) -> &'a [u8] {
        self.body.strip_suffix(b"\0").unwrap_or(self.body)
    }
}

/// The header of an answer with `length` bytes behind it; `errno` is 0 for success.
pub(super) fn header(unique: u64, errno: i32, length: usize) -> Vec<u8> {
    let length = u32::try_from(length + 16).expect("an answer is no longer than a read");
    [&length.to_le_bytes()[..], &(-errno).to_le_bytes(), &unique.to_le_bytes()].concat()
}

pub(super) fn init() -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for word in [VERSION.0, VERSION.1, 0, INIT_FLAGS] {
        out.extend(word.to_le_bytes());
    }
    out.extend([64u16, 48].map(u16::to_le_bytes).concat());
    out.extend(MAX_WRITE.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    let pages = u16::try_from(MAX_WRITE / 4096).expect("a few hundred");
    out.extend(pages.to_le_bytes());
    out.resize(64, 0);
    out
}

/// What is known of a file or of the root directory.
pub(super) fn attributes(node: u64, mode: u32, size: usize) -> Vec<u8> {
    let mut out = vec![0; 88];
    out[..8].copy_from_slice(&node.to_le_bytes());
    out[8..16].copy_from_slice(&(size as u64).to_le_bytes());
    out[16..24].copy_from_slice(&(size as u64 / 512).to_le_bytes());
    out[60..64].copy_from_slice(&mode.to_le_bytes());
    out[64..68].copy_from_slice(&1u32.to_le_bytes());
    out[80..84].copy_from_slice(&4096u32.to_le_bytes());
    out
}

/// An answer to LOOKUP; valid for an hour, since nothing here ever changes but content.
pub(super) fn entry(node: u64, attributes: &[u8]) -> Vec<u8> {
    let hour = 3600u64.to_le_bytes();
    [&node.to_le_bytes()[..], &[0; 8], &hour, &hour, &[0; 8], attributes].concat()
}

/// An answer to GETATTR and SETATTR.
pub(super) fn attributes_answer(attributes: &[u8]) -> Vec<u8> {
    [&3600u64.to_le_bytes()[..], &[0; 8], attributes].concat()
}

pub(super) fn open() -> Vec<u8> {
    [&[0; 8][..], &DIRECT_IO.to_le_bytes(), &[0; 4]].concat()
}

pub(super) fn written(length: usize) -> Vec<u8> {
    let length = u32::try_from(length).expect("no longer than the largest write");
    [length.to_le_bytes(), [0; 4]].concat()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
