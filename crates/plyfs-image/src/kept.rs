//! Compressed layers kept as they came in: copied while they are read, each once, and held to digest and DiffId.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};

use plyfs_diff::Digest;
use plyfs_store::{ChainId, DiffId, LayerId, Operation, Stage};

use crate::asked::Asked;
use crate::digest::{Promise, Verified};
use crate::error::{Error, ErrorKind, Result};
use crate::handover::Helpers;
use crate::incoming::{Incoming, IncomingLayer, missing};
use crate::load::{Load, chains};
use crate::unpack::decompressed;
use crate::windows::Windows;

/// A reader that writes what is read into a file as well.
pub(crate) struct Tee<R> {
    inner: R,
    copy: Option<File>,
}

impl<R: Read> Tee<R> {
    /// Copies all of `inner` into `copy`, if there is one.
    pub(crate) fn new(inner: R, copy: Option<File>) -> Self {
        Self { inner, copy }
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..read])?;
        }
        Ok(read)
    }
}

/// What its descriptor says of the blob of a layer that is to be kept; a plain one is rebuilt to the same bytes anyway.
pub(crate) fn blob_of(layer: &IncomingLayer) -> Option<Promise> {
    layer.promise.filter(|promise| promise.digest != layer.diff_id)
}

/// Which blobs were copied while their layers were unpacked, and what they hold.
pub(crate) type Copied = BTreeMap<Digest, DiffId>;

impl Load<'_> {
    /// Keeps the blobs of all images: those copied meanwhile, and, read for it, those of layers that were there without.
    ///
    /// `layers` has the staged or published layer of each chain.
    pub(crate) fn keep(
        &self,
        operation: &mut Operation,
        images: &[Incoming],
        layers: &HashMap<ChainId, LayerId>,
        mut copied: Copied,
    ) -> Result<()> {
        for image in images {
            for (layer, chain) in image.layers.iter().zip(chains(image)) {
                let kept = self.keep_blob(operation, layer, layers[&chain], &mut copied);
                kept.map_err(|error| Error::wrap(image.label(), error))?;
            }
        }
        Ok(())
    }

    fn keep_blob(
        &self,
        operation: &mut Operation,
        layer: &IncomingLayer,
        id: LayerId,
        copied: &mut Copied,
    ) -> Result<()> {
        let staging = |error| Error::store("stage", error);
        let Some(promise) = blob_of(layer) else { return Ok(()) };
        if operation.has_blob(id, &promise.digest).map_err(staging)? {
            return Ok(());
        }
        match copied.insert(promise.digest, layer.diff_id) {
            Some(holds) if holds != layer.diff_id => {
                let message = format!("layer {}: its blob {} holds layer {holds}", layer.diff_id, promise.digest);
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
            Some(_) => {}
            None => self.copy_blob(layer, promise, operation.blob_file(&promise.digest).map_err(staging)?)?,
        }
        operation.keep_blob(id, promise.digest).map_err(staging)
    }

    /// Reads the blob of a layer that is there, and holds it to both digests: a manifest may list another one.
    fn copy_blob(&self, layer: &IncomingLayer, promise: Promise, copy: Option<File>) -> Result<()> {
        let member = self.members.open(&layer.member)?.ok_or_else(|| missing(&layer.member))?;
        let asked = Asked::new(self.progress, Stage::Receive, layer.diff_id.to_string(), Some(promise.size), None);
        let member = asked.reader(member);
        let what = format!("layer {}, blob {}", layer.diff_id, promise.digest);
        let digest = diff_id_of(Tee::new(Verified::new(member, promise), copy), &asked, &self.windows, &what)?;
        if digest == layer.diff_id {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Corrupt, format!("{what}: it holds layer {digest}")))
    }
}

/// Reads a layer, compressed or not, to its end; the digest of its plain bytes.
pub(crate) fn diff_id_of<'e>(
    blob: impl Read + Send + 'e,
    asked: &Asked<'e>,
    windows: &Windows,
    what: &str,
) -> Result<DiffId> {
    decompressed(blob, asked, windows, &Helpers::default(), what, |plain| {
        let read = io::copy(plain, &mut io::sink()).and_then(|_| plain.digest());
        read.map(|(digest, _)| digest).map_err(|error| Error::io("decompress", error))
    })
}
