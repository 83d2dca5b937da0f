//! A journal whose files someone has changed: opened, read, written to, opened again; damage is an error.
//!
//! The input says where the files of a sound journal are overwritten. Checksums are made right again afterwards, since no
//! fuzzer guesses them: what they protect is then read as if it were sound.

use std::sync::{Arc, OnceLock};

use plyfs_journal::{Error, Journal, Options};

use crate::disk::{Files, MemoryDisk};

static SOUND: OnceLock<Files> = OnceLock::new();

pub(crate) fn run(data: &[u8]) {
    let mut files = SOUND.get_or_init(sound).clone();
    edit(&mut files, data);
    seal(&mut files);
    let disk = Arc::new(MemoryDisk::new(files));
    read(&disk, Options::default().read_only(true));
    let Ok(journal) = Journal::open(Arc::clone(&disk) as _, Options::default()) else { return };
    let written = journal.write(|changes| {
        changes.put(b"new", b"value");
        Ok::<_, Error>(())
    });
    if written.is_ok() {
        let again = Journal::open(disk, Options::default()).expect("what was written to can be opened");
        let snapshot = again.snapshot().expect("a snapshot");
        assert_eq!(
            snapshot.get(b"new").expect("read").as_deref(),
            Some(&b"value"[..]),
            "an acknowledged write is there"
        );
    }
}

fn read(disk: &Arc<MemoryDisk>, options: Options) {
    let Ok(journal) = Journal::open(Arc::clone(disk) as _, options) else { return };
    let Ok(snapshot) = journal.snapshot() else { return };
    let mut last: Option<Vec<u8>> = None;
    for item in snapshot.scan(b"") {
        let Ok((key, _)) = item else { return };
        assert!(last.as_deref().is_none_or(|last| last < &*key), "a scan goes up");
        last = Some(key.to_vec());
    }
    for key in [&b"key-0001"[..], b"key-0040", b"none"] {
        let _ = snapshot.get(key);
    }
}

/// Six bytes an edit: which file, where (as a share of it), how many bytes; then the bytes.
fn edit(files: &mut Files, mut data: &[u8]) {
    let names: Vec<String> = files.keys().cloned().collect();
    while let Some(([file, length, at @ ..], rest)) = data.split_first_chunk::<6>() {
        let bytes = files.get_mut(&names[usize::from(*file) % names.len()]).expect("listed");
        let at = u32::from_le_bytes(*at) as usize % (bytes.len() + 1);
        let (new, rest) = rest.split_at(rest.len().min(usize::from(length & 0x7f)));
        if length & 0x80 != 0 {
            bytes.truncate(at);
        }
        let end = at + new.len();
        if end > bytes.len() {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(new);
        data = rest;
    }
}

fn seal(files: &mut Files) {
    for (name, bytes) in files {
        if name == "head" || name == "synced" {
            seal_end(bytes);
        } else if name.ends_with(".log") {
            bytes.chunks_exact_mut(512).for_each(seal_block);
        } else if name.ends_with(".run") {
            seal_run(bytes);
        }
    }
}

fn seal_end(bytes: &mut [u8]) {
    if let Some(end) = bytes.len().checked_sub(4) {
        let sum = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
    }
}

fn seal_block(block: &mut [u8]) {
    if block.iter().any(|&byte| byte != 0) {
        let sum = crc32fast::hash(&block[4..]);
        block[..4].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Index pages and the footer; the checksums of data blocks are in the index and stay as they are.
fn seal_run(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(64) else { return };
    let index = u64::from_le_bytes(bytes[footer + 32..footer + 40].try_into().expect("eight bytes"));
    if let Some(pages) = usize::try_from(index).ok().and_then(|index| bytes.get_mut(index..footer)) {
        pages.chunks_exact_mut(4096).for_each(seal_end);
    }
    seal_end(bytes);
}

/// A journal with a run, a log with commits in it, and deletions.
fn sound() -> Files {
    let disk = Arc::new(MemoryDisk::new(Files::new()));
    let journal = Journal::create(Arc::clone(&disk) as _, Options::default().log_limit(4096)).expect("created");
    for round in 0..12_u8 {
        let write = journal.write(|changes| {
            for key in 0..4 {
                changes.put(format!("key-{:04}", u32::from(round) * 4 + key).as_bytes(), &[round; 100]);
            }
            changes.delete(format!("key-{:04}", u32::from(round)).as_bytes());
            Ok::<_, Error>(())
        });
        write.expect("written");
    }
    drop(journal);
    disk.files()
}
