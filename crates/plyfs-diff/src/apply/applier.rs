//! One pass over an archive: what each entry means for the layer.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use plyfs_sys::CallError;
use plyfs_sys::fs::{self, FileType, Stat};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::ApplyOptions;
use super::acl;
use super::cursor::{Cursor, Purpose};
use super::filler::{self, Aside};
use super::holes;
use super::links::Links;
use super::metadata::{self, Owner, Target};
use super::record::Record;
use super::tally::Tally;
use super::whiteouts::Name;
use super::writeback::Writeback;
use crate::archive::{Entry, Kind, Reader, Time, truncated};
use crate::chain::{copy_directory_attributes, is_whiteout_device};
use crate::tar_split::Crc64;
use crate::{Applied, Chain, Digested, Error, ErrorKind, Losses, Result, SkipReason, Usage, names};

/// The state of one pass.
pub(super) struct Applier<'a> {
    pub(super) reader: Reader<&'a mut dyn Digested>,
    pub(super) cursor: Cursor<'a>,
    pub(super) options: &'a ApplyOptions,
    pub(super) record: Option<Record<'a>>,
    pub(super) links: Links,
    aside: Option<Aside>,
    losses: Losses,
    owner: Owner,
    creator: (u32, u32),
    is_root_given: bool,
}

/// Where the content of an entry is once it was handled, as its record says.
pub(super) enum Done {
    /// Nowhere: what follows its header goes into the record as it is.
    Nowhere,
    /// The path has no content, or none of its own.
    Empty(Vec<u8>),
    /// The path holds exactly what is stored in the archive, with this checksum.
    At(Vec<u8>, u64),
}

/// Applies the whole archive; also returns what the layer costs, unless that is left for the caller to measure.
pub(super) fn apply<'a>(
    source: &'a mut dyn Digested,
    root: &OwnedFd,
    chain: &'a Chain,
    options: &'a ApplyOptions,
    tar_split: Option<&'a mut dyn Write>,
) -> Result<(Applied, Option<Usage>)> {
    let own = || fs::open_dir_at(root, ".").map_err(|error| Error::call("open the layer", error));
    // Without privilege nothing can be given to root; what nothing describes stays the caller's.
    let owner = rustix::process::geteuid().is_root().then(|| options.owners.root()).flatten();
    let record = |out| match options.names_once {
        true => Ok(Record::direct(out)),
        false => own().map(|layer| Record::new(out, layer, options.limits.replaced)),
    };
    let mut applier = Applier {
        reader: Reader::buffered(source, options.limits),
        cursor: Cursor::new(own()?, chain, owner, options.limits.depth)?,
        options,
        record: tar_split.map(record).transpose()?,
        links: Links::new(own()?, options.limits.aufs),
        aside: options.filler.as_ref().and_then(|filler| Aside::new(filler, options.tolerates_attributes)),
        losses: Losses::default(),
        owner,
        creator: metadata::creator(),
        is_root_given: false,
    };
    while let Some(mut entry) = applier.reader.next_entry()? {
        options.owners.apply(&mut entry)?;
        applier.entry(&entry)?;
    }
    if options.vouched_by_nobody && applier.reader.is_cut() {
        return Err(truncated(applier.reader.position(), "the last block of a file"));
    }
    applier.finish()
}

impl<'a> Applier<'a> {
    fn entry(&mut self, entry: &Entry) -> Result<()> {
        if let Some(record) = &mut self.record {
            record.segment(self.reader.raw())?;
        }
        let path = names::clean(&entry.path, &self.options.limits)?;
        metadata::check_attributes(entry)?;
        let done = match Name::of(&path)? {
            Name::Root => self.root(entry)?,
            Name::Aufs => self.links.keep_aufs(&path, entry, &mut self.reader, &mut self.record)?,
            Name::Opaque(dir) => self.make_opaque(&path, dir, entry)?,
            Name::Whiteout(dir, name) => self.whiteout(&path, dir, name, entry)?,
            Name::Plain(dir, name) => self.plain(dir, OsStr::from_bytes(name), entry)?,
        };
        self.note(&path, entry, done)
    }

    /// Adds an entry that was handled to the record.
    fn note(&mut self, path: &[u8], entry: &Entry, done: Done) -> Result<()> {
        let (at, crc) = match done {
            Done::Nowhere => return self.keep_raw(),
            Done::Empty(at) => (at, None),
            Done::At(at, crc) => (at, Some(crc)),
        };
        if crc.is_none() {
            self.keep_raw()?;
        }
        let Some(record) = &mut self.record else { return Ok(()) };
        let name = if at == path { &entry.path } else { &at };
        record.file(&at, name, crc.map_or(0, |_| entry.stored), crc.unwrap_or_default())
    }

    /// Passes over the content that nobody has taken, keeping it in the record.
    fn keep_raw(&mut self) -> Result<()> {
        loop {
            let piece = self.reader.content()?;
            if piece.is_empty() {
                return Ok(());
            }
            if let Some(record) = &mut self.record {
                record.segment(piece)?;
            }
        }
    }

    fn plain(&mut self, dir: &[u8], name: &OsStr, entry: &Entry) -> Result<Done> {
        if let Kind::Other(flag) = entry.kind {
            let flag = flag.escape_ascii();
            return Err(names::invalid(&entry.path, &format!("has the type '{flag}', which no layer can hold")));
        }
        if entry.kind == Kind::HardLink {
            return self.hard_link(dir, name, entry);
        }
        if !self.cursor.enter(dir, Purpose::Entry(entry.mtime))? {
            return Ok(Done::Nowhere);
        }
        match entry.kind {
            Kind::File => self.file(name, entry),
            Kind::Directory => self.directory(name, entry),
            Kind::Symlink => self.symlink(name, entry),
            _ => self.node(name, entry),
        }
    }

    /// The root of the layer; nothing but a directory can be it (rule 53).
    fn root(&mut self, entry: &Entry) -> Result<Done> {
        if entry.kind != Kind::Directory {
            return Err(names::invalid(&entry.path, "is the root and not a directory"));
        }
        self.cursor.enter(b"", Purpose::Entry(entry.mtime))?;
        if self.is_root_given {
            self.lose(b"", None)?;
        }
        self.is_root_given = true;
        self.describe_dir(entry, None)?;
        Ok(Done::Empty(Vec::new()))
    }

    fn file(&mut self, name: &OsStr, entry: &Entry) -> Result<Done> {
        let path = self.cursor.path_of(name);
        let mode = metadata::first_mode(entry, self.creator);
        let file = self.create(name, mode)?;
        let setting = |error| failed("set the attributes of", &path, error);
        metadata::ensure_private(&file, entry, mode).map_err(setting)?;
        if self.may_be_filled_aside(entry)
            && let Some(aside) = &mut self.aside
        {
            let crc = read_into(aside.content(), &mut self.reader, self.record.is_some())?;
            aside.set(file, path.clone(), entry.without_names())?;
            return Ok(if entry.stored > 0 { Done::At(path, crc) } else { Done::Empty(path) });
        }
        let crc = self.fill(&file, entry)?;
        let completed = metadata::complete(&file, entry, self.options.tolerates_attributes);
        let (dropped, made) = completed.map_err(setting)?;
        self.report(&path, dropped);
        drop(file);
        match entry.xattrs.is_empty() && Usage::is_tight(&made) {
            true => self.cursor.count_as(&made),
            false => self.cursor.count(name)?,
        }
        Ok(match crc {
            Some(crc) if entry.stored > 0 => Done::At(path, crc),
            _ => Done::Empty(path),
        })
    }

    fn may_be_filled_aside(&self, entry: &Entry) -> bool {
        entry.stored <= filler::MOST
            && entry.extents.is_none()
            && entry.xattrs.is_empty()
            && !self.options.punches_holes
    }

    /// Creates the file `name` in the current directory, in place of whatever is there; the umask applies to `mode`.
    pub(super) fn create(&mut self, name: &OsStr, mode: Mode) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let create = |cursor: &Cursor<'_>| fs::open_at(cursor.dir(), name, flags, mode);
        let mut file = create(&self.cursor);
        if matches!(&file, Err(error) if error.errno() == Errno::EXIST) {
            self.vacate(name)?;
            file = create(&self.cursor);
        }
        self.cursor.touch();
        file.map(File::from).map_err(|error| failed("create", &self.cursor.path_of(name), error))
    }

    /// Writes the content of the current entry; its checksum when the file holds it as it is stored.
    fn fill(&mut self, file: &File, entry: &Entry) -> Result<Option<u64>> {
        let writing = |error| Error::io(format!("write {}", names::quoted(&entry.path)), error);
        if let Some(extents) = &entry.extents {
            file.set_len(entry.size).map_err(writing)?;
            for extent in extents {
                self.fill_extent(file, extent.offset, extent.length, &entry.path)?;
            }
            return Ok(None);
        }
        let handing = |error| failed("write", &entry.path, error);
        let mut writeback = self.options.starts_writing.then(Writeback::default);
        let mut crc = Crc64::new();
        loop {
            let piece = self.reader.content()?;
            if piece.is_empty() {
                if let Some(writeback) = &mut writeback {
                    writeback.end(file).map_err(handing)?;
                }
                if self.options.punches_holes {
                    // A hole at the end has not made the file as long as it is.
                    file.set_len(entry.size).map_err(writing)?;
                }
                return Ok(Some(crc.value()));
            }
            if self.record.is_some() {
                crc.update(piece);
            }
            match self.options.punches_holes {
                true => holes::write(file, piece).map_err(writing)?,
                false => (&mut &*file).write_all(piece).map_err(writing)?,
            }
            if let Some(writeback) = &mut writeback {
                writeback.wrote(file, piece.len()).map_err(handing)?;
            }
        }
    }

    /// Writes one stretch of a sparse file; the record keeps it as it is stored (rule 42).
    fn fill_extent(&mut self, file: &File, mut offset: u64, mut length: u64, path: &[u8]) -> Result<()> {
        while length > 0 {
            let piece = self.reader.content_up_to(length)?;
            file.write_all_at(piece, offset)
                .map_err(|error| Error::io(format!("write {}", names::quoted(path)), error))?;
            offset += piece.len() as u64;
            length -= piece.len() as u64;
            if let Some(record) = &mut self.record {
                record.segment(piece)?;
            }
        }
        Ok(())
    }

    /// A directory over a directory describes it anew; over anything else it takes its place, and is opaque, since that hid
    /// what the lowers have there (rules 7, 46).
    fn directory(&mut self, name: &OsStr, entry: &Entry) -> Result<Done> {
        let path = self.cursor.path_of(name);
        let mode = metadata::first_dir_mode(entry, self.creator);
        self.cursor.describe(&path);
        // Mostly nothing is there, which is not looked for beforehand.
        if self.cursor.try_make_dir(name, mode, false)? {
            return self.new_directory(entry, path);
        }
        let there = fs::stat_at(self.cursor.dir(), name).map_err(|error| failed("look at", &path, error))?;
        if FileType::from_raw_mode(there.st_mode) != FileType::Directory {
            self.vacate(name)?;
            if !is_whiteout_device(&there) {
                // There may have been a directory before, about which the chain is asked what no longer matters.
                self.cursor.rebuild_if_unknown();
            }
            let hid_lower = self.cursor.may_be_below(name)?;
            self.cursor.make_dir(name, mode, hid_lower)?;
            return self.new_directory(entry, path);
        }
        self.lose(&path, None)?;
        self.cursor.enter_existing(name)?;
        metadata::forget_xattrs(self.cursor.dir(), entry)
            .map_err(|error| failed("set the attributes of", &path, error))?;
        self.describe_dir(entry, None)?;
        Ok(Done::Empty(path))
    }

    /// Gives the current directory, which was just made, what the entry says.
    fn new_directory(&mut self, entry: &Entry, path: Vec<u8>) -> Result<Done> {
        let made = metadata::ensure_private_dir(self.cursor.dir(), entry);
        let made = made.map_err(|error| failed("set the attributes of", &path, error))?;
        self.describe_dir(entry, Some(&made))?;
        Ok(Done::Empty(path))
    }

    /// Gives the current directory, with its status where it was just made, what the entry says; its times when it is
    /// left (rule 49).
    fn describe_dir(&mut self, entry: &Entry, made: Option<&Stat>) -> Result<()> {
        let path = self.cursor.path().to_vec();
        let dir = self.cursor.dir();
        let target = made.map_or(Target::Open(dir), |made| Target::New(dir, made));
        let dropped = metadata::restore(target, entry, self.options.tolerates_attributes);
        let dropped = dropped.map_err(|error| failed("set the attributes of", &path, error))?;
        self.cursor.set_times(metadata::times(entry));
        match acl::is_given(entry) {
            true => {
                self.cursor.set_default_acl_aside().map_err(|error| failed("set the attributes of", &path, error))?
            }
            false => self.cursor.drop_default_acl(),
        }
        self.report(&path, dropped);
        Ok(())
    }

    fn symlink(&mut self, name: &OsStr, entry: &Entry) -> Result<Done> {
        if entry.link.is_empty() {
            return Err(names::invalid(&entry.path, "is a symbolic link to nothing"));
        }
        let target = OsStr::from_bytes(&entry.link);
        self.make(name, entry, |cursor| fs::symlink_at(target, cursor.dir(), name))
    }

    /// A device or a named pipe; a device that may not be made is reported (rule 41).
    fn node(&mut self, name: &OsStr, entry: &Entry) -> Result<Done> {
        let kind = match entry.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let (major, minor) = entry.device;
        // Beyond these the kernel would make the node of another device.
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(names::invalid(&entry.path, &format!("has the device number {major}:{minor}, which is none")));
        }
        let device = rustix::fs::makedev(major, minor);
        let path = self.cursor.path_of(name);
        if kind == FileType::CharacterDevice && device == 0 {
            // On disk this is a whiteout: it hides the name and cannot be seen as what it is.
            self.report_one(&path, SkipReason::Device);
            self.cursor.rebuild_if_unknown();
        }
        let made = self
            .make(name, entry, |cursor| fs::make_node_at(cursor.dir(), name, kind, Mode::RUSR | Mode::WUSR, device));
        match made {
            Err(error) if error.kind() == ErrorKind::Permission && kind != FileType::Fifo => {
                let is_there = fs::try_stat_at(self.cursor.dir(), name);
                if is_there.map_err(|error| failed("look at", &path, error))?.is_some() {
                    return Err(error);
                }
                self.report_one(&path, SkipReason::Device);
                Ok(Done::Nowhere)
            }
            result => result,
        }
    }

    /// Makes what has no content, in place of whatever is there, and gives it its attributes.
    fn make(
        &mut self,
        name: &OsStr,
        entry: &Entry,
        make: impl Fn(&Cursor<'_>) -> Result<(), CallError>,
    ) -> Result<Done> {
        let path = self.cursor.path_of(name);
        let mut made = make(&self.cursor);
        if matches!(&made, Err(error) if error.errno() == Errno::EXIST) {
            self.vacate(name)?;
            made = make(&self.cursor);
        }
        made.map_err(|error| failed("make", &path, error))?;
        self.cursor.touch();
        let target = Target::Name(self.cursor.dir(), name);
        let dropped = metadata::restore(target, entry, self.options.tolerates_attributes);
        let dropped = dropped.map_err(|error| failed("set the attributes of", &path, error))?;
        self.report(&path, dropped);
        self.cursor.count(name)?;
        Ok(Done::Empty(path))
    }

    /// Removes whatever `name` is in the current directory, keeping for the record what is lost by it (rules 46, 54).
    pub(super) fn vacate(&mut self, name: &OsStr) -> Result<()> {
        let path = self.cursor.path_of(name);
        let removing = |error| failed("replace", &path, error);
        // What is kept of it must have been written.
        self.aside.as_mut().map_or(Ok(()), Aside::settle)?;
        let stat = fs::stat_at(self.cursor.dir(), name).map_err(removing)?;
        self.cursor.touch();
        self.cursor.uncount(&stat);
        if self.record.is_some() && !is_whiteout_device(&stat) {
            let dir = fs::open_dir_at(self.cursor.dir(), ".").map_err(removing)?;
            self.lose_below(&dir, name, &path, &stat, 0)?;
        }
        fs::remove_tree(self.cursor.dir(), name).map_err(removing)?;
        if let Some(record) = &mut self.record {
            record.took_out();
        }
        Ok(())
    }

    fn lose_below(&mut self, dir: &OwnedFd, name: &OsStr, path: &[u8], stat: &Stat, depth: usize) -> Result<()> {
        let reading = |error| failed("replace", path, error);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = fs::open_at(dir, name, OFlags::RDONLY, Mode::empty()).map_err(reading)?;
                return self.lose(path, Some((&file.into(), stat)));
            }
            FileType::Directory => {}
            _ => return self.lose(path, None),
        }
        self.lose(path, None)?;
        if depth > fs::MAX_DEPTH {
            return Err(names::invalid(path, "is too deep to be replaced"));
        }
        let inner = fs::open_dir_at(dir, name).map_err(reading)?;
        for name in fs::Listing::read_own(&inner).map_err(reading)?.names() {
            let stat = fs::stat_at(&inner, name).map_err(reading)?;
            let below = names::join(path, name.as_bytes());
            self.lose_below(&inner, name, &below, &stat, depth + 1)?;
        }
        Ok(())
    }

    fn lose(&mut self, path: &[u8], file: Option<(&File, &Stat)>) -> Result<()> {
        match &mut self.record {
            Some(record) => record.lose(path, file),
            None => Ok(()),
        }
    }

    pub(super) fn report(&mut self, path: &[u8], attributes: Vec<OsString>) {
        for name in attributes {
            self.report_one(path, SkipReason::Attribute(name));
        }
    }

    fn report_one(&mut self, path: &[u8], reason: SkipReason) {
        self.losses.report(OsStr::from_bytes(path), reason);
    }

    fn finish(mut self) -> Result<(Applied, Option<Usage>)> {
        if let Some(record) = &mut self.record {
            record.segment(self.reader.raw())?;
        }
        loop {
            let piece = self.reader.trailer()?;
            if piece.is_empty() {
                break;
            }
            if let Some(record) = &mut self.record {
                record.segment(piece)?;
            }
        }
        if !self.is_root_given {
            self.imply_root()?;
        }
        let filled = self.aside.map_or_else(|| Ok(Tally::default()), Aside::finish)?;
        let (deferred, usage) = self.cursor.finish()?;
        let usage = usage.zip(filled.finish()).map(|(created, filled)| created + filled);
        if let Some(record) = self.record {
            record.finish()?;
        }
        let digest = self.reader.source().digest();
        let (diff_id, archive_size) = digest.map_err(|error| Error::io("digest the archive", error))?;
        let (skipped, skipped_more) = self.losses.into_parts();
        let applied =
            Applied { diff_id, archive_size, usage: usage.unwrap_or_default(), skipped, skipped_more, deferred };
        Ok((applied, usage))
    }

    /// Gives the root what it has in the chain, else 0755 root:root and the beginning of time (rule 53).
    fn imply_root(&mut self) -> Result<()> {
        self.cursor.enter(b"", Purpose::Entry(Time::default()))?;
        let setting = |error| failed("set the attributes of", b"/", error);
        self.cursor.ask_root();
        let below = self.cursor.root_below();
        let times = match below.as_ref().and_then(|merged| merged.uppermost()) {
            Some(from) => copy_directory_attributes(from, self.cursor.dir()).map_err(setting)?,
            None => {
                metadata::own(self.cursor.dir(), self.owner).map_err(setting)?;
                metadata::set_mode(self.cursor.dir(), 0o755).map_err(setting)?;
                metadata::at(Time::default())
            }
        };
        self.cursor.set_times(times);
        Ok(())
    }
}

/// Adds the content of the current entry; its checksum where a record is kept.
fn read_into(content: &mut Vec<u8>, reader: &mut Reader<&mut dyn Digested>, is_recorded: bool) -> Result<u64> {
    let mut crc = Crc64::new();
    loop {
        let piece = reader.content()?;
        if piece.is_empty() {
            return Ok(crc.value());
        }
        if is_recorded {
            crc.update(piece);
        }
        content.extend_from_slice(piece);
    }
}

pub(super) fn failed(what: &str, path: &[u8], error: CallError) -> Error {
    let path = if path.is_empty() { b"/" } else { path };
    Error::call(format!("{what} {}", names::quoted(path)), error)
}
