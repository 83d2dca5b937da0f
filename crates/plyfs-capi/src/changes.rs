//! What a container changed: listed, exported, committed.

use std::ffi::{CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plyfs::prelude::*;
use plyfs::{Change, ChangeKind, Changes, CommitOptions, ExportOptions, Style};

use crate::container::plyfs_container;
use crate::error::plyfs_error;
use crate::guard::{Failure, Outcome, guard, guard_status};
use crate::handle::{Handle, borrow, borrow_mut, free, output};
use crate::image::plyfs_image;
use crate::input::{self, c_text, only};
use crate::progress::{plyfs_progress, reporting};
use crate::sized::{self, growing};
use crate::status::{PLYFS_DONE, PLYFS_OK};
use crate::usage::plyfs_exported;

/// No lower layer shows it; the letter A.
pub const PLYFS_CHANGE_ADDED: i32 = 65;
/// A lower layer shows it otherwise, or something below it changed; the letter C.
pub const PLYFS_CHANGE_MODIFIED: i32 = 67;
/// A lower layer shows it and the container does not; the letter D.
pub const PLYFS_CHANGE_DELETED: i32 = 68;

/// One path and what happened to it; begin with PLYFS_CHANGE_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_change {
    /// sizeof(plyfs_change), set by the caller.
    pub size: usize,
    /// The path from the root, "/etc/motd": any bytes but NUL. It lives until the next call with its iterator.
    pub path: *const c_char,
    /// The line "C /etc/motd" as every door prints it: UTF-8, and one line whatever the path is. It lives as long.
    pub line: *const c_char,
    /// PLYFS_CHANGE_*, the letter that `docker diff` prints; a later version may know more.
    pub kind: i32,
}
growing!(plyfs_change, "change", kind: i32);

/// An iterator over what a container changed. One thread uses it at a time.
#[derive(Debug)]
pub struct plyfs_changes {
    changes: Changes,
    /// What the last change lent to the caller: its path and its line.
    lent: (CString, CString),
}

impl Handle for plyfs_changes {
    const NAME: &'static str = "iterator over changes";
}

/// Begins to list what a container changed, sorted bytewise by path, as `docker diff` does. A mounted container may be
/// read; what changes meanwhile may be listed or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_changes(
    container: *const plyfs_container,
    changes: *mut *mut plyfs_changes,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container and a writable place.
        let (container, place) = unsafe { (borrow(container)?, output(changes)?) };
        place.give(plyfs_changes { changes: container.container.changes()?, lent: Default::default() })
    })
}

/// Writes the next change and returns PLYFS_OK, or returns PLYFS_DONE when there are no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_changes_next(
    changes: *mut plyfs_changes,
    change: *mut plyfs_change,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard_status(err, || {
        // SAFETY: the header demands a live iterator that no other thread uses, and a structure of its stated size.
        let (changes, place) = unsafe { (borrow_mut(changes)?, sized::output(change)?) };
        let Some(next) = changes.changes.next().transpose()? else { return Ok(PLYFS_DONE) };
        place.give(&changes.lend(&next))?;
        Ok(PLYFS_OK)
    })
}

impl plyfs_changes {
    fn lend(&mut self, change: &Change) -> plyfs_change {
        self.lent = (c_text(change.path.as_os_str().as_bytes()), c_text(change.to_string()));
        plyfs_change {
            size: size_of::<plyfs_change>(),
            path: self.lent.0.as_ptr(),
            line: self.lent.1.as_ptr(),
            kind: match change.kind {
                ChangeKind::Added => PLYFS_CHANGE_ADDED,
                ChangeKind::Modified => PLYFS_CHANGE_MODIFIED,
                ChangeKind::Deleted => PLYFS_CHANGE_DELETED,
            },
        }
    }
}

/// Frees an iterator.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_changes_free(changes: *mut plyfs_changes) {
    // SAFETY: the header demands NULL or an iterator that the caller owns.
    unsafe { free(changes) }
}

/// Writes what a container changed to a descriptor, as an OCI changeset in an uncompressed tar; the same changes give
/// the same bytes. PLYFS_ERR_CONFLICT when a file changes while it is read. `exported` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_export_fd(
    container: *const plyfs_container,
    fd: i32,
    progress: plyfs_progress,
    user: *mut c_void,
    exported: *mut plyfs_exported,
    err: *mut *mut plyfs_error,
) -> i32 {
    // SAFETY: the demands of `plyfs_container_export_fd_with` are the same.
    unsafe { plyfs_container_export_fd_with(container, fd, std::ptr::null(), progress, user, exported, err) }
}

/// Write times later than `clamp_mtime` as that, as SOURCE_DATE_EPOCH asks for.
pub const PLYFS_EXPORT_CLAMP_MTIME: u64 = 1;
/// Write the bytes that containerd's differ does, instead of this project's style; every reader of layers understands both.
pub const PLYFS_EXPORT_CONTAINERD: u64 = 2;

/// How to export; begin with PLYFS_EXPORT_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_export_options {
    /// sizeof(plyfs_export_options), set by the caller.
    pub size: usize,
    /// PLYFS_EXPORT_*.
    pub flags: u64,
    /// With PLYFS_EXPORT_CLAMP_MTIME, the latest time of a file, in seconds since the epoch.
    pub clamp_mtime: i64,
}
growing!(plyfs_export_options, "export options", clamp_mtime: i64);

impl plyfs_export_options {
    fn convert(&self) -> Outcome<ExportOptions> {
        only(self.flags, PLYFS_EXPORT_CLAMP_MTIME | PLYFS_EXPORT_CONTAINERD, "export options")?;
        let style = if self.flags & PLYFS_EXPORT_CONTAINERD == 0 { Style::Native } else { Style::Containerd };
        let options = ExportOptions::new().style(style);
        let clamps = self.flags & PLYFS_EXPORT_CLAMP_MTIME != 0;
        Ok(if clamps { options.clamp_mtime(self.clamp_mtime) } else { options })
    }
}

/// Writes what a container changed to a descriptor with options, which may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_export_fd_with(
    container: *const plyfs_container,
    fd: i32,
    options: *const plyfs_export_options,
    progress: plyfs_progress,
    user: *mut c_void,
    exported: *mut plyfs_exported,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container, and NULL or structures of their stated sizes.
        let (container, options, place) =
            unsafe { (borrow(container)?, sized::read(options)?, sized::optional_output(exported)?) };
        let options = options.map(|options| options.convert()).transpose()?.unwrap_or_default();
        let out = input::descriptor(fd)?;
        reporting(progress, user, |progress| {
            let exported = container.container.export_with(out, &options, progress)?;
            place.map_or(Ok(()), |place| place.give(&(&exported).into()))
        })
    })
}

/// Let the image state the time `created`, so that the same changes give the same image.
pub const PLYFS_COMMIT_CREATED: u64 = 1;
/// Give files that changed later than `clamp_mtime` this time, as SOURCE_DATE_EPOCH asks for.
pub const PLYFS_COMMIT_CLAMP_MTIME: u64 = 2;

/// What is said of an image that a container becomes; begin with PLYFS_COMMIT_OPTIONS_INIT.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct plyfs_commit_options {
    /// sizeof(plyfs_commit_options), set by the caller.
    pub size: usize,
    /// The name, which is taken from the image that has it; NULL for none.
    pub name: *const c_char,
    /// The message kept in the image's history; NULL for none.
    pub message: *const c_char,
    /// The author; NULL for none.
    pub author: *const c_char,
    /// Instructions of a Dockerfile that change the image's config, such as `ENV LEVEL=debug`, in their order.
    pub changes: *const *const c_char,
    /// How many there are; 0 for none.
    pub change_count: usize,
    /// Bytes under which plyfs_store_cached() finds the new layer upon the container's parent; NULL for none.
    pub cache_key: *const u8,
    /// How many bytes the key has; 0 for no key.
    pub cache_key_length: usize,
    /// PLYFS_COMMIT_*.
    pub flags: u64,
    /// With PLYFS_COMMIT_CREATED, the time the image states, in seconds since the epoch.
    pub created: i64,
    /// With PLYFS_COMMIT_CLAMP_MTIME, the latest time of a file, in seconds since the epoch.
    pub clamp_mtime: i64,
}
growing!(plyfs_commit_options, "commit options", author: *const c_char);

impl plyfs_commit_options {
    /// # Safety
    ///
    /// Its texts are NULL or NUL-terminated, and behind `changes` and `cache_key` is as much as it says.
    unsafe fn convert(&self) -> Outcome<CommitOptions> {
        let mut options = CommitOptions::new();
        // SAFETY: the caller promised a text.
        if let Some(name) = unsafe { input::optional(self.name, "name of the image") }? {
            options = options.name(name.parse()?);
        }
        // SAFETY: the caller promised a text.
        if let Some(message) = unsafe { input::optional(self.message, "message") }? {
            options = options.message(message);
        }
        // SAFETY: the caller promised a text.
        if let Some(author) = unsafe { input::optional(self.author, "author") }? {
            options = options.author(author);
        }
        // SAFETY: the caller promised as many texts.
        for change in unsafe { input::texts(self.changes, self.change_count, "change") }? {
            options = options.change(change.parse()?);
        }
        // SAFETY: the caller promised as many bytes.
        let key = unsafe { input::blob(self.cache_key, self.cache_key_length, "cache key") }?;
        if !key.is_empty() {
            options = options.cache_key(key);
        }
        self.times(options)
    }
}

impl plyfs_commit_options {
    fn times(&self, mut options: CommitOptions) -> Outcome<CommitOptions> {
        only(self.flags, PLYFS_COMMIT_CREATED | PLYFS_COMMIT_CLAMP_MTIME, "commit options")?;
        if self.flags & PLYFS_COMMIT_CREATED != 0 {
            options = options.created(moment(self.created)?)?;
        }
        if self.flags & PLYFS_COMMIT_CLAMP_MTIME != 0 {
            options = options.clamp_mtime(self.clamp_mtime);
        }
        Ok(options)
    }
}

fn moment(unix: i64) -> Outcome<SystemTime> {
    let distance = Duration::from_secs(unix.unsigned_abs());
    let time = if unix < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.ok_or_else(|| Failure::invalid(format!("commit options: {unix} seconds are out of reach")))
}

/// Makes an image of a container's image and what the container changed; `options` may be NULL. Durable on return. The
/// container stays as it is. PLYFS_ERR_CONFLICT when a file changes while it is read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plyfs_container_commit(
    container: *const plyfs_container,
    options: *const plyfs_commit_options,
    progress: plyfs_progress,
    user: *mut c_void,
    image: *mut *mut plyfs_image,
    err: *mut *mut plyfs_error,
) -> i32 {
    guard(err, || {
        // SAFETY: the header demands a live container, NULL or a structure of its stated size, a writable place.
        let (container, options, place) = unsafe { (borrow(container)?, sized::read(options)?, output(image)?) };
        let options = match options {
            // SAFETY: the header demands of the structure what `convert` asks for.
            Some(options) => unsafe { options.convert() }?,
            None => CommitOptions::new(),
        };
        reporting(progress, user, |progress| {
            place.give(plyfs_image::new(container.container.commit(options, progress)?, Vec::new()))
        })
    })
}
