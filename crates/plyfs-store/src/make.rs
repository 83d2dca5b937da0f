//! Making a store: directories, an empty journal, and last the format file, without which it is none.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use plyfs_journal::{DirDisk, Journal};
use plyfs_link::LinkDir;
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::Mode;

use crate::durability::{Durability, sync_tree};
use crate::format::Format;
use crate::store::open_root;
use crate::{Error, ErrorKind, Result, ground, layout};

/// Makes a store in an absent or empty directory; does nothing where there is one.
///
/// 1. The directories.
/// 2. An empty journal.
/// 3. One sync.
/// 4. The format file.
///
/// A crash before the last step leaves directories that the next call makes anew: nothing can be in them yet.
pub(crate) fn make(path: &Path, durability: Durability, hook: Option<fn(&'static str)>) -> Result<()> {
    let reached = |step| hook.into_iter().for_each(|hook| hook(step));
    let named = |e: plyfs_sys::CallError| Error::call(format!("store {}", path.display()), e);
    let wrapped = |e: Error| Error::new(e.kind(), format!("store {}", path.display())).because(e);
    // Before a directory is made.
    if let Some(ground) = ground::nearest(path) {
        ground::check_file_system(ground, durability).map_err(wrapped)?;
    }
    make_parents(path)?;
    // Two processes may come here at once; the root itself is the lock. `Lock` owns a descriptor of its own.
    let lock = Lock::take(open_root(path)?, Sharing::Exclusive).map_err(named)?;
    let root = lock.as_file();
    match Format::read(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(wrapped(error)),
        Ok(_) => return Ok(()),
    }
    refuse_foreign(root, path)?;
    ground::refuse_contents(root).map_err(wrapped)?;
    plyfs_mount::check_upper(root)
        .and_then(|()| plyfs_mount::check_types(root))
        .map_err(|e| Error::mount(format!("store {}", path.display()), e))?;
    let home = make_directories(root).map_err(named)?;
    LinkDir::ensure(home).map_err(|e| Error::link(format!("store {}", path.display()), e))?;
    reached("make 1");
    let disk = fs::open_dir_at(root, layout::JOURNAL).map_err(named)?;
    let options = plyfs_journal::Options::default().durable(durability.is_durable());
    Journal::create(Arc::new(DirDisk::new(disk)), options)?;
    reached("make 2");
    let synced = match durability {
        Durability::None => Ok(()),
        Durability::FileSystem => fs::sync_filesystem(root),
        Durability::Files => sync_tree(root, ".").and_then(|()| sync_ancestors(root)),
    };
    synced.map_err(named)?;
    reached("make 3");
    Format::new().write(root)?;
    reached("make 4");
    Ok(())
}

/// Makes all directories anew; the answer is the driver home.
fn make_directories(root: &OwnedFd) -> plyfs_sys::Result<OwnedFd> {
    for name in NAMES {
        fs::remove_tree(root, name)?;
    }
    fs::chmod_at(root, ".", Mode::RWXU)?;
    ground::drop_default_acl(root)?;
    let private = [layout::JOURNAL, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH];
    for name in private {
        fs::make_dir_at(root, name, Mode::RWXU)?;
    }
    // 0710, not wider: host users must not reach setuid files inside images (CVE-2021-41091).
    fs::make_dir_at(root, layout::HOME, Mode::from_raw_mode(0o710))?;
    fs::make_dir_at(fs::open_dir_at(root, layout::BLOBS)?, layout::SHA256, Mode::RWXU)?;
    fs::open_dir_at(root, layout::HOME)
}

/// Syncs the directories above, some of which may be new, up to the root of the file system.
fn sync_ancestors(root: &OwnedFd) -> plyfs_sys::Result<()> {
    let mut below = fs::stat(root)?;
    let mut above = fs::open_dir_at(root, "..")?;
    loop {
        let here = fs::stat(&above)?;
        if here.st_dev != below.st_dev || here.st_ino == below.st_ino {
            return Ok(());
        }
        fs::sync(&above)?;
        below = here;
        above = fs::open_dir_at(&above, "..")?;
    }
}

/// What a store that was not finished may hold.
const NAMES: [&str; 6] =
    [layout::HOME, layout::JOURNAL, layout::BLOBS, layout::TAR_SPLIT, layout::STAGING, layout::TRASH];

fn make_parents(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path).map_err(|e| {
        let kind = rustix::io::Errno::from_io_error(&e).map_or(ErrorKind::Io, ErrorKind::from_errno);
        Error::new(kind, format!("store {}", path.display())).because(e)
    })
}

fn refuse_foreign(root: &OwnedFd, path: &Path) -> Result<()> {
    let entries = fs::read_dir(root).map_err(|e| Error::call(format!("store {}", path.display()), e))?;
    let own = |name: &OsStr| {
        name.to_str().is_some_and(|name| {
            NAMES.contains(&name) || name.strip_suffix(".new") == Some(layout::FORMAT_FILE) || name == "lost+found"
        })
    };
    match entries.into_iter().find(|entry| !own(&entry.name)) {
        None => Ok(()),
        Some(entry) => Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{} is not a store and not empty: it holds {:?}", path.display(), entry.name),
        )),
    }
}
