//! Content written so that stretches of zeros take no space (rule 42).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

/// The unit in which file systems leave holes.
const HOLE: usize = 4096;

/// Writes `piece` where the file stands, passing over whole units of it that are zero.
///
/// Pieces end anywhere, so that a unit over two of them is written; nothing is lost by that but a hole.
pub(super) fn write(file: &File, piece: &[u8]) -> io::Result<()> {
    let mut file = file;
    let mut rest = piece;
    while !rest.is_empty() {
        let zeros = rest.chunks(HOLE).take_while(|unit| unit.len() == HOLE && is_zero(unit)).count() * HOLE;
        if zeros > 0 {
            file.seek(SeekFrom::Current(i64::try_from(zeros).expect("a piece is short")))?;
            rest = &rest[zeros..];
        }
        let data = rest.chunks(HOLE).take_while(|unit| unit.len() < HOLE || !is_zero(unit)).map(<[u8]>::len).sum();
        file.write_all(&rest[..data])?;
        rest = &rest[data..];
    }
    Ok(())
}

fn is_zero(unit: &[u8]) -> bool {
    // Compared with itself one byte on, which is one call of memcmp.
    unit[0] == 0 && unit[1..] == unit[..unit.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_pieces_reads_the_same_and_zeros_take_no_space() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut content = vec![0; 40 * HOLE + 100];
        for at in [5, 3 * HOLE - 1, 30 * HOLE, 40 * HOLE + 99] {
            content[at] = 7;
        }
        content.extend(vec![0; 9 * HOLE]);
        for length in [1000, HOLE, 3 * HOLE + 1, content.len()] {
            let path = temp.path().join(length.to_string());
            let file = File::create(&path).expect("a file");
            content.chunks(length).try_for_each(|piece| write(&file, piece)).expect("written");
            file.set_len(content.len() as u64).expect("the length");
            assert!(std::fs::read(&path).expect("read") == content, "{length}");
        }
        let blocks = |name: usize| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(temp.path().join(name.to_string())).expect("a status").blocks()
        };
        assert!(blocks(content.len()) < 10 * HOLE as u64 / 512, "{} blocks", blocks(content.len()));
    }
}
