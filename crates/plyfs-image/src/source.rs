//! Where an image or a tree comes from: a file, a directory, or any reader.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plyfs_store::{Progress, Stage};
use rustix::fs::OFlags;

use crate::compression::{Decoder, WindowLog};
use crate::error::{Error, Result};
use crate::incoming::Wanted;
use crate::members::Members;
use crate::patience::{Foreign, Patient, Unwanted};
use crate::platform::Platform;

/// Where an image comes from; what it is, is told by its content.
///
/// A plain archive in a regular file is read where it lies. What can be read only once, or is compressed as a
/// whole, is kept in the store's staging directory meanwhile.
pub struct Source<'a> {
    kind: Kind<'a>,
    name: String,
    platform: Option<Platform>,
    keeps_blobs: bool,
    timeout: Option<Duration>,
    window: WindowLog,
}

enum Kind<'a> {
    File(File),
    Directory(OwnedFd),
    /// A pipe, a socket, a device: what can be waited for.
    Stream(File),
    Reader(Box<dyn Read + Send + 'a>),
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source<'static> {
    /// Opens the archive file, FIFO or directory at `path`.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path: PathBuf = path.as_ref().into();
        let name = path.display().to_string();
        let failed = |error| Error::io(format!("open {name}"), error);
        // A FIFO that nobody writes to is waited for when it is read, where the wait can end.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2)");
        let file = File::options().read(true).custom_flags(flags).open(&path).map_err(failed)?;
        Self::of(file, name)
    }

    /// Takes what is open: a pipe, a socket, a file from where it stands, a directory. `name` is what messages call it.
    pub fn descriptor(descriptor: OwnedFd, name: impl Into<String>) -> Result<Self> {
        Self::of(File::from(descriptor), name.into())
    }

    fn of(mut file: File, name: String) -> Result<Self> {
        let kind = file.metadata().map_err(|error| Error::io(format!("open {name}"), error))?.file_type();
        let kind = match () {
            () if kind.is_dir() => Kind::Directory(file.into()),
            // Read where it lies, that is from its beginning.
            () if kind.is_file() && file.stream_position().is_ok_and(|position| position == 0) => Kind::File(file),
            () => Kind::Stream(file),
        };
        Ok(Self::new(kind, name))
    }
}

impl<'a> Source<'a> {
    fn new(kind: Kind<'a>, name: String) -> Self {
        Self { kind, name, platform: None, keeps_blobs: false, timeout: None, window: WindowLog::default() }
    }

    /// Reads an archive from `reader`, to its end.
    ///
    /// Its errors are passed on with the kind that their errno or [`std::io::ErrorKind`] has. While a read of it blocks
    /// nothing can be done about it: [`Source::descriptor`] is what can be waited for and given up.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self::new(Kind::Reader(Box::new(Foreign(reader))), "the archive read".into())
    }

    /// Chooses the image for this platform where an index offers several; by default this machine's.
    ///
    /// Of several variants that run on it the highest is taken: for `linux/arm/v7` one of v6 where there is none of v7. amd64
    /// alone is its lowest level, so that what needs a newer processor is taken only when it is asked for.
    /// Where a platform was asked for, an image that says it is for another one, or says nowhere what it is for, is
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Keeps compressed layers as they came, beside the trees they are unpacked into, so that they go out as the same blobs.
    ///
    /// A layer that is there already gets its blob, which is read for it once. Of a docker-archive nothing is kept: it
    /// states no digests of blobs.
    #[must_use]
    pub fn keep_blobs(mut self, keep: bool) -> Self {
        self.keeps_blobs = keep;
        self
    }

    /// Gives up with [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when a pipe, socket or device gives nothing for this
    /// long; by default never. A slow sender is none that stalls.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Reads zstd streams whose window is up to 2 to the power of `log` bytes, 10 to 31; 25 unless set.
    ///
    /// A decoder keeps the whole window in memory: 32 MiB with the default, which every level up to 20 of zstd(1) stays
    /// within. A stream with a larger one is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput).
    #[must_use]
    pub fn zstd_window(mut self, log: u32) -> Self {
        self.window = WindowLog::new(log);
        self
    }

    /// The largest window of a zstd stream.
    pub(crate) fn window(&self) -> WindowLog {
        self.window
    }

    /// Whether compressed layers are kept.
    pub(crate) fn keeps_blobs(&self) -> bool {
        self.keeps_blobs
    }

    /// What is chosen where there is a choice.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted(self.platform.clone())
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The named parts of the archive or directory; what must be kept is kept in `spool`.
    pub(crate) fn members(self, spool: BorrowedFd<'_>, progress: Progress<'_>) -> Result<Members> {
        match self.kind {
            Kind::Directory(directory) => Ok(Members::of_directory(directory)),
            Kind::File(file) => {
                let again = file.try_clone().map_err(|error| Error::io("duplicate its descriptor", error))?;
                match Decoder::new(file, self.window)? {
                    Decoder::Plain(_) => Members::of_file(again, &mut kept(&self.name, progress)),
                    packed => keep(packed, &self.name, spool, progress),
                }
            }
            Kind::Stream(file) => {
                let stream = Patient::new(file, &self.name, self.timeout, progress);
                keep(Decoder::new(stream, self.window)?, &self.name, spool, progress)
            }
            Kind::Reader(reader) => keep(Decoder::new(reader, self.window)?, &self.name, spool, progress),
        }
    }

    /// The tree a changeset archive or a directory holds, to become one layer.
    pub(crate) fn tree(self, progress: Progress<'a>) -> Result<Tree<'a>> {
        match self.kind {
            Kind::Directory(directory) => Ok(Tree::Directory(directory)),
            Kind::File(file) => {
                let expected = file.metadata().ok().map(|status| status.len());
                Ok(Tree::stream(file, expected))
            }
            Kind::Stream(file) => {
                let unwanted = Unwanted::default();
                let stream = Patient::new(file, &self.name, self.timeout, progress).unless(unwanted.clone());
                Ok(Tree::Stream { archive: Box::new(stream), size: None, unwanted })
            }
            Kind::Reader(reader) => Ok(Tree::stream(reader, None)),
        }
    }
}

/// A tree on its way in.
pub(crate) enum Tree<'a> {
    /// A directory on this machine.
    Directory(OwnedFd),
    /// An archive, which may be compressed, and its size as it is; what ends its waiting.
    Stream { archive: Box<dyn Read + Send + 'a>, size: Option<u64>, unwanted: Unwanted },
}

impl<'a> Tree<'a> {
    /// An archive that nobody waits for.
    fn stream(archive: impl Read + Send + 'a, size: Option<u64>) -> Self {
        Self::Stream { archive: Box::new(archive), size, unwanted: Unwanted::default() }
    }
}

fn keep(stream: Decoder<impl Read>, name: &str, spool: BorrowedFd<'_>, progress: Progress<'_>) -> Result<Members> {
    Members::of_stream(stream, spool, &mut kept(name, progress))
}

/// Reports how much is kept.
fn kept(name: &str, progress: Progress<'_>) -> impl FnMut(u64) -> Result<()> {
    move |kept| {
        let reported = progress.report(Stage::Receive, name, kept, None);
        reported.map_err(|error| Error::new(error.kind(), "receive").because(error))
    }
}
