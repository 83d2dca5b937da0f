//! Large files handed to the disk while the archive is still read.
//!
//! Where everything is synced in the end, a disk that was idle until then is waited for. The few large files of an archive
//! are most of its bytes, so that a call for each of them is cheap; what is small stays for the kernel to put together.

use std::fs::File;

use plyfs_sys::fs;

/// Shorter files are left to the kernel.
const LARGE: u64 = 64 << 10;
/// What is handed over at a time of a file that goes on.
const PART: u64 = 8 << 20;

/// How much of one file was written, and how much of that the disk was told of.
#[derive(Debug, Default)]
pub(super) struct Writeback {
    written: u64,
    started: u64,
}

impl Writeback {
    /// Notes `length` bytes more, and hands them over once there are enough.
    pub(super) fn wrote(&mut self, file: &File, length: usize) -> plyfs_sys::Result<()> {
        self.written += length as u64;
        if self.written - self.started < PART { Ok(()) } else { self.start(file) }
    }

    /// Hands over what is left of a large file.
    pub(super) fn end(&mut self, file: &File) -> plyfs_sys::Result<()> {
        if self.written < LARGE || self.started == self.written { Ok(()) } else { self.start(file) }
    }

    fn start(&mut self, file: &File) -> plyfs_sys::Result<()> {
        fs::start_writing(file, self.started, self.written - self.started)?;
        self.started = self.written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_handed_over_in_parts_and_a_small_one_is_not() {
        let file = tempfile::tempfile().expect("a temporary file");
        let handed = |pieces: &[u64]| {
            let mut writeback = Writeback::default();
            let mut handed = Vec::new();
            for piece in pieces {
                writeback.wrote(&file, usize::try_from(*piece).expect("it fits")).expect("handed over");
                handed.push(writeback.started);
            }
            writeback.end(&file).expect("handed over");
            handed.push(writeback.started);
            handed
        };
        assert_eq!(handed(&[LARGE - 1]), [0, 0], "too small");
        assert_eq!(handed(&[LARGE / 2, LARGE / 2]), [0, 0, LARGE], "large at its end");
        assert_eq!(handed(&[PART - 1, 1, 7]), [0, PART, PART, PART + 7], "in parts, and what is left");
        assert_eq!(handed(&[PART]), [PART, PART], "nothing is left");
    }

    #[test]
    fn what_the_kernel_refuses_is_told() {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        let error = Writeback::default().wrote(&pipe, PART as usize).expect_err("a pipe has no range");
        assert_eq!(error.errno(), rustix::io::Errno::SPIPE);
    }
}
