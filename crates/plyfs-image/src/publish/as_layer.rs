//! A tree that is exported and becomes a layer: by two threads, or by one and a file.
//!
//! Exporting hands on what it makes, and unpacking asks for it; so a thread that does both does one after the other, and the
//! archive lies in a file without a name between them, which takes space in the store as long. Where the store has a thread to
//! spare, the archive is never whole anywhere.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use plyfs_diff::{BufferSink, Digest, DigestWriter, Digested, Filler};
use plyfs_store::{AppliedLayer, LayerId, Operation};
use plyfs_sys::buffer::{Buffer, Buffered};

use crate::error::{Error, Result};
use crate::flow::{Inlet, UNEVEN, pump_filling};
use crate::layout::CHUNK;
use crate::members::temporary_file;

/// Where an archive goes.
pub(crate) enum Out<'a> {
    /// To the thread that unpacks it.
    Piped(&'a mut Inlet<(Digest, u64)>),
    /// To a file, from which the same thread unpacks it.
    Kept(DigestWriter<&'a mut File>),
}

impl BufferSink for Out<'_> {
    fn take(&mut self, filled: Buffer) -> io::Result<Buffer> {
        match self {
            Self::Piped(inlet) => BufferSink::take(*inlet, filled),
            Self::Kept(file) => file.take(filled),
        }
    }

    fn finish(&mut self) -> io::Result<(Digest, u64)> {
        match self {
            Self::Piped(inlet) => inlet.finish(),
            Self::Kept(file) => file.finish(),
        }
    }
}

/// Unpacks upon `parent` what `export` writes, whose digest and size it gives.
pub(crate) fn as_layer(
    operation: &mut Operation,
    parent: Option<LayerId>,
    export: impl FnOnce(Out<'_>) -> Result<(Digest, u64)> + Send,
) -> Result<AppliedLayer> {
    let exporting = operation.store().workers(1);
    if exporting.count() == 0 {
        return through_file(operation, parent, export);
    }
    let export = Mutex::new(Some(export));
    let left = || export.lock().unwrap_or_else(PoisonError::into_inner).take();
    let filler = Filler::new();
    let piped = pump_filling(
        UNEVEN,
        &filler,
        |inlet| left().expect("it is begun once")(Out::Piped(inlet)),
        |outlet| {
            let applied = operation.apply_sharing(outlet, parent, &filler);
            applied.map_err(|error| Error::store("unpack", error))
        },
    );
    match left() {
        // There was a thread to spare, and the machine had none.
        Some(export) => through_file(operation, parent, export),
        None => piped,
    }
}

/// Does it on this thread alone.
fn through_file(
    operation: &mut Operation,
    parent: Option<LayerId>,
    export: impl FnOnce(Out<'_>) -> Result<(Digest, u64)>,
) -> Result<AppliedLayer> {
    let spool = operation.spool().map_err(|error| Error::store("stage", error))?;
    let mut file = temporary_file(spool.as_fd())?;
    let made = export(Out::Kept(DigestWriter::new(&mut file)))?;
    file.rewind().map_err(|error| Error::io("keep the changeset in a file", error))?;
    let mut exported = Exported { archive: Buffered::new(CHUNK, file), made };
    let applied = operation.apply_digested(&mut exported, parent, None);
    applied.map_err(|error| Error::store("unpack", error))
}

/// The file read, with what is known of it.
struct Exported {
    archive: Buffered<File>,
    made: (Digest, u64),
}

impl Read for Exported {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.archive.read(buffer)
    }
}

impl BufRead for Exported {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.archive.fill_buf()
    }

    fn consume(&mut self, length: usize) {
        self.archive.consume(length);
    }
}

impl Digested for Exported {
    fn digest(&mut self) -> io::Result<(Digest, u64)> {
        Ok(self.made)
    }
}
