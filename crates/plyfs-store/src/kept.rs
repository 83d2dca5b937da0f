//! Compressed layers kept as they came, beside the trees they were unpacked into.
//!
//! The blob lies under its digest among configs and manifests. The layer's record names it, and a look-up leads back, so
//! that a blob that several layers came as is one file and goes with the last of them.

use std::fs::File;
use std::io::{self, Read};

use plyfs_diff::Usage;
use plyfs_journal::Transaction;
use plyfs_link::LayerId;
use plyfs_sys::fs::{self, Stat};
use rustix::fs::{Mode, OFlags};

use crate::archive::Judged;
use crate::operation::Operation;
use crate::record::LayerRecord;
use crate::{Digest, Error, ErrorKind, Layer, Result, Store, key, layout};

/// The compressed form a layer came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptBlob {
    /// The digest of the compressed bytes.
    pub digest: Digest,
    /// Their number, what they take on the disk, and one inode.
    pub usage: Usage,
}

impl KeptBlob {
    pub(crate) fn of(digest: Digest, stat: &Stat) -> Self {
        let apparent = u64::try_from(stat.st_size).unwrap_or_default();
        // Signed on some architectures alone.
        let allocated = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
        Self { digest, usage: Usage { apparent, allocated, inodes: 1 } }
    }
}

impl Layer {
    /// The compressed forms it came in and that were kept, in the order of their digests.
    #[must_use]
    pub fn blobs(&self) -> &[KeptBlob] {
        &self.record.blobs
    }

    /// Opens a compressed form it came in; [`ErrorKind::NotFound`] when that was not kept.
    pub fn blob(&self, digest: &Digest) -> Result<BlobReader> {
        let named = || format!("layer {}: blob {digest}", self.id());
        let kept = self.record.blobs.iter().find(|blob| blob.digest == *digest);
        let kept = kept.ok_or_else(|| Error::absent(named()))?;
        BlobReader::open(&self.store, *digest, kept.usage.apparent).map_err(|e| Error::call(named(), e))
    }
}

/// The bytes of a kept blob.
///
/// The read that meets the end fails with [`ErrorKind::Corrupt`] inside when they are not those of the digest; what was
/// read until then is to be dropped.
#[derive(Debug)]
pub struct BlobReader {
    digest: Digest,
    size: u64,
    file: Judged<File>,
}

impl BlobReader {
    pub(crate) fn open(store: &Store, digest: Digest, size: u64) -> plyfs_sys::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = fs::open_at(&store.0.blobs, digest.hex(), flags, Mode::empty())?;
        Ok(Self { digest, size, file: Judged::new(File::from(file)) })
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer, |found| hold(&self.digest, found))
    }
}

/// Refuses a blob whose bytes have another digest than its name.
pub(crate) fn hold(digest: &Digest, found: Digest) -> Result<()> {
    if found == *digest {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, format!("blob {digest} has other bytes than its name says")))
}

impl Operation {
    /// Makes the file that a blob of this digest is staged in; `None` when this operation has made it already.
    ///
    /// Who fills it holds the bytes to the digest. Unless [`Self::keep_blob`] names it, it goes with the operation.
    pub fn blob_file(&self, digest: &Digest) -> Result<Option<File>> {
        let name = layout::staged_blob(&digest.hex());
        match fs::create_file_at(self.dir(), &name, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(error) if error.kind() == ErrorKind::Exists => Ok(None),
            Err(error) => Err(self.failed("staging", error)),
        }
    }

    /// Says whether a published layer has this compressed form, and the file is there.
    pub fn has_blob(&self, layer: LayerId, digest: &Digest) -> Result<bool> {
        let record = match self.store().layer_record(layer) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            record => record?,
        };
        let stat = || fs::try_stat_at(&self.store().0.blobs, digest.hex());
        let is_whole = |size: u64| Ok(stat()?.is_some_and(|stat| u64::try_from(stat.st_size) == Ok(size)));
        let kept = record.blobs.iter().find(|blob| blob.digest == *digest);
        let whole: plyfs_sys::Result<_> = kept.map_or(Ok(false), |blob| is_whole(blob.usage.apparent));
        whole.map_err(|e| self.failed(&format!("blob {digest}"), e))
    }

    /// Publishes the staged blob as the compressed form of a layer, which this operation staged or reused.
    pub fn keep_blob(&mut self, layer: LayerId, digest: Digest) -> Result<()> {
        let stat = fs::stat_at(self.dir(), layout::staged_blob(&digest.hex()));
        let stat = stat.map_err(|e| self.failed(&format!("blob {digest}"), e))?;
        self.blobs.insert(digest);
        self.kept.push((layer, KeptBlob::of(digest, &stat)));
        Ok(())
    }
}

/// Writes that the layer, which is in these records, came as the blob.
pub(crate) fn put(records: &mut Transaction<'_>, layer: LayerId, blob: KeptBlob) -> Result<()> {
    let bytes = records.get(&key::layer(layer))?;
    let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::Conflict, format!("layer {layer} was removed meanwhile")))?;
    let mut record = LayerRecord::decode(layer, &bytes)?;
    if record.blobs.iter().all(|known| known.digest != blob.digest) {
        record.blobs.push(blob);
        record.blobs.sort_by_key(|blob| blob.digest);
        records.put(&key::layer(layer), &record.encode());
    }
    records.put(&key::blob_layer(&blob.digest, layer), &[]);
    Ok(())
}

/// Takes the blob from the layer's record; `false` when it is not there any more.
pub(crate) fn forget(records: &mut Transaction<'_>, layer: LayerId, blob: &Digest) -> Result<bool> {
    let Some(bytes) = records.get(&key::layer(layer))? else { return Ok(false) };
    let mut record = LayerRecord::decode(layer, &bytes)?;
    let before = record.blobs.len();
    record.blobs.retain(|known| known.digest != *blob);
    records.put(&key::layer(layer), &record.encode());
    records.delete(&key::blob_layer(blob, layer));
    Ok(record.blobs.len() < before)
}
