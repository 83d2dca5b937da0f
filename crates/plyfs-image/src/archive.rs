//! Images on their way out: what is written, in which format, where to.
//!
//! The same images give the same bytes: members in a fixed order, of root and of the epoch; layers shared by
//! images are written once, in the order they are first needed. Configs are written as they were received.

mod aside;
mod docker;
mod made;
mod oci;
mod received;
mod sink;
pub(crate) mod tar;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use plyfs_diff::Digest;
use plyfs_store::Reference;

use crate::compression::{Compression, Level};
use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::layout::{MAX_DESCRIPTORS, MAX_NAMES};
use sink::Sink;

/// A format images are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// What `docker save` writes: a tar archive with `manifest.json`.
    DockerArchive,
    /// A tar archive of an OCI layout, with a `manifest.json` so that docker loads it too.
    OciArchive,
    /// An OCI layout in a directory.
    OciLayout,
}

impl Format {
    /// How layers are compressed unless it is said.
    #[must_use]
    pub fn compression(self) -> Compression {
        match self {
            Self::DockerArchive => Compression::None,
            Self::OciArchive | Self::OciLayout => Compression::Gzip,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DockerArchive => "docker-archive",
            Self::OciArchive => "oci-archive",
            Self::OciLayout => "oci",
        })
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::DockerArchive, Self::OciArchive, Self::OciLayout];
        all.into_iter().find(|format| format.to_string() == text).ok_or_else(|| {
            let message = format!("{} is no format: docker-archive, oci-archive or oci", shown(text));
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

/// Where images go, and how they are written there.
///
/// Layers of a docker-archive are plain unless asked otherwise, those of the OCI formats as they came where all of an
/// image's blobs are there, else those that were kept and the others gzip. Nothing is synced: what is written is as durable
/// as the caller makes it.
#[must_use = "nothing is written before it is given to `save`"]
pub struct Archive<'a> {
    target: Target<'a>,
    format: Format,
    compression: Option<Compression>,
    level: Option<u32>,
    names: Option<BTreeSet<Reference>>,
}

enum Target<'a> {
    Writer(Box<dyn Write + Send + 'a>),
    Directory(PathBuf),
}

impl<'a> Archive<'a> {
    /// A docker-archive into `writer`.
    pub fn docker(writer: impl Write + Send + 'a) -> Self {
        let target = Target::Writer(Box::new(writer));
        Self { target, format: Format::DockerArchive, compression: None, level: None, names: None }
    }

    /// An OCI archive into `writer`.
    pub fn oci(writer: impl Write + Send + 'a) -> Self {
        let target = Target::Writer(Box::new(writer));
        Self { target, format: Format::OciArchive, compression: None, level: None, names: None }
    }

    /// An OCI layout in the directory at `path`, which is made when it is missing.
    ///
    /// To a layout that is there the images are added, and their names taken over; a directory that holds
    /// anything else is [`ErrorKind::Exists`]. Several may save into one at the same time; other programs know nothing of
    /// the lock on the directory that keeps them apart.
    pub fn layout(path: impl AsRef<Path>) -> Self {
        let target = Target::Directory(path.as_ref().into());
        Self { target, format: Format::OciLayout, compression: None, level: None, names: None }
    }

    /// Sets how layers are compressed, those too whose blobs were kept.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Sets how hard the compression tries: 1 to 9 for gzip, 6 unless set; 1 to 19 for zstd, 3 unless set.
    ///
    /// Another one is [`ErrorKind::InvalidInput`] when it is given to `save`, before anything is written. From 13 on zstd has two
    /// threads at most: each keeps far more than one of the levels below.
    pub fn level(mut self, level: u32) -> Self {
        self.level = Some(level);
        self
    }

    /// Writes, of the names that the images have, only these; all of them unless set.
    pub fn names(mut self, names: impl IntoIterator<Item = Reference>) -> Self {
        self.names = Some(names.into_iter().collect());
        self
    }

    /// Says whether a name of an image is written.
    pub(crate) fn takes_name(&self, name: &Reference) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }

    /// Says whether layers go out as the blobs that were kept of them.
    pub(crate) fn takes_kept(&self) -> bool {
        self.format != Format::DockerArchive && self.compression.is_none() && self.level.is_none()
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }
}

impl fmt::Debug for Archive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({}, {})", self.format, self.compression.unwrap_or_else(|| self.format.compression()))
    }
}

/// One image on its way out.
pub(crate) struct Outgoing<'a> {
    /// The digest of the config.
    pub id: Digest,
    /// The config as received.
    pub config: Vec<u8>,
    /// The manifest as received.
    pub manifest: Option<Vec<u8>>,
    /// Its names that are written.
    pub names: Vec<Reference>,
    /// Its layers, lowest first.
    pub layers: Vec<OutgoingLayer<'a>>,
}

/// One layer on its way out.
pub(crate) struct OutgoingLayer<'a> {
    /// The digest of its plain archive.
    pub diff_id: Digest,
    /// The size of its plain archive, when it is recorded.
    pub size: Option<u64>,
    /// Opens the plain archive, which fails at its end where it is not what its digest says.
    pub open: OpenLayer<'a>,
    /// The compressed forms it came in and that were kept.
    pub kept: Vec<KeptForm<'a>>,
}

/// The compressed form a layer came in.
pub(crate) struct KeptForm<'a> {
    /// Its digest and size.
    pub promise: Promise,
    /// Looks what follows the media type of a plain layer, if that says how it is compressed.
    pub suffix: ReadSuffix<'a>,
    /// Writes it and holds it to its digest.
    pub write: WriteLayer<'a>,
}

/// Opens the plain archive of a layer; may be called again.
pub(crate) type OpenLayer<'a> = Box<dyn Fn() -> Result<Box<dyn Read + Send + 'a>> + 'a>;

/// Writes one form of a layer; may be called again.
pub(crate) type WriteLayer<'a> = Box<dyn Fn(&mut dyn Write) -> Result<()> + 'a>;

/// Looks into one form of a layer.
pub(crate) type ReadSuffix<'a> = Box<dyn Fn() -> Result<Option<&'static str>> + 'a>;

/// Gives files without a name for what must be kept for a while; `None` where nothing can be kept.
pub(crate) type Scratch<'a> = dyn Fn() -> Result<Option<File>> + 'a;

/// How layers are packed: by which compression, how hard, by how many threads beside the caller's, and whether those that
/// were kept as they came are written so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    pub compression: Compression,
    pub level: Level,
    pub threads: usize,
    pub takes_kept: bool,
}

/// Writes the images; those given twice are written once.
pub(crate) fn write(
    images: &[Outgoing<'_>],
    archive: Archive<'_>,
    threads: usize,
    scratch: &Scratch<'_>,
) -> Result<()> {
    refuse_too_many(images)?;
    let takes_kept = archive.takes_kept();
    let Archive { target, format, compression, level, names: _ } = archive;
    let compression = compression.unwrap_or_else(|| format.compression());
    let packing = Packing { compression, level: Level::new(compression, level)?, threads, takes_kept };
    let mut sink = match target {
        Target::Writer(writer) => Sink::archive(writer, scratch),
        Target::Directory(path) => Sink::directory(&path)?,
    };
    match format {
        Format::DockerArchive => docker::write(images, &mut sink, packing)?,
        Format::OciArchive | Format::OciLayout => oci::write(images, &mut sink, packing)?,
    }
    sink.finish()
}

/// Refuses, before anything is written, an archive that would not be read again: lists are bounded for who reads them.
fn refuse_too_many(images: &[Outgoing<'_>]) -> Result<()> {
    let (mut listed, mut seen) = (0, BTreeSet::new());
    for image in images.iter().filter(|image| seen.insert(image.id)) {
        at_most(MAX_NAMES, image.names.len(), &format!("image {}", image.id), "names")?;
        listed += image.names.len().max(1);
    }
    at_most(MAX_DESCRIPTORS, listed, "the archive", "names")
}

#[cfg(test)]
#[path = "archive/tests.rs"]
mod tests;
