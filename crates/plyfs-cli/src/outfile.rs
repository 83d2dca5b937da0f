//! Files a command writes: complete under their name, or not there.
//!
//! The content goes to a file without a name in the same directory, which is given one at the end; an interrupted
//! command leaves nothing. What is there and is no regular file (a device, a FIFO) is written to as it is.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::exit::{Failure, Result};

/// A file in the making; without [`Self::finish`] it is gone.
#[derive(Debug)]
pub(crate) struct OutFile {
    file: File,
    path: PathBuf,
    aside: Aside,
}

/// Where the content is until it is complete.
#[derive(Debug)]
enum Aside {
    /// In a file without a name.
    Nameless,
    /// In a file beside the path, where the file system has no nameless ones.
    Named(PathBuf),
    /// In place.
    InPlace,
}

impl OutFile {
    /// Begins a file; a link is followed to what it means.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| Failure::stream(format!("write {}", path.display()), error);
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(failed(Errno::ISDIR.into())),
            Ok(there) if !there.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                Ok(Self { file, path: path.to_owned(), aside: Aside::InPlace })
            }
            Ok(_) => Self::aside(std::fs::canonicalize(path).map_err(failed)?).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::aside(path.to_owned()).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    fn aside(path: PathBuf) -> io::Result<Self> {
        let directory = directory(&path);
        let mode = Mode::from_raw_mode(0o666);
        match rustix::fs::openat(CWD, directory, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode) {
            Ok(file) => Ok(Self { file: file.into(), path, aside: Aside::Nameless }),
            // EISDIR is how a kernel answers that does not know the flag.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let name = beside(&path);
                let file = OpenOptions::new().write(true).create_new(true).open(&name)?;
                Ok(Self { file, path, aside: Aside::Named(name) })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// The file to write to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Syncs the content and gives it its name, replacing what had it.
    pub(crate) fn finish(self) -> Result<()> {
        let named = || -> io::Result<()> {
            if matches!(self.aside, Aside::InPlace) {
                return Ok(());
            }
            // A power cut must not leave an empty file where a complete one was.
            self.file.sync_all()?;
            let name = match &self.aside {
                Aside::Named(name) => name.clone(),
                _ => self.give_name()?,
            };
            std::fs::rename(&name, &self.path).inspect_err(|_| drop(std::fs::remove_file(&name)))
        };
        named().map_err(|error| Failure::stream(format!("write {}", self.path.display()), error))
    }

    /// Links the nameless file to a name beside the path: linking cannot replace, renaming can.
    fn give_name(&self) -> io::Result<PathBuf> {
        use std::os::fd::AsRawFd;
        let name = beside(&self.path);
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, from, CWD, &name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(name)
    }
}

impl Drop for OutFile {
    /// Only a file that has a name and was not finished is there to remove.
    fn drop(&mut self) {
        if let Aside::Named(name) = &self.aside {
            let _ = std::fs::remove_file(name);
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name beside `path` that nobody else takes: the process's own number is in it.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".plyfs-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).expect("read").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_finished_and_replaces_what_was_there() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("out");
        for content in ["one", "two"] {
            let before = names(temp.path());
            let out = OutFile::create(&path).expect("created");
            out.file().write_all(content.as_bytes()).expect("written");
            assert_eq!(names(temp.path()), before, "nothing is to be seen yet");
            out.finish().expect("finished");
            assert_eq!(std::fs::read_to_string(&path).expect("read"), content);
            assert_eq!(names(temp.path()), ["out"]);
        }
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("out");
        drop(OutFile::create(&path).expect("created"));
        let name = beside(&path);
        let file = File::create(&name).expect("created");
        drop(OutFile { file, path, aside: Aside::Named(name) });
        assert!(names(temp.path()).is_empty());
    }

    #[test]
    fn a_link_is_followed_and_stays() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join("real"), "old").expect("written");
        std::os::unix::fs::symlink("real", temp.path().join("link")).expect("a link");
        let out = OutFile::create(&temp.path().join("link")).expect("created");
        out.file().write_all(b"new").expect("written");
        out.finish().expect("finished");
        assert_eq!(std::fs::read_to_string(temp.path().join("real")).expect("read"), "new");
        assert!(temp.path().join("link").is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_a_directory_is_refused() {
        let out = OutFile::create(Path::new("/dev/null")).expect("opened");
        out.file().write_all(b"x").expect("written");
        out.finish().expect("nothing to do");
        assert!(Path::new("/dev/null").exists());
        let temp = tempfile::tempdir().expect("a temporary directory");
        let failure = OutFile::create(temp.path()).expect_err("a directory");
        assert!(failure.to_string().ends_with(": is a directory"), "{failure}");
    }
}
