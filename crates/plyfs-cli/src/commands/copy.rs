//! `cp`: files into and out of containers.
//!
//! Out, files are read without a mount. In, they are written through the container's mount, the one it has or one for the
//! time of the copy, so that the kernel copies up. Every path inside is resolved as inside the root by descriptor, so that no
//! link of the container leads the copy out of it (CVE-2018-15664).
//!
//! A copy that is interrupted leaves what it has copied, as cp(1) does: what it replaced could not be given back. Unlike there no
//! file is left that was not copied whole, and no mount.

mod streams;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use plyfs::{Chain, Container, CopyOptions, Dialect, Inspected, MountOptions, View};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::cli::Cp;
use crate::commands::look::Looked;
use crate::commands::whole::say_unpacked;
use crate::exit::{Failure, Hinted, Result};
use crate::interrupt;
use crate::session::{self, Session};

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Standard input or standard output, as an archive.
    Stream,
    Here(PathBuf),
    Inside(String, PathBuf),
}

impl End {
    /// Reads `NAME:PATH`; what begins with a dot or a slash, or has no colon, is a path here.
    fn parse(text: &OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Ok(Self::Stream);
        }
        let colon = bytes.iter().position(|&byte| byte == b':');
        let Some(colon) = colon.filter(|_| !matches!(bytes[0], b'.' | b'/')) else {
            return Ok(Self::Here(text.into()));
        };
        let name = std::str::from_utf8(&bytes[..colon]).ok().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Failure::usage(format!("{text:?} names no container before its colon")))?;
        // An image may have a tag: its path is after the last colon that a slash follows.
        let (name, path) = match bytes.windows(2).position(|pair| pair == b":/") {
            Some(at) => (std::str::from_utf8(&bytes[..at]).unwrap_or(name), &bytes[at + 1..]),
            None => (name, &bytes[colon + 1..]),
        };
        if path.is_empty() {
            return Err(Failure::usage(format!("{text:?} has no path after its colon")));
        }
        Ok(Self::Inside(name.to_owned(), OsStr::from_bytes(path).into()))
    }
}

/// Copies files into or out of a container.
pub(crate) fn cp(session: &mut Session, args: &Cp) -> Result<()> {
    match (End::parse(&args.from)?, End::parse(&args.to)?) {
        (End::Inside(name, from), End::Here(to)) => copy_out(session, &name, &from, &to, args.archive),
        (End::Here(from), End::Inside(name, to)) => copy_in(session, &from, &name, &to, args.archive),
        (End::Inside(name, from), End::Stream) => streams::copy_out(session, &name, &from),
        (End::Stream, End::Inside(name, to)) => streams::copy_in(session, &name, &to),
        (End::Here(_) | End::Stream, End::Here(_) | End::Stream) => {
            Err(Failure::usage("neither end is inside a container: one of both is NAME:PATH"))
        }
        (End::Inside(..), End::Inside(..)) => {
            Err(Failure::usage("both ends are inside containers: copy out first, then in"))
        }
    }
}

/// What is copied, wherever it is read.
#[derive(Debug)]
struct Source {
    view: View,
    path: PathBuf,
    /// What it is called where a name is wanted; only what is in it is copied where there is none.
    name: Option<OsString>,
    is_directory: bool,
}

impl Source {
    /// What is inside at `path`.
    fn inside(view: View, path: &Path) -> Result<Self> {
        let asked = Asked::of(path);
        // A slash at the end, or a dot after it, follows a link.
        let entry = if asked.is_followed { view.entry_resolved(path)? } else { view.entry(path)? };
        let (path, is_directory) = (entry.path(), entry.is_directory());
        Self { view, path, name: asked.name, is_directory }.ensure_directory(asked.is_followed)
    }

    /// What the caller has at `path`: a view of the directory it lies in, or of the directory it is.
    fn here(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| Failure::stream(format!("read {}", path.display()), error);
        path.symlink_metadata().map_err(failed)?;
        let asked = Asked::of(path);
        let followed = if asked.is_followed { path.canonicalize().map_err(failed)? } else { path.to_owned() };
        let (dir, inner) = match (&asked.name, followed.file_name()) {
            (Some(_), Some(name)) => (parent(&followed), Path::new("/").join(name)),
            _ => (followed.as_path(), PathBuf::from("/")),
        };
        let dir: OwnedFd = File::open(dir).map_err(failed)?.into();
        // A plain tree is a view of one layer.
        let view = View::new(Chain::new(vec![dir], Dialect::User))?;
        let is_directory = view.entry(&inner)?.is_directory();
        Self { view, path: inner, name: asked.name, is_directory }.ensure_directory(asked.is_followed)
    }

    fn ensure_directory(self, is_wanted: bool) -> Result<Self> {
        if is_wanted && !self.is_directory {
            return Err(Failure::stream(format!("read {}", self.path.display()), Errno::NOTDIR.into()));
        }
        Ok(self)
    }

    /// The directory to write into and the name to write as, for what a person asked for.
    ///
    /// Into a directory that is there it goes under its own name. Anything else is the name it gets; one that is a link to
    /// no directory is the name its target has.
    fn target(
        &self,
        to: &Path,
        open: impl Fn(&Path, OFlags) -> rustix::io::Result<OwnedFd>,
    ) -> rustix::io::Result<(OwnedFd, Option<OsString>)> {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let mut to = to.to_owned();
        for _ in 0..40 {
            match open(&to, directory) {
                Ok(dir) => return Ok((dir, self.name.clone())),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno),
            }
            let means_directory = to.as_os_str().as_bytes().ends_with(b"/");
            let name = to.file_name().ok_or(Errno::NOENT)?.to_owned();
            let dir = open(parent(&to), directory)?;
            let there = match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => None,
                stat => Some(FileType::from_raw_mode(stat?.st_mode)),
            };
            match there {
                Some(FileType::Symlink) => {
                    let target = rustix::fs::readlinkat(&dir, &name, Vec::new())?;
                    to = parent(&to).join(OsStr::from_bytes(target.as_bytes()));
                }
                None if self.is_directory || !means_directory => return Ok((dir, Some(name))),
                Some(_) if !self.is_directory && !means_directory => return Ok((dir, Some(name))),
                _ => return Err(Errno::NOTDIR),
            }
        }
        Err(Errno::LOOP)
    }

    fn copy(&self, dir: &OwnedFd, name: Option<&OsStr>, options: &CopyOptions) -> Result<()> {
        interrupt::watch();
        let copied = self.view.copy_to(&self.path, dir, name, options)?;
        say_unpacked(&copied);
        Ok(())
    }
}

/// What the form of a path says.
struct Asked {
    /// The last name, unless only what is in the directory is meant.
    name: Option<OsString>,
    /// It must be a directory; a link to one means the directory.
    is_followed: bool,
}

impl Asked {
    fn of(path: &Path) -> Self {
        let bytes = path.as_os_str().as_bytes();
        let means_content = bytes.ends_with(b"/.") || bytes == b"." || path.file_name().is_none();
        let name = path.file_name().filter(|_| !means_content).map(OsStr::to_owned);
        Self { is_followed: means_content || bytes.ends_with(b"/"), name }
    }
}

/// The directory a path lies in; `.` where it is one name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies from a view to a directory of the caller's.
fn copy_out(session: &Session, name: &str, from: &Path, to: &Path, archive: bool) -> Result<()> {
    let source = Source::inside(Looked::at(session, name)?.view, from)?;
    let open = |path: &Path, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let (dir, as_name) = source.target(to, open).map_err(|errno| cannot_copy(to, errno))?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    source.copy(&dir, as_name.as_deref(), &options(archive, uid, gid)).hint_no_room()
}

/// Copies from a directory of the caller's through a container's mount.
fn copy_in(session: &Session, from: &Path, name: &str, to: &Path, archive: bool) -> Result<()> {
    let container = container(session, name)?;
    let source = Source::here(from)?;
    within(&container, to, |root| {
        let target = source.target(to, |path, flags| open_inside(root, path, flags));
        let (dir, as_name) = target.map_err(|errno| cannot_copy(to, errno))?;
        source.copy(&dir, as_name.as_deref(), &options(archive, 0, 0))
    })
}

/// The container that is to be written into.
fn container(session: &Session, name: &str) -> Result<Container> {
    match session::inspect(&session.open()?, name)? {
        Inspected::Container(container) => Ok(container),
        _ => Err(Failure::usage(format!("{name:?} is no container, and nothing else can be written into"))),
    }
}

/// Lets `write` work below the root of a container's mount.
fn within(container: &Container, to: &Path, write: impl FnOnce(&OwnedFd) -> Result<()>) -> Result<()> {
    // From here on a signal would leave the mount.
    interrupt::watch();
    let mount = container.mount(&MountOptions::new())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(mount.path(), flags, Mode::empty()).map_err(|errno| cannot_copy(to, errno));
    // Dropped before the mount ends, which it would keep busy.
    let written = root.and_then(|root| write(&root));
    // A mount made for the copy ends with it, whatever came of the copy; one that was there stays.
    let ended = if mount.is_maker() { mount.unmount() } else { Ok(()) };
    written.and_then(|()| Ok(ended?))
}

/// Opens a path as a process whose root is `root` would.
fn open_inside(root: &OwnedFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..64 {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed meanwhile.
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

fn cannot_copy(to: &Path, errno: Errno) -> Failure {
    Failure::stream(format!("copy to {}", to.display()), errno.into())
}

fn options(archive: bool, uid: u32, gid: u32) -> CopyOptions {
    let options = CopyOptions::new().stop_when(interrupt::is_asked);
    if archive { options } else { options.owner(uid, gid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_inside_has_a_name_before_its_path() {
        let inside = |name: &str, path: &str| Some(End::Inside(name.to_owned(), path.into()));
        for (text, end) in [
            ("web-1:/etc/hosts", inside("web-1", "/etc/hosts")),
            ("web-1:etc", inside("web-1", "etc")),
            ("web-1:/a:b", inside("web-1", "/a:b")),
            ("docker.io/library/app:1.2:/etc", inside("docker.io/library/app:1.2", "/etc")),
            ("localhost:5000/app:1:/etc/a:/b", inside("localhost:5000/app:1", "/etc/a:/b")),
            ("./a:b", Some(End::Here("./a:b".into()))),
            ("/a:b", Some(End::Here("/a:b".into()))),
            ("file", Some(End::Here("file".into()))),
            ("-", Some(End::Stream)),
            ("./-", Some(End::Here("./-".into()))),
            (":/etc", None),
            ("web-1:", None),
        ] {
            assert_eq!(End::parse(OsStr::new(text)).ok(), end, "{text}");
        }
    }
}
