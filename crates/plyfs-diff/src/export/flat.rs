//! A view as one archive: everything it shows, and nothing of how its layers come to show it.

use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_sys::fs::FileType;

use super::header::{Header, Kind};
use super::links::Links;
use super::walk::ROOT;
use super::writer::Writer;
use super::{ExportOptions, Exported, attributes};
use crate::layout::WHITEOUT_PREFIX;
use crate::upper::{self, changed};
use crate::{Dialect, Entry, Error, ErrorKind, Found, Merged, Result, SkipReason, Skipped, View};

impl View {
    /// Writes everything the view shows as one archive without whiteouts; the same tree gives the same bytes.
    ///
    /// The archive of a view of one layer is that of [`export()`](crate::export()) over an empty chain: applied to an empty
    /// directory it gives the tree. What no archive can hold is in [`Exported::skipped`]. A file that changes while it is read
    /// is [`ErrorKind::Conflict`] and named (rule 28). Nothing is synced; `out` is flushed.
    pub fn export(&self, out: impl Write, options: &ExportOptions) -> Result<Exported> {
        let dialect = self.layers().dialect();
        let mut flat =
            Flat { options, dialect, archive: Writer::new(out), links: Links::default(), skipped: Vec::new() };
        let mut walk = self.walk("/")?;
        while let Some(entry) = walk.next() {
            if !flat.entry(entry?.found())? {
                walk.skip_below();
            }
        }
        let (diff_id, size) = flat.archive.finish()?;
        Ok(Exported { diff_id, size, skipped: flat.skipped })
    }
}

/// An archive under way.
struct Flat<'a, W: Write> {
    options: &'a ExportOptions,
    dialect: Dialect,
    archive: Writer<W>,
    links: Links,
    skipped: Vec<Skipped>,
}

impl<W: Write> Flat<'_, W> {
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
        let is_root = path.as_os_str().is_empty();
        let name = if is_root { ROOT.to_vec() } else { [path.as_os_str().as_bytes(), b"/"].concat() };
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
        let name = path.as_os_str().as_bytes().to_vec();
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
        self.skipped.push(Skipped::new(path, reason));
    }
}
