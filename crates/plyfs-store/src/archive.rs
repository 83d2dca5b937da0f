//! A layer's archive as it came in, read or written, and compared with its digest.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use plyfs_diff::tar_split::{Archive, rebuild};
use plyfs_diff::{DigestReader, Exported, Verified};
use plyfs_sys::fs;
use plyfs_sys::lock::Lock;
use rustix::fs::{Mode, OFlags};

use crate::{DiffId, Digest, Error, ErrorKind, Layer, LayerId, Result};

pub(crate) type Record = BufReader<zstd::Decoder<'static, BufReader<File>>>;

/// A layer's archive as a reader: the bytes as they came in.
///
/// The read that meets the end fails with [`ErrorKind::Corrupt`] inside when the tree was changed since; what was
/// read until then is to be dropped. The layer cannot be removed while the reader lives.
#[derive(Debug)]
pub struct LayerArchive {
    layer: LayerId,
    expected: Option<DiffId>,
    archive: Judged<Archive<Record>>,
    _held: Lock,
}

impl Layer {
    /// Opens the archive as it came in, rebuilt while it is read.
    pub fn archive(&self) -> Result<LayerArchive> {
        let held = self.store.hold(self.id())?;
        let archive = Archive::new(self.tar_split()?, &self.store.tree(self.id())?);
        let archive = archive.map_err(|e| Error::diff(format!("layer {}", self.id()), e))?;
        Ok(LayerArchive { layer: self.id(), expected: self.diff_id(), archive: Judged::new(archive), _held: held })
    }

    /// Writes the archive as it came in, byte for byte, and compares its digest at the end.
    ///
    /// A tree that was changed since is [`ErrorKind::Corrupt`]; what was written until then is to be dropped. The
    /// layer cannot be removed meanwhile.
    pub fn write_archive(&self, out: impl Write) -> Result<Exported> {
        let _held = self.store.hold(self.id())?;
        let exported = rebuild(self.tar_split()?, &self.store.tree(self.id())?, out)
            .map_err(|e| Error::diff(format!("layer {}", self.id()), e))?;
        verify(self.id(), self.diff_id(), exported.diff_id)?;
        Ok(exported)
    }

    /// Puts the archive together, as [`Layer::write_archive`] does, and compares the tree with what it says.
    ///
    /// `record` is its open tar-split record. Where a layer below has lost its tree or its record, the archive alone is
    /// compared, and `None` is returned.
    pub(crate) fn verify(&self, record: Record, out: impl Write) -> Result<Option<Verified>> {
        let _held = self.store.hold(self.id())?;
        let below = match self.store.trees(self.parent()) {
            Ok(below) => below,
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                return self.write_archive(out).map(|_| None);
            }
            Err(error) => return Err(error),
        };
        let verified = plyfs_diff::verify(record, &self.store.tree(self.id())?, &below, out)
            .map_err(|e| Error::diff(format!("layer {}", self.id()), e))?;
        verify(self.id(), self.diff_id(), verified.diff_id)?;
        Ok(Some(verified))
    }

    /// The open record its archive is rebuilt from.
    pub(crate) fn tar_split(&self) -> Result<Record> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = fs::open_at(&self.store.0.tar_split, self.id().to_string(), flags, Mode::empty());
        let named = || format!("tar-split record of layer {}", self.id());
        let record = zstd::Decoder::new(File::from(file.map_err(|e| Error::call(named(), e))?));
        Ok(BufReader::new(record.map_err(|e| Error::new(ErrorKind::Corrupt, named()).because(e))?))
    }
}

fn verify(layer: LayerId, expected: Option<DiffId>, found: DiffId) -> Result<()> {
    match expected {
        Some(expected) if expected != found => {
            Err(Error::new(ErrorKind::Corrupt, format!("layer {layer}: its tree gives {found}, not {expected}")))
        }
        _ => Ok(()),
    }
}

impl Read for LayerArchive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.archive.read(buffer, |found| verify(self.layer, self.expected, found))
    }
}

/// A reader of which the read that meets the end judges the digest of all that was read; `None` once it was met.
#[derive(Debug)]
pub(crate) struct Judged<R>(Option<DigestReader<R>>);

impl<R: Read> Judged<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self(Some(DigestReader::new(inner)))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8], judge: impl FnOnce(Digest) -> Result<()>) -> io::Result<usize> {
        let Some(inner) = &mut self.0 else { return Ok(0) };
        let count = inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() {
            self.0.take().map_or(Ok(()), |inner| judge(inner.finish().0))?;
        }
        Ok(count)
    }
}
