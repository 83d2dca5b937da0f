//! A layer's record inside its tar-split record, so that directories alone are enough to rebuild the journal.
//!
//! The file is one zstd frame of JSON lines, and behind it a *skippable frame*, which every zstd reader passes over:
//!
//! ```text
//!  0  4  0x184d2a5f, little-endian
//!  4  4  bytes of the frame behind this field
//!  8  n  the layer's record, as the journal has it
//!     8  the first bytes of the record's SHA-256
//!     4  bytes of the whole frame
//!     4  "plyl"
//! ```
//!
//! It is found from the end of the file. A file without one is that of an earlier version or of another program; what it
//! would say is worked out from the layer then.

use std::fs::File;
use std::os::unix::fs::FileExt;

use plyfs_diff::Digest;
use plyfs_link::LayerId;

use crate::record::LayerRecord;

/// One of the sixteen numbers that zstd sets apart for frames to be skipped.
const SKIPPABLE: u32 = 0x184d_2a5f;
const MAGIC: &[u8; 4] = b"plyl";
const HEADER: usize = 8;
const TRAILER: usize = 16;
/// Far above any record; a longer frame is none of ours.
const MAX: u64 = 64 * 1024;

/// The frame that describes a layer.
pub(crate) fn frame(layer: &LayerRecord) -> Vec<u8> {
    let record = layer.encode();
    let number = |length: usize| u32::try_from(length).expect("a record of a few hundred bytes").to_le_bytes();
    let whole = HEADER + record.len() + TRAILER;
    [
        &SKIPPABLE.to_le_bytes()[..],
        &number(whole - HEADER),
        &record,
        &Digest::of(&record).as_bytes()[..8],
        &number(whole),
        MAGIC,
    ]
    .concat()
}

/// The description at the end of a layer's tar-split record; `None` where there is no sound one.
pub(crate) fn read(file: &File, layer: LayerId) -> std::io::Result<Option<LayerRecord>> {
    let size = file.metadata()?.len();
    let mut tail = [0; 8];
    if size < (HEADER + TRAILER) as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut tail, size - 8)?;
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if &tail[4..] != MAGIC || length > size.min(MAX) || length < (HEADER + TRAILER) as u64 {
        return Ok(None);
    }
    let mut frame = vec![0; usize::try_from(length).expect("bounded above")];
    file.read_exact_at(&mut frame, size - length)?;
    let (record, trailer) = frame[HEADER..].split_at(frame.len() - HEADER - TRAILER);
    let is_sound = frame.starts_with(&SKIPPABLE.to_le_bytes()) && Digest::of(record).as_bytes()[..8] == trailer[..8];
    Ok(if is_sound { LayerRecord::decode(layer, record).ok() } else { None })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use plyfs_diff::Usage;
    use plyfs_link::LinkId;

    use super::*;

    fn layer() -> LayerRecord {
        LayerRecord {
            id: LayerId::random(),
            link: LinkId::random(),
            parent: Some(LayerId::random()),
            diff_id: Some(Digest::of(b"diff")),
            chain_id: Some(Digest::of(b"chain")),
            own: Usage { apparent: 1, allocated: 2, inodes: 3 },
            chain: Usage { apparent: 4, allocated: 5, inodes: 6 },
            depth: 2,
            archive_size: Some(1024),
            created: 7,
            blobs: Vec::new(),
            rest: plyfs_journal::Record::default(),
        }
    }

    fn described(bytes: &[u8], layer: LayerId) -> Option<LayerRecord> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        read(&file, layer).expect("read")
    }

    #[test]
    fn a_description_reads_back_and_zstd_passes_over_it() {
        let layer = layer();
        let mut bytes = zstd::encode_all(&b"{}\n"[..], 1).expect("compressed");
        bytes.extend(frame(&layer));
        let back = described(&bytes, layer.id).expect("described");
        assert_eq!(back.encode(), layer.encode());
        let mut text = String::new();
        let decoder = zstd::Decoder::new(bytes.as_slice()).expect("zstd");
        std::io::BufReader::new(decoder).read_to_string(&mut text).expect("decompressed");
        assert_eq!(text, "{}\n");
    }

    #[test]
    fn no_byte_of_a_description_can_change_unnoticed() {
        let layer = layer();
        let sound = frame(&layer);
        for at in (0..4).chain(8..sound.len()) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert!(described(&bytes, layer.id).is_none(), "byte {at}");
        }
        for length in 0..sound.len() {
            assert!(described(&sound[..length], layer.id).is_none(), "{length} bytes");
        }
    }
}
