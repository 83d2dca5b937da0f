//! Where members are written: a tar archive, which wants their sizes first, or a directory.

use std::fs::File;
use std::io::{self, BufRead, BufWriter, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use plyfs_diff::DigestWriter;
use plyfs_sys::buffer::Buffered;
use plyfs_sys::fs;
use plyfs_sys::lock::Lock;

use super::aside::Aside;
use super::made::Made;
use super::tar::TarWriter;
use super::{KeptForm, OutgoingLayer, Packing, Scratch};
use crate::compression::{Compression, Encoder};
use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::{EVEN, pump};
use crate::layout::{CHUNK, OCI_BLOBS, OCI_INDEX, OCI_LAYOUT, OCI_LAYOUT_CONTENT};
use crate::members::Members;

/// Where members go.
pub(super) enum Sink<'a> {
    /// Into a tar archive.
    Archive { tar: TarWriter<BufWriter<Box<dyn Write + Send + 'a>>>, scratch: &'a Scratch<'a> },
    /// Below a directory; every file appears whole, by a rename, and goes again unless the layout is finished.
    Directory { made: Made, blobs: OwnedFd },
}

impl<'a> Sink<'a> {
    /// Starts a tar archive.
    pub(super) fn archive(writer: Box<dyn Write + Send + 'a>, scratch: &'a Scratch<'a>) -> Self {
        Self::Archive { tar: TarWriter::new(BufWriter::with_capacity(CHUNK, writer)), scratch }
    }

    /// Makes or opens the directory of a layout, and says in it that it is one before another save looks.
    pub(super) fn directory(path: &Path) -> Result<Self> {
        let failed = |error| Error::call(format!("layout {}", path.display()), error);
        let mut made = Made::ensure(path)?;
        let lock = made.lock()?;
        let names: Vec<_> = fs::read_dir(made.root()).map_err(failed)?.into_iter().map(|entry| entry.name).collect();
        if !names.is_empty() && !names.iter().any(|name| name == OCI_LAYOUT) {
            let message = format!("layout {}: the directory holds something else", path.display());
            return Err(Error::new(ErrorKind::Exists, message));
        }
        let mut blobs = duplicate(made.root())?;
        let mut end = 0;
        for part in OCI_BLOBS.split_inclusive('/') {
            end += part.len();
            let part = part.trim_end_matches('/');
            made.ensure_dir(&blobs, part, &OCI_BLOBS[..end]).map_err(failed)?;
            blobs = fs::open_dir_at(&blobs, part).map_err(failed)?;
        }
        // Also where one is: that may be another save's, which takes back what nobody has put in its place.
        placed(&mut made, OCI_LAYOUT, OCI_LAYOUT_CONTENT.as_bytes(), &lock)?;
        Ok(Self::Directory { made, blobs })
    }

    /// Says whether this is an archive, which docker may load.
    pub(super) fn is_archive(&self) -> bool {
        matches!(self, Self::Archive { .. })
    }

    /// The index of the layout that is there already.
    pub(super) fn index(&self) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Archive { .. } => Ok(None),
            Self::Directory { made, .. } => Members::of_directory(duplicate(made.root())?).document(OCI_INDEX),
        }
    }

    /// Writes the index that `merged` makes of the one that is there; no other save does so between the two.
    pub(super) fn merge_index(&mut self, merged: impl FnOnce(Option<&[u8]>) -> Result<Vec<u8>>) -> Result<()> {
        let lock = match self {
            Self::Archive { .. } => return self.document(OCI_INDEX, &merged(None)?),
            Self::Directory { made, .. } => made.lock()?,
        };
        let bytes = merged(self.index()?.as_deref())?;
        match self {
            Self::Archive { .. } => Ok(()),
            Self::Directory { made, .. } => placed(made, OCI_INDEX, &bytes, &lock),
        }
    }

    /// Writes what stands before the blobs; a layout on disk has it already.
    pub(super) fn begin_layout(&mut self) -> Result<()> {
        let Self::Archive { tar, .. } = self else { return Ok(()) };
        tar.file(OCI_LAYOUT, OCI_LAYOUT_CONTENT.len() as u64, OCI_LAYOUT_CONTENT.as_bytes())?;
        let above = OCI_BLOBS.match_indices('/').map(|(slash, _)| &OCI_BLOBS[..slash]);
        above.chain([OCI_BLOBS]).try_for_each(|directory| tar.directory(directory))
    }

    /// Writes a document; into a layout on disk, one among the blobs.
    pub(super) fn document(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Archive { tar, .. } => tar.file(name, bytes.len() as u64, bytes),
            Self::Directory { made, blobs } => {
                renamed(blobs, made, |file| write_all(file, name, bytes).map(|()| name.to_owned()))
            }
        }
    }

    /// Writes a layer under the name that `name` gives it once its digest is known.
    pub(super) fn layer(
        &mut self,
        layer: &OutgoingLayer<'_>,
        packing: Packing,
        name: impl Fn(&Promise) -> String,
    ) -> Result<Promise> {
        match self {
            Self::Directory { made, blobs } => {
                let mut packed = None;
                renamed(blobs, made, |file| {
                    let promise = pack(layer, packing, file)?;
                    packed = Some(promise);
                    Ok(name(&promise))
                })?;
                Ok(packed.expect("it was packed before it was renamed"))
            }
            Self::Archive { tar, scratch } => {
                if let (Compression::None, Some(size)) = (packing.compression, layer.size) {
                    let promise = Promise { digest: layer.diff_id, size };
                    tar.member(&name(&promise), size, |output| copy(layer, packing.threads, output))?;
                    return Ok(promise);
                }
                let Some(mut file) = scratch()? else {
                    // Nowhere to keep it: packed once for its size, and again, to the same bytes, for the archive.
                    let promise = pack(layer, packing, io::sink())?;
                    tar.member(&name(&promise), promise.size, |output| pack(layer, packing, output).map(drop))?;
                    return Ok(promise);
                };
                let promise = pack(layer, packing, &file)?;
                file.rewind().map_err(|error| Error::io("rewind a temporary file", error))?;
                tar.file(&name(&promise), promise.size, file)?;
                Ok(promise)
            }
        }
    }

    /// Writes the compressed form a layer came in.
    pub(super) fn kept(&mut self, name: &str, kept: &KeptForm<'_>) -> Result<()> {
        match self {
            Self::Archive { tar, .. } => tar.member(name, kept.promise.size, |output| (kept.write)(output)),
            Self::Directory { made, blobs } => renamed(blobs, made, |mut file| {
                (kept.write)(&mut file)?;
                Ok(name.to_owned())
            }),
        }
    }

    /// Writes what ends the archive; what is in the directory stays.
    pub(super) fn finish(self) -> Result<()> {
        match self {
            Self::Archive { tar, .. } => tar.finish().map(drop),
            Self::Directory { made, .. } => {
                made.keep();
                Ok(())
            }
        }
    }
}

/// Writes a layer as it came. Where a thread is free, it reads and digests while this one writes.
///
/// What is written is what was digested, so the bytes pass through here: `copy_file_range(2)` would copy once more what
/// was read already, took a tenth longer on ext4, and a file that changes in between would be in the archive as nobody
/// digested it. Nor could blocks be shared, since contents lie at multiples of 512 bytes in an archive.
fn copy(layer: &OutgoingLayer<'_>, threads: usize, output: &mut dyn Write) -> Result<()> {
    let diff_id = layer.diff_id;
    let failed = |error| Error::io(format!("layer {diff_id}"), error);
    let archive = (layer.open)()?;
    if threads == 0 {
        return copy_all(Buffered::new(CHUNK, archive), output).map_err(failed);
    }
    pump(EVEN, |inlet| inlet.fill_from(archive).map_err(failed), |outlet| copy_all(outlet, output).map_err(failed))
}

/// Writes all that `input` has, in the pieces it has it in.
fn copy_all(mut input: impl BufRead, output: &mut dyn Write) -> io::Result<()> {
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        output.write_all(piece)?;
        let length = piece.len();
        input.consume(length);
    }
}

/// Writes a layer compressed; the digest and size of what was written.
fn pack(layer: &OutgoingLayer<'_>, packing: Packing, output: impl Write) -> Result<Promise> {
    let failed = |error| Error::io(format!("compress layer {}", layer.diff_id), error);
    let output = DigestWriter::new(BufWriter::with_capacity(CHUNK, output));
    let mut encoder = Encoder::new(packing.compression, packing.level, packing.threads, output).map_err(failed)?;
    copy(layer, 0, &mut encoder)?;
    let (digest, size, mut output) = encoder.finish().map_err(failed)?.finish();
    output.flush().map_err(failed)?;
    Ok(Promise { digest, size })
}

/// Lets `write` fill a new file in `directory` and give it the name it returns, a member's, whose last part is that of the file;
/// nothing is left when it fails, and what replaced nothing is noted.
fn renamed(directory: &OwnedFd, made: &mut Made, write: impl FnOnce(&File) -> Result<String>) -> Result<()> {
    let aside = Aside::new(directory)?;
    let member = write(aside.file())?;
    let lock = made.lock()?; // not while it is written
    aside.place(member, made, &lock)
}

/// Puts a document into the directory of a layout by who has its lock.
fn placed(made: &mut Made, name: &str, bytes: &[u8], lock: &Lock) -> Result<()> {
    let root = duplicate(made.root())?;
    let aside = Aside::new(&root)?;
    write_all(aside.file(), name, bytes)?;
    aside.place(name.to_owned(), made, lock)
}

fn write_all(mut file: &File, name: &str, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|error| Error::io(name, error))
}

fn duplicate(directory: &OwnedFd) -> Result<OwnedFd> {
    directory.try_clone().map_err(|error| Error::io("duplicate a descriptor", error))
}
