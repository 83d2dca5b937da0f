//! Files of a journal whose checksums are right: wrong as a bug would write them, or of another version.

/// Bytes of a page.
const PAGE: usize = 4096;

/// Makes the head of a journal that of the next version, in the file's bytes.
pub fn next_version(head: &mut [u8]) {
    let (body, checksum) = head.split_at_mut(head.len() - 4);
    body[8] += 1;
    checksum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// Makes the table of a run one that names no key, from the file's bytes.
pub fn empty_table(run: &mut [u8]) {
    let footer = run.len() - 64;
    let number = |at: usize| {
        let bytes = run[footer + at..][..8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("a length in memory")
    };
    let (blocks, index) = (number(24), number(32));
    let table = index + blocks.div_ceil(127) * PAGE;
    assert!(table < footer, "the run has a table");
    for page in run[table..footer].as_chunks_mut::<PAGE>().0 {
        let (slots, checksum) = page.split_at_mut(PAGE - 4);
        slots.fill(0);
        checksum.copy_from_slice(&crc32fast::hash(slots).to_le_bytes());
    }
}
