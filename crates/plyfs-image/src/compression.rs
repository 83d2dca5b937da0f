//! How a layer or a whole archive is compressed: told by its content, never by its name or media type.
//!
//! A decoder reads to the end of its input: all members of a gzip stream, all frames of a zstd stream, so that
//! the checksums of all of them are verified and nothing hides behind the first (rule 47). Zero bytes after the
//! last gzip member are tape padding, as for gzip(1); anything else there is [`ErrorKind::Corrupt`]. An encoder
//! gives the same bytes for the same input in this version.

mod encoder;
mod gzip;
mod window;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::ops::RangeInclusive;

use flate2::bufread::GzDecoder;
use plyfs_sys::buffer::Buffered;

use crate::error::{Error, ErrorKind, Result};
use crate::layout::CHUNK;
pub(crate) use encoder::Encoder;
pub(crate) use window::WindowLog;

/// The gzip level of layers that are written unless asked otherwise: what docker, podman and gzip(1) use.
const GZIP_LEVEL: u32 = 6;
/// Levels of gzip that may be asked for.
const GZIP_LEVELS: RangeInclusive<u32> = 1..=9;
/// The zstd level of layers that are written unless asked otherwise: zstd(1)'s own.
const ZSTD_LEVEL: u32 = 3;
/// Levels of zstd that may be asked for: those beyond take hundreds of megabytes.
const ZSTD_LEVELS: RangeInclusive<u32> = 1..=19;
/// What libzstd returns for a frame whose window is larger: `ZSTD_error_frameParameter_windowTooLarge`, negated.
const ZSTD_WINDOW_TOO_LARGE: usize = 0_usize.wrapping_sub(16);
/// What an xz stream may make its decoder take: enough for the largest preset, whose dictionary has 64 MiB, and no more
/// (CVE-2025-58058).
#[cfg(feature = "xz")]
const XZ_MEMORY: u64 = 96 << 20;
/// The longest prefix that [`Content::of`] looks at.
pub(crate) const MAGIC_LEN: usize = 6;

/// How layers are compressed on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// Plain archives.
    #[default]
    None,
    /// gzip: every tool reads it.
    Gzip,
    /// zstd: smaller and several times faster; podman reads it, docker since 23.0.
    Zstd,
}

impl Compression {
    /// The levels it has, if it has any.
    #[must_use]
    pub fn levels(self) -> Option<RangeInclusive<u32>> {
        match self {
            Self::None => None,
            Self::Gzip => Some(GZIP_LEVELS),
            Self::Zstd => Some(ZSTD_LEVELS),
        }
    }

    /// What follows the media type of a plain layer.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("{} is no compression: none, gzip or zstd", crate::error::shown(text)),
            )),
        }
    }
}

/// How hard a compression tries; without one it is the compression's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level(Option<u32>);

impl Level {
    /// The level `level` of `compression`; one that it does not have is [`ErrorKind::InvalidInput`].
    pub(crate) fn new(compression: Compression, level: Option<u32>) -> Result<Self> {
        let Some(asked) = level else { return Ok(Self(None)) };
        let Some(levels) = compression.levels() else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("level {asked} without a compression")));
        };
        if levels.contains(&asked) {
            return Ok(Self(level));
        }
        let message = format!("level {asked} of {compression}: {} to {} are there", levels.start(), levels.end());
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    fn gzip(self) -> u32 {
        self.0.unwrap_or(GZIP_LEVEL)
    }

    fn zstd(self) -> i32 {
        i32::try_from(self.0.unwrap_or(ZSTD_LEVEL)).expect("levels are below a hundred")
    }
}

/// What the first bytes of a stream say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Content {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame: zstd:chunked may start with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

/// What follows the media type of a plain layer whose blob starts like this; `None` where no media type says it.
pub(crate) fn suffix_of(start: &[u8]) -> Option<&'static str> {
    match Content::of(start) {
        Content::Gzip => Some(Compression::Gzip.suffix()),
        Content::Zstd => Some(Compression::Zstd.suffix()),
        Content::Plain | Content::Xz | Content::Bzip2 => None,
    }
}

/// The input of a decoder: the bytes looked at, then the rest.
type Input<R> = Buffered<io::Chain<io::Cursor<Vec<u8>>, R>>;

/// The plain bytes of a stream that may be compressed.
///
/// A failure of the input passes through; what is wrong with the stream itself is an [`ErrorKind::Corrupt`]
/// inside the `io::Error`.
pub(crate) enum Decoder<R: Read> {
    /// Not compressed.
    Plain(Input<R>),
    /// In the middle of a gzip member.
    Gzip(Box<GzDecoder<Input<R>>>),
    /// After the last gzip member, which the checksum confirmed.
    GzipEnd,
    /// zstd; libzstd goes from frame to frame by itself. Its limit, and the window of its first frame.
    Zstd(Box<zstd::stream::read::Decoder<'static, Input<R>>>, WindowLog, Option<u64>),
    /// xz, all streams of it.
    #[cfg(feature = "xz")]
    Xz(Box<liblzma::bufread::XzDecoder<Input<R>>>),
    /// bzip2, all streams of it.
    #[cfg(feature = "bzip2")]
    Bzip2(Box<bzip2::bufread::MultiBzDecoder<Input<R>>>),
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({})", self.name())
    }
}

impl<R: Read> Decoder<R> {
    /// Looks at the first bytes of `input` and chooses; xz and bzip2 are [`ErrorKind::Unsupported`] without their
    /// features.
    pub(crate) fn new(mut input: R, window: WindowLog) -> Result<Self> {
        let mut start = Vec::with_capacity(window::MAX_HEADER);
        let read = input.by_ref().take(window::MAX_HEADER as u64).read_to_end(&mut start);
        read.map_err(|error| Error::io("read the first bytes", error))?;
        let (content, asked) = (Content::of(&start), window::asked(&start));
        let input = Buffered::new(CHUNK, io::Cursor::new(start).chain(input));
        #[cfg(not(all(feature = "xz", feature = "bzip2")))]
        let unsupported = |name| Err(Error::new(ErrorKind::Unsupported, format!("{name} compression")));
        match content {
            Content::Plain => Ok(Self::Plain(input)),
            Content::Gzip => Ok(Self::Gzip(Box::new(GzDecoder::new(input)))),
            Content::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(input).and_then(|mut decoder| {
                    decoder.window_log_max(window.0)?;
                    Ok(decoder)
                });
                let decoder = decoder.map_err(|error| Error::io("start a zstd decoder", error))?;
                Ok(Self::Zstd(Box::new(decoder), window, asked))
            }
            #[cfg(feature = "xz")]
            Content::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED);
                let stream = stream.map_err(|error| Error::io("start an xz decoder", error.into()))?;
                Ok(Self::Xz(Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))))
            }
            #[cfg(feature = "bzip2")]
            Content::Bzip2 => Ok(Self::Bzip2(Box::new(bzip2::bufread::MultiBzDecoder::new(input)))),
            #[cfg(not(feature = "xz"))]
            Content::Xz => unsupported("xz"),
            #[cfg(not(feature = "bzip2"))]
            Content::Bzip2 => unsupported("bzip2"),
        }
    }

    /// Says whether the stream is not compressed.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// How many bytes of what it decompressed it keeps, as far as that may be many and the stream begins by saying so.
    pub(crate) fn window(&self) -> u64 {
        match self {
            Self::Zstd(_, most, asked) => asked.unwrap_or(1 << most.0),
            _ => 0,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Plain(_) => "plain",
            Self::Gzip(_) | Self::GzipEnd => "gzip",
            Self::Zstd(..) => "zstd",
            #[cfg(feature = "xz")]
            Self::Xz(_) => "xz",
            #[cfg(feature = "bzip2")]
            Self::Bzip2(_) => "bzip2",
        }
    }

    /// Reads from the current gzip member, or goes on to the next one.
    fn read_gzip(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Self::Gzip(member) = self else { return Ok(0) };
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Self::Gzip(member) = std::mem::replace(self, Self::GzipEnd) else { return Ok(0) };
            let mut rest = member.into_inner();
            if another_member_follows(&mut rest)? {
                *self = Self::Gzip(Box::new(GzDecoder::new(rest)));
            }
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(input) => return input.read(buffer),
            Self::Gzip(_) | Self::GzipEnd => self.read_gzip(buffer),
            Self::Zstd(decoder, ..) => decoder.read(buffer),
            #[cfg(feature = "xz")]
            Self::Xz(decoder) => decoder.read(buffer),
            #[cfg(feature = "bzip2")]
            Self::Bzip2(decoder) => decoder.read(buffer),
        };
        read.map_err(|error| self.judge(error))
    }
}

impl<R: Read> Decoder<R> {
    /// Tells a failed input, which is passed on, from a stream that is not what it should be.
    fn judge(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted || crate::error::is_from_below(&error) {
            return error;
        }
        if let Self::Zstd(_, most, asked) = self
            && error.to_string() == zstd::zstd_safe::get_error_name(ZSTD_WINDOW_TOO_LARGE)
        {
            return most.exceeded(*asked).into_io();
        }
        #[cfg(feature = "xz")]
        if wants_too_much(&error) {
            let message = format!("the xz stream asks for more than {} MiB of memory", XZ_MEMORY >> 20);
            return Error::new(ErrorKind::InvalidInput, message).into_io();
        }
        let problem = if error.kind() == io::ErrorKind::UnexpectedEof { "cut off" } else { "garbled" };
        Error::new(ErrorKind::Corrupt, format!("the {} stream is {problem}", self.name())).because(error).into_io()
    }
}

#[cfg(feature = "xz")]
fn wants_too_much(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    matches!(inner, Some(liblzma::stream::Error::MemLimit))
}

/// Says whether more compressed data follows a gzip member; zeros up to the end are padding.
fn another_member_follows(input: &mut impl BufRead) -> io::Result<bool> {
    let mut padded = false;
    loop {
        let next = input.fill_buf()?;
        match next {
            [] => return Ok(false),
            [0, ..] => padded = true,
            [0x1f, ..] if !padded => return Ok(true),
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "bytes that are no gzip follow the last member",
                ));
            }
        }
        let zeros = next.iter().take_while(|byte| **byte == 0).count();
        input.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::window::ZSTD_WINDOW_LOG;
    use super::*;

    fn packed(compression: Compression, plain: &[u8]) -> Vec<u8> {
        packed_by(compression, Level::default(), 2, plain)
    }

    fn packed_by(compression: Compression, level: Level, threads: usize, plain: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(compression, level, threads, Vec::new()).expect("an encoder");
        encoder.write_all(plain).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        Decoder::new(packed, WindowLog::default())?
            .read_to_end(&mut plain)
            .map_err(|error| Error::io("decode", error))?;
        Ok(plain)
    }

    fn sample() -> Vec<u8> {
        (0..700_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect()
    }

    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    #[test]
    fn what_is_packed_is_unpacked_whatever_the_compression() {
        for compression in ALL {
            for plain in [sample(), Vec::new(), b"x".to_vec()] {
                let bytes = packed(compression, &plain);
                assert!(unpacked(&bytes).expect("unpacked") == plain, "{compression}, {} bytes", plain.len());
            }
        }
    }

    #[test]
    fn packing_twice_gives_the_same_bytes_however_many_threads_help() {
        let plain = sample().repeat(4);
        for compression in ALL {
            let alone = packed_by(compression, Level::default(), 0, &plain);
            for threads in [1, 2, 5] {
                assert!(alone == packed_by(compression, Level::default(), threads, &plain), "{compression}, {threads}");
            }
        }
    }

    #[test]
    fn no_level_of_zstd_remembers_more_than_two_megabytes_and_each_gives_the_same_bytes_by_any_threads() {
        // A few jobs of any level, and words that come again.
        let words: Vec<u8> =
            (0..700_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 16).to_le_bytes()).collect();
        for level in ZSTD_LEVELS {
            let packed = |threads| {
                let level = Level::new(Compression::Zstd, Some(level)).expect("a level");
                packed_by(Compression::Zstd, level, threads, &words)
            };
            let bytes = packed(1);
            // The magic number, the descriptor of a frame whose length nobody knew, then that of its window.
            assert_eq!(bytes[4] & 0xe0, 0, "level {level}: neither a length nor a single segment");
            assert!(10 + (bytes[5] >> 3) <= 21, "level {level}: a window of 2^{}", 10 + (bytes[5] >> 3));
            if [1, 9, 13, 19].contains(&level) {
                assert!(bytes == packed(4), "level {level}");
            }
        }
    }

    #[test]
    fn a_higher_level_packs_tighter_and_one_that_is_not_there_is_refused() {
        // Words that come again at no regular distance: what levels differ in.
        let words: String = (0..60_000u32).map(|n| format!("{} ", n.wrapping_mul(2_654_435_761) >> 22)).collect();
        for (compression, low, high) in [(Compression::Gzip, 1, 9), (Compression::Zstd, 1, 19)] {
            let size = |level| {
                let level = Level::new(compression, Some(level)).expect("a level");
                packed_by(compression, level, 1, words.as_bytes()).len()
            };
            assert!(size(high) < size(low), "{compression}");
            for level in [0, high + 1] {
                let error = Level::new(compression, Some(level)).expect_err("refused");
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
        }
        assert_eq!(Level::new(Compression::None, Some(3)).expect_err("refused").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn all_gzip_members_and_all_zstd_frames_are_read() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let both =
                [packed(compression, b"first "), packed(compression, b""), packed(compression, b"second")].concat();
            assert_eq!(unpacked(&both).expect("unpacked"), b"first second", "{compression}");
        }
    }

    #[test]
    fn skippable_zstd_frames_are_skipped_wherever_they_stand() {
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"toc"].concat();
        let frame = packed(Compression::Zstd, b"content");
        let stream = [&skippable[..], &frame, &skippable, &frame, &skippable].concat();
        assert_eq!(unpacked(&stream).expect("unpacked"), b"contentcontent");
    }

    #[test]
    fn zeros_after_gzip_are_padding_and_anything_else_is_not() {
        let member = packed(Compression::Gzip, b"content");
        let padded = [&member[..], &[0; 1000]].concat();
        assert_eq!(unpacked(&padded).expect("padding is fine"), b"content");
        for tail in [&b"tail"[..], b"\0\0tail", b"\0\x1f\x8b", b"\x1f\x8b", b"\x1ftail of some length"] {
            let error = unpacked(&[&member[..], tail].concat()).expect_err("no padding");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", tail.escape_ascii());
        }
    }

    #[test]
    fn a_stream_cut_anywhere_is_corrupt() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let whole = packed(compression, &sample()[..5000]);
            for length in MAGIC_LEN..whole.len() {
                let error = unpacked(&whole[..length]).expect_err("cut off");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{compression} cut at {length}");
            }
        }
    }

    #[test]
    fn one_flipped_bit_is_noticed() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let whole = packed(compression, &sample());
            for place in [whole.len() / 3, whole.len() / 2, whole.len() - 2] {
                let mut bad = whole.clone();
                bad[place] ^= 0x10;
                assert_eq!(unpacked(&bad).expect_err("garbled").kind(), ErrorKind::Corrupt, "{compression} at {place}");
            }
        }
    }

    /// What xz(1) and bzip2(1) make of `plain`.
    #[cfg(any(feature = "xz", feature = "bzip2"))]
    fn packed_elsewhere(program: &str, arguments: &[&str], plain: &[u8]) -> Vec<u8> {
        use std::process::{Command, Stdio};
        let mut command = Command::new(program);
        let child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("Debian has it");
        let mut stdin = child.stdin.take().expect("piped");
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(plain).expect("it reads"));
            child.wait_with_output().expect("it ends").stdout
        })
    }

    #[test]
    #[cfg(any(feature = "xz", feature = "bzip2"))]
    fn what_xz_and_bzip2_pack_is_unpacked_whole_and_damage_is_told() {
        let plain = sample();
        let programs: &[(&str, &[&str])] = &[
            #[cfg(feature = "xz")]
            ("xz", &["-1", "-c"]),
            #[cfg(feature = "bzip2")]
            ("bzip2", &["-1", "-c"]),
        ];
        for (program, arguments) in programs {
            let one = packed_elsewhere(program, arguments, &plain);
            assert!(unpacked(&one).expect("unpacked") == plain, "{program}");
            let two = [&one[..], &packed_elsewhere(program, arguments, b"more")].concat();
            assert!(unpacked(&two).expect("unpacked") == [&plain[..], b"more"].concat(), "{program}, two streams");
            for length in [MAGIC_LEN, one.len() / 2, one.len() - 1] {
                let error = unpacked(&one[..length]).expect_err("cut off");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{program} cut at {length}: {error}");
            }
            let mut bad = one.clone();
            bad[one.len() / 2] ^= 4;
            assert_eq!(unpacked(&bad).expect_err("garbled").kind(), ErrorKind::Corrupt, "{program}");
        }
    }

    #[test]
    #[cfg(feature = "xz")]
    fn cve_2025_58058_an_xz_stream_that_wants_a_huge_dictionary_is_refused() {
        let huge = packed_elsewhere("xz", &["--lzma2=dict=512MiB,mode=fast", "-c"], b"small");
        let error = unpacked(&huge).expect_err("it asks for too much");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    }

    #[test]
    fn a_zstd_stream_that_wants_a_larger_window_than_is_allowed_is_refused_by_the_name_of_the_limit() {
        let with_window = |log| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(log).and_then(|()| encoder.include_contentsize(false)).expect("a window");
            encoder.write_all(b"small").expect("memory takes it");
            encoder.finish().expect("memory takes it")
        };
        let decoded = |log, most| {
            let mut plain = Vec::new();
            let mut decoder = Decoder::new(io::Cursor::new(with_window(log)), WindowLog::new(most)).expect("a decoder");
            decoder.read_to_end(&mut plain).map(|_| plain).map_err(|error| Error::io("decode", error))
        };
        assert_eq!(decoded(ZSTD_WINDOW_LOG, ZSTD_WINDOW_LOG).expect("allowed"), b"small");
        assert_eq!(decoded(27, 27).expect("asked for"), b"small");
        assert_eq!(decoded(10, 0).expect("the least there is"), b"small");
        for (log, most, limit) in [(26, ZSTD_WINDOW_LOG, 25), (24, 23, 23), (26, 0, 10), (26, 9, 10)] {
            let error = decoded(log, most).expect_err("too large");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
            let source = std::error::Error::source(&error).expect("a cause").to_string();
            let (asked, limit) = (1 << log, 1 << limit);
            let expected = format!("the zstd stream asks for a window of {asked} bytes, and {limit} are the most");
            assert_eq!(source, expected);
        }
        // Behind a frame that may be read.
        let both = [with_window(10), with_window(26)].concat();
        let mut decoder = Decoder::new(io::Cursor::new(both), WindowLog::default()).expect("a decoder");
        let error = decoder.read_to_end(&mut Vec::new()).expect_err("too large").to_string();
        assert_eq!(error, "the zstd stream asks for a window of more than 33554432 bytes, which are the most");
    }

    #[test]
    #[cfg(not(any(feature = "xz", feature = "bzip2")))]
    fn xz_and_bzip2_are_refused_by_name() {
        for (start, name) in [(&b"\xfd7zXZ\0rest"[..], "xz"), (b"BZh91AY", "bzip2")] {
            let error = unpacked(start).expect_err("refused");
            assert_eq!((error.kind(), error.to_string().contains(name)), (ErrorKind::Unsupported, true));
        }
    }

    #[test]
    fn a_failing_input_is_not_taken_for_a_garbled_stream() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::new(ErrorKind::Cancelled, "stopped").into_io())
            }
        }
        let start = packed(Compression::Gzip, &sample());
        let mut decoder = Decoder::new(start[..1000].chain(Broken), WindowLog::default()).expect("gzip");
        let error = decoder.read_to_end(&mut Vec::new()).expect_err("the input failed");
        assert_eq!(Error::io("decode", error).kind(), ErrorKind::Cancelled);
    }
}
