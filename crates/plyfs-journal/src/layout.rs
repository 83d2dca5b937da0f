//! Every file name and number of the format, in one place.

/// The file writers lock.
pub(crate) const LOCK: &str = "lock";
/// The file that says which log and which runs are the journal.
pub(crate) const HEAD: &str = "head";
/// The head while it is written, before it is renamed.
pub(crate) const NEW_HEAD: &str = "head.new";

/// The version of the format this code reads and writes.
pub(crate) const VERSION: u32 = 1;

/// A sector: what a disk writes whole or not at all.
pub(crate) const BLOCK: usize = 512;
/// How much of the log is written with zeros and synced at a time, before commits go there.
pub(crate) const ALLOCATION: u64 = 256 * 1024;
/// When a log has this many bytes, the next commit makes it a run first.
pub(crate) const LOG_LIMIT: u64 = 512 * 1024;
/// The most bytes of keys and values that one commit takes.
pub(crate) const MAX_COMMIT: usize = 16 * 1024 * 1024;
/// The most bytes of one key or value.
pub(crate) const MAX_ITEM: usize = 1024 * 1024;
/// What a run is made of: verified and searched as a whole.
pub(crate) const PAGE: usize = 4096;

pub(crate) fn log(generation: u64) -> String {
    format!("{generation:016x}.log")
}

pub(crate) fn run(number: u64) -> String {
    format!("{number:016x}.run")
}
