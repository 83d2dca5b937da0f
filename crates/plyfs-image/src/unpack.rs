//! Turns changeset archives, compressed or not, into layers of an operation.

use std::io::Read;

use plyfs_diff::{DigestReader, Digested, digested};
use plyfs_store::{AppliedLayer, LayerId, Operation};

use crate::asked::Asked;
use crate::compression::{Decoder, WindowLog};
use crate::error::{Error, Result};
use crate::handover::{Helpers, handed_over};
use crate::patience::Unwanted;
use crate::windows::Windows;

/// Unpacks `input`, read to its end, into a layer upon `parent`.
///
/// When unpacking fails, `unwanted` is said: `input` may wait for more on another thread. When `input` fails, or is not what its
/// compression says, its error is the one returned, under the name of what is `asked` about.
pub(crate) fn unpack(
    operation: &mut Operation,
    input: impl Read + Send,
    asked: &Asked<'_>,
    unwanted: &Unwanted,
    parent: Option<LayerId>,
    window: WindowLog,
) -> Result<AppliedLayer> {
    let worker = operation.store().workers(1);
    let input = asked.reader(input);
    decompressed(input, asked, &Windows::up_to(window), &Helpers::of(worker.count()), asked.item(), |archive| {
        let applied = operation.apply_digested(archive, parent, None).inspect_err(|_| unwanted.say());
        applied.map_err(|error| Error::store("unpack", error))
    })
}

/// Hands the plain bytes of `input` to `apply`, which reads them to their end.
///
/// `input` [asks](Asked::reader) while it is read; it is `asked` also where it gives plain bytes for long without being read.
/// Where one of `helpers` is free it decompresses, or digests what is plain: the dearest that can be done apart from writing.
pub(crate) fn decompressed<'e, T>(
    input: impl Read + Send + 'e,
    asked: &Asked<'e>,
    windows: &Windows,
    helpers: &Helpers<'e>,
    what: &str,
    apply: impl FnOnce(&mut dyn Digested) -> Result<T>,
) -> Result<T> {
    let unreadable = |error| Error::io(format!("read {what}"), error);
    let decoder = Decoder::new(input, windows.most).map_err(|error| Error::wrap(format!("read {what}"), error))?;
    let _turn = windows.wait(decoder.window(), asked)?;
    if decoder.is_plain() {
        return handed_over(DigestReader::new(decoder), helpers, unreadable, |plain| apply(plain));
    }
    handed_over(asked.plain(decoder), helpers, unreadable, |plain| apply(&mut digested(plain)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use plyfs_store::{Progress, Stage};

    use super::*;
    use crate::at_once::Stop;
    use crate::error::ErrorKind;

    #[test]
    fn a_stream_with_a_wide_window_waits_while_another_has_one() {
        let packed = |log| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(log).expect("a window");
            encoder.write_all(b"content").expect("memory takes it");
            encoder.finish().expect("memory takes it")
        };
        let (windows, stop) = (Windows::up_to(WindowLog::MOST), Stop::default());
        let asked = Asked::new(Progress::none(), Stage::Unpack, "layer", None, Some(&stop));
        let _turn = windows.wait(u64::MAX, &asked).expect("the first");
        stop.say();
        let read = |bytes: &[u8]| {
            decompressed(bytes, &asked, &windows, &Helpers::default(), "it", |plain| {
                let mut all = Vec::new();
                plain.read_to_end(&mut all).map(|_| all).map_err(|error| Error::io("read", error))
            })
        };
        assert_eq!(read(&packed(23)).expect("it waits for nobody"), b"content");
        assert_eq!(read(&packed(25)).expect_err("it would wait").kind(), ErrorKind::Cancelled);
    }
}
