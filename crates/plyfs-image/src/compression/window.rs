//! The windows of zstd streams: how much their decoders keep in memory, and what is told of a stream that asks for more.

use crate::error::{Error, ErrorKind};

/// The largest zstd window accepted unless asked otherwise, as a power of two: 32 MiB, what level 20 of zstd(1) uses.
pub(super) const ZSTD_WINDOW_LOG: u32 = 25;
/// The longest header of a frame (RFC 8878, section 3.1.1): magic, descriptor, window, dictionary id, size of the content.
pub(super) const MAX_HEADER: usize = 4 + 1 + 1 + 4 + 8;

/// The largest window a zstd stream may have, as a power of two; its decoder keeps as much in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowLog(pub(crate) u32);

impl WindowLog {
    /// The largest that libzstd reads.
    pub(crate) const MOST: Self = Self(31);

    /// The window asked for, or the nearest that libzstd reads: it takes 0 for a default of its own, and refuses 1 to 9.
    pub(crate) fn new(log: u32) -> Self {
        Self(log.clamp(10, Self::MOST.0))
    }

    /// The error of a stream with a larger window, whose first frame asks for `first` bytes where that is known.
    pub(super) fn exceeded(self, first: Option<u64>) -> Error {
        let most = 1_u64 << self.0;
        // Where the first frame is within the limit, a later one was not.
        let asked = match first.filter(|first| *first > most) {
            Some(first) => format!("{first} bytes, and {most} are the most"),
            None => format!("more than {most} bytes, which are the most"),
        };
        Error::new(ErrorKind::InvalidInput, format!("the zstd stream asks for a window of {asked}"))
    }
}

impl Default for WindowLog {
    fn default() -> Self {
        Self(ZSTD_WINDOW_LOG)
    }
}

/// The window that a frame asks for, told by its first bytes; `None` of one that is skipped or cut off.
pub(super) fn asked(start: &[u8]) -> Option<u64> {
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = start else { return None };
    if descriptor & 0x20 == 0 {
        let window = *rest.first()?;
        let base = 1_u64.checked_shl(10 + u32::from(window >> 3))?;
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A frame of a single segment keeps its whole content.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = 1 << (descriptor >> 6);
    let field = rest.get(dictionary..dictionary + length)?;
    let content = field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    Some(if length == 2 { content + 256 } else { content })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_window_of_a_frame_is_told_by_its_header() {
        let packed = |log, size: Option<usize>| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(log).expect("a window");
            encoder.include_contentsize(size.is_some()).expect("a flag");
            encoder.set_pledged_src_size(size.map(|size| size as u64)).expect("a size");
            encoder.write_all(&vec![b'x'; size.unwrap_or(5)]).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        };
        for log in [10, 25, 27, 31] {
            assert_eq!(asked(&packed(log, None)), Some(1 << log), "{log}");
        }
        for size in [3, 255, 256, 300, 70_000] {
            assert_eq!(asked(&packed(25, Some(size))), Some(size as u64), "a single segment of {size} bytes");
        }
        assert_eq!(asked(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0b0001_1011]), Some((1 << 13) + 3 * (1 << 10)));
        for cut in
            [&b"\x50\x2a\x4d\x18\0\0\0\0"[..], b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\0", b"\x28\xb5\x2f\xfd\xe0\0"]
        {
            assert_eq!(asked(cut), None, "{}", cut.escape_ascii());
        }
    }
}
