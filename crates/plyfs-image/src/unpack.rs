//! Turns changeset archives, compressed or not, into layers of an operation.

use std::io::{self, Read};

use plyfs_store::{AppliedLayer, LayerId, Operation};

use crate::compression::{Decoder, WindowLog};
use crate::error::{Error, Result};
use crate::flow::{EVEN, pump};
use crate::patience::Unwanted;

/// Where what is compressed is decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decompression {
    /// On a thread of its own, so that it overlaps with hashing and writing.
    Aside,
    /// On the thread that hashes and writes, which others do for other layers meanwhile.
    InLine,
}

/// Unpacks `input`, read to its end, into a layer upon `parent`; what is compressed is decompressed aside.
///
/// When unpacking fails, `unwanted` is said: `input` may wait for more on the other thread. When `input` fails, or is not what its compression says, its error is the one returned, under the name `what`.
pub(crate) fn unpack(
    operation: &mut Operation,
    input: impl Read + Send,
    unwanted: &Unwanted,
    parent: Option<LayerId>,
    window: WindowLog,
    what: &str,
) -> Result<AppliedLayer> {
    decompressed(input, window, Decompression::Aside, what, |archive| {
        let applied = operation.apply(archive, parent, None).inspect_err(|_| unwanted.say());
        applied.map_err(|error| Error::store("unpack", error))
    })
}

/// Hands the plain bytes of `input` to `apply`, which reads them to their end.
pub(crate) fn decompressed<T>(
    input: impl Read + Send,
    window: WindowLog,
    decompression: Decompression,
    what: &str,
    apply: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<T> {
    let unreadable = |error| Error::io(format!("read {what}"), error);
    let mut decoder = Decoder::new(input, window).map_err(|error| Error::wrap(format!("read {what}"), error))?;
    if decoder.is_plain() || decompression == Decompression::InLine {
        let mut noted = Noted { inner: &mut decoder, failure: None };
        let applied = apply(&mut noted);
        return match noted.failure {
            Some(failure) => Err(unreadable(failure)),
            None => applied,
        };
    }
    pump(EVEN, |inlet| inlet.fill_from(&mut decoder).map_err(unreadable), |outlet| apply(outlet))
}

/// A reader that keeps its failure, which the layers in between would only describe.
struct Noted<R> {
    inner: R,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Noted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            let stands_for_it = io::Error::from(error.kind());
            self.failure = Some(error);
            stands_for_it
        })
    }
}
