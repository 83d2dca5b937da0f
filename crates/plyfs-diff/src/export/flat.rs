//! A view, or a part of it, as one archive: everything it shows, and nothing of how its layers come to show it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use plyfs_sys::fs::FileType;

use super::header::{Header, Kind};
use super::links::Links;
use super::sink::BufferSink;
use super::walk::ROOT;
use super::writer::Writer;
use super::{ExportOptions, Exported, attributes};
use crate::layout::WHITEOUT_PREFIX;
use crate::names::ensure_name;
use crate::upper::{self, changed};
use crate::{Dialect, DigestWriter, Entry, Error, ErrorKind, Found, Losses, Merged, Result, SkipReason, View, Walk};

impl View {
    /// Writes everything the view shows as one archive without whiteouts; the same tree gives the same bytes.
    ///
    /// The archive of a view of one layer is that of [`export()`](crate::export()) over an empty chain: applied to an empty
    /// directory it gives the tree. What no archive can hold is in [`Exported::skipped`]. A file that changes while it is read
    /// is [`ErrorKind::Conflict`] and named (rule 28). Nothing is synced; `out` is flushed.
    pub fn export(&self, out: impl Write, options: &ExportOptions) -> Result<Exported> {
        Flat::new(self, Path::new(""), None, DigestWriter::new(out), options).all(self.walk("/")?)
    }

    /// Writes what is at and below `path` as one archive: as `name` in it, or without a name what is in the directory at
    /// `path`.
    ///
    /// Everything else is as [`View::export`] writes it; hard links are kept among what is written.
    pub fn export_at(
        &self,
        path: impl AsRef<Path>,
        name: Option<&OsStr>,
        out: impl Write,
        options: &ExportOptions,
    ) -> Result<Exported> {
        if let Some(name) = name {
            ensure_name(name)?;
        }
        let start = self.entry(path)?;
        if name.is_none() {
            start.directory()?;
        }
        let from = start.relative().to_owned();
        Flat::new(self, &from, name, DigestWriter::new(out), options).all(self.walk(&from)?)
    }
}

/// An archive under way.
struct Flat<'a, S: BufferSink> {
    options: &'a ExportOptions,
    /// What of the view is written, and what it is called in the archive; without a name it is the archive's root.
    start: &'a Path,
    name: Option<&'a OsStr>,
    dialect: Dialect,
    archive: Writer<S>,
    links: Links,
    skipped: Losses,
}

impl<'a, S: BufferSink> Flat<'a, S> {
    fn new(view: &View, start: &'a Path, name: Option<&'a OsStr>, out: S, options: &'a ExportOptions) -> Self {
        let (dialect, archive) = (view.layers().dialect(), Writer::new(out));
        Self { options, start, name, dialect, archive, links: Links::default(), skipped: Losses::default() }
    }

    fn all(mut self, mut walk: Walk) -> Result<Exported> {
        while let Some(entry) = walk.next() {
            if !self.entry(entry?.found())? {
                walk.skip_below();
            }
        }
        let (diff_id, size) = self.archive.finish()?;
        Ok(Exported::new(diff_id, size, self.skipped))
    }

    /// What a path of the view is called in the archive; the archive's root has no name.
    fn called(&self, path: &Path) -> Vec<u8> {
        let below = path.strip_prefix(self.start).unwrap_or(path);
        let name = self.name.map(Path::new).unwrap_or(Path::new(""));
        // Joining nothing would add a slash.
        let called = if below.as_os_str().is_empty() { name.to_owned() } else { name.join(below) };
        called.into_os_string().into_vec()
    }

    /// Archives one entry; `false` when it and all below it are left out.
    fn entry(&mut self, found: &Found) -> Result<bool> {
        let path = match found {
            Found::Directory(merged) => merged.path(),
            Found::Symlink(entry) | Found::Other(entry) => entry.path(),
        };
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(WHITEOUT_PREFIX)) {
            self.skip(path, SkipReason::Name);
            return Ok(false);
        }
        match found {
            Found::Directory(merged) => self.directory(merged)?,
            Found::Symlink(entry) | Found::Other(entry) => self.leaf(entry)?,
        }
        Ok(true)
    }

    fn directory(&mut self, merged: &Merged) -> Result<()> {
        let path = merged.path();
        let (Some(fd), Some(stat)) = (merged.uppermost(), merged.stat()?) else { return Ok(()) };
        let called = self.called(path);
        let is_root = called.is_empty();
        let name = if is_root { ROOT.to_vec() } else { [&called[..], b"/"].concat() };
        let mut header = self.options.header(Kind::Directory, name, &stat);
        header.xattrs = attributes::carried(fd, path, self.dialect, &mut self.skipped)?;
        if is_root && !attributes::root_differs(&header, None, self.dialect)? {
            return Ok(());
        }
        self.archive.header(&header)
    }

    /// Archives anything but a directory: its content, or a link to the name its inode was archived under before.
    fn leaf(&mut self, entry: &Entry) -> Result<()> {
        let (path, stat) = (entry.path(), entry.stat());
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharacterDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Socket => {
                self.skip(path, SkipReason::Socket);
                return Ok(());
            }
            _ => return Err(Error::new(ErrorKind::Unsupported, format!("{path:?} is of no known type"))),
        };
        let name = self.called(path);
        if let Some(link) = self.links.earlier(stat, &name) {
            let header = Header { link, ..self.options.header(Kind::HardLink, name, stat) };
            return self.archive.header(&header);
        }
        let mut header = self.options.header(kind, name, stat);
        if kind == Kind::File {
            return self.file(entry, header);
        }
        if kind == Kind::Symlink {
            header.link = entry.read_link()?.as_bytes().to_vec();
        }
        if matches!(kind, Kind::CharacterDevice | Kind::BlockDevice) {
            header.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        }
        attributes::missed(entry.dir(), path, self.dialect, &mut self.skipped)?;
        self.archive.header(&header)
    }

    fn file(&mut self, entry: &Entry, mut header: Header) -> Result<()> {
        let (path, stat) = (entry.path(), entry.stat());
        let shown = entry.open_shown()?;
        header.size = u64::try_from(stat.st_size).map_err(|_| changed(path))?;
        header.xattrs = attributes::carried(&shown, path, self.dialect, &mut self.skipped)?;
        self.archive.header(&header)?;
        self.archive.content(&File::from(entry.open()?), path, header.size)?;
        upper::ensure_unchanged(&shown, path, stat)
    }

    fn skip(&mut self, path: &Path, reason: SkipReason) {
        self.skipped.report(path, reason);
    }
}
