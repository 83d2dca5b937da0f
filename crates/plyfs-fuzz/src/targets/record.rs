//! A record of the journal: bytes that are read have no other spelling.

use plyfs_journal::Record;

pub(crate) fn run(data: &[u8]) {
    let Ok(record) = Record::decode(data) else { return };
    assert_eq!(record.encode(), data, "one record has one encoding");
    for tag in 0..64 {
        // Of the wrong type is an error, and never a panic.
        let _ = (record.u64(tag), record.text(tag));
    }
}
