//! Every file name, magic number, size and bound of the format, and reading numbers from bytes.

/// The file that names the log and the runs; replaced whole by a rename.
pub(crate) const HEAD: &str = "head";
/// What becomes the head.
pub(crate) const HEAD_NEW: &str = "head.new";
/// The file writers lock; it has no content.
pub(crate) const LOCK: &str = "lock";
/// The file that is locked by who merges runs; it has no content.
pub(crate) const MERGING: &str = "merging";
/// The file that says how much of the log is durable; written in place, never synced after its creation.
pub(crate) const SYNCED: &str = "synced";

/// The names of a journal's directory that always mean plain files, where they are there.
pub const PLAIN_FILES: [&str; 4] = [HEAD, SYNCED, LOCK, MERGING];

const LOG_SUFFIX: &str = ".log";
const RUN_SUFFIX: &str = ".run";

pub(crate) const HEAD_MAGIC: &[u8; 8] = b"plyfsjnl";
pub(crate) const SYNCED_MAGIC: &[u8; 8] = b"plyfssyn";
pub(crate) const RUN_MAGIC: &[u8; 8] = b"plyfsrun";

/// The version this crate writes and the newest it reads.
pub(crate) const VERSION: u32 = 3;

/// Bytes of a log block: what every disk writes whole or not at all.
pub(crate) const BLOCK: usize = 512;
/// Bytes of a block before its payload.
pub(crate) const BLOCK_HEADER: usize = 48;
/// Bytes of a commit that one block carries.
pub(crate) const BLOCK_PAYLOAD: usize = BLOCK - BLOCK_HEADER;

/// Bytes of the head before its list of runs.
pub(crate) const HEAD_FIXED: usize = 88;
/// Set in the numbers of runs that a merge made: merges count apart, since they hold no lock while they write.
pub(crate) const MERGED: u64 = 1 << 63;
/// Bytes of one run in the head.
pub(crate) const HEAD_RUN: usize = 32;
/// Longest head that is read; merging keeps the list far shorter.
pub(crate) const HEAD_MAX: usize = HEAD_FIXED + 1024 * HEAD_RUN + 4;

/// Bytes of the `synced` file.
pub(crate) const SYNCED_LEN: usize = 64;

/// Bytes before the first data block of a run.
pub(crate) const RUN_HEADER: usize = 16;
/// Bytes after which a data block of a run is closed: a look-up reads half a block of each run, and the index takes 32
/// bytes a block.
pub(crate) const RUN_BLOCK: usize = 1024;
/// Bytes of a page of a run's index, and what the index is aligned to.
pub(crate) const INDEX_PAGE: usize = 4096;
/// Bytes of one index entry.
pub(crate) const INDEX_ENTRY: usize = 32;
/// Entries in one page; behind them how much their keys share, the page's first key and the checksum.
pub(crate) const INDEX_ENTRIES: usize = INDEX_PAGE / INDEX_ENTRY - 1;
/// Bytes of a block's first key that its index entry holds.
pub(crate) const INDEX_PREFIX: usize = 16;
/// Bytes of its first key that an index page holds, and the most that its keys are said to share.
pub(crate) const INDEX_HEAD: usize = 26;
/// Bytes of a bucket of a run's table: what one look into memory fetches.
pub(crate) const TABLE_BUCKET: usize = 64;
/// Buckets in one page of the table; behind them zeros and the checksum.
pub(crate) const TABLE_BUCKETS: usize = INDEX_PAGE / TABLE_BUCKET - 1;
/// Bytes at the end of a run.
pub(crate) const RUN_FOOTER: usize = 64;

/// Bytes before key and value: two lengths.
pub(crate) const ENTRY_HEADER: usize = 8;
/// The value length that means the key was deleted.
pub(crate) const DELETED: u32 = u32::MAX;

/// Longest key.
pub(crate) const MAX_KEY: usize = 64 << 10;
/// Most bytes of keys and values in one commit.
pub(crate) const MAX_COMMIT: usize = 64 << 20;

// A commit's blocks and bytes are counted in 32 bits, and no value's length reads as a deletion.
const _: () = assert!(MAX_COMMIT < DELETED as usize && MAX_KEY < MAX_COMMIT);
const _: () = assert!(INDEX_ENTRIES * INDEX_ENTRY + 4 <= INDEX_PAGE);
const _: () = assert!(8 + 4 + 4 + INDEX_PREFIX == INDEX_ENTRY);

/// The name of the log of a generation.
pub(crate) fn log_name(generation: u64) -> String {
    format!("{generation:016x}{LOG_SUFFIX}")
}

/// The name of a run.
pub(crate) fn run_name(number: u64) -> String {
    format!("{number:016x}{RUN_SUFFIX}")
}

/// The number of the run of this name.
pub(crate) fn run_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(RUN_SUFFIX).filter(|_| is_log_or_run(name))?;
    u64::from_str_radix(digits, 16).ok()
}

/// Says whether a file of this name is a log or a run, of whatever number.
pub(crate) fn is_log_or_run(name: &str) -> bool {
    let number = name.strip_suffix(LOG_SUFFIX).or_else(|| name.strip_suffix(RUN_SUFFIX));
    number.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

/// The little-endian number at `at`; the caller has checked the length.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}

/// A length in memory as the file states it.
pub(crate) fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("no machine counts more than 64 bits of bytes")
}

/// A length the file states as one in memory; one that no memory holds becomes the largest, which fails every check.
pub(crate) fn narrow(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
