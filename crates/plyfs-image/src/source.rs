//! Where an image or a tree comes from: a file, a directory, or any reader.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use plyfs_store::{Progress, Stage};

use crate::compression::Decoder;
use crate::error::{Error, Result};
use crate::incoming::Wanted;
use crate::members::Members;
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
}

enum Kind<'a> {
    File(File),
    Directory(OwnedFd),
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
        let file = File::open(&path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        let kind = match () {
            () if kind.is_dir() => Kind::Directory(file.into()),
            () if kind.is_file() => Kind::File(file),
            () => Kind::Reader(Box::new(file)),
        };
        Ok(Self { kind, name, platform: None, keeps_blobs: false })
    }
}

impl<'a> Source<'a> {
    /// Reads an archive from `reader`, to its end.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self {
            kind: Kind::Reader(Box::new(reader)),
            name: "the archive read".into(),
            platform: None,
            keeps_blobs: false,
        }
    }

    /// Chooses the image for this platform where an index offers several; by default this machine's.
    ///
    /// Where a platform was asked for, an image that says it is for another one is [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
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
                match Decoder::new(file)? {
                    Decoder::Plain(_) => Members::of_file(again),
                    packed => keep(packed, &self.name, spool, progress),
                }
            }
            Kind::Reader(reader) => keep(Decoder::new(reader)?, &self.name, spool, progress),
        }
    }

    /// The tree a changeset archive or a directory holds, to become one layer.
    pub(crate) fn tree(self) -> Result<Tree<'a>> {
        match self.kind {
            Kind::Directory(directory) => Ok(Tree::Directory(directory)),
            Kind::File(file) => {
                let expected = file.metadata().ok().map(|status| status.len());
                Ok(Tree::Stream(Box::new(file), expected))
            }
            Kind::Reader(reader) => Ok(Tree::Stream(reader, None)),
        }
    }
}

/// A tree on its way in.
pub(crate) enum Tree<'a> {
    /// A directory on this machine.
    Directory(OwnedFd),
    /// An archive, which may be compressed, and its size as it is.
    Stream(Box<dyn Read + Send + 'a>, Option<u64>),
}

fn keep(stream: Decoder<impl Read>, name: &str, spool: BorrowedFd<'_>, progress: Progress<'_>) -> Result<Members> {
    let mut report = |kept| {
        let reported = progress.report(Stage::Receive, name, kept, None);
        reported.map_err(|error| Error::new(error.kind(), "receive").because(error))
    };
    Members::of_stream(stream, spool, &mut report)
}
