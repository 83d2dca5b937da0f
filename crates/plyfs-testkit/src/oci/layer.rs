//! Writes a layer archive entry by entry, well-formed or not.

use std::fmt;

use tar::{Builder, EntryType, Header};

/// The time every entry carries unless a header says otherwise: 2024-01-01.
const MTIME: u64 = 1_704_067_200;

/// A layer archive in the making; names go in as they are, `../` too, for an archive may hold anything.
#[must_use]
pub struct LayerTar {
    tar: Builder<Vec<u8>>,
}

impl fmt::Debug for LayerTar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerTar({} bytes)", self.tar.get_ref().len())
    }
}

impl Default for LayerTar {
    fn default() -> Self {
        Self::new()
    }
}

impl LayerTar {
    /// Starts an empty archive.
    pub fn new() -> Self {
        Self { tar: Builder::new(Vec::new()) }
    }

    /// Adds a file, mode 0644.
    pub fn file(self, name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, 0o644, name, "", content)
    }

    /// Adds a directory, mode 0755.
    pub fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Directory, 0o755, name, "", "")
    }

    /// Adds a symbolic link.
    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Symlink, 0o777, name, target, "")
    }

    /// Adds a hard link to an entry before it, or to nothing.
    pub fn link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Link, 0o644, name, target, "")
    }

    /// Adds a whiteout of `name` in the directory `dir` (empty for the root).
    pub fn whiteout(self, dir: &str, name: &str) -> Self {
        let slash = if dir.is_empty() { "" } else { "/" };
        self.file(format!("{dir}{slash}.wh.{name}"), "")
    }

    /// Marks the directory `dir` opaque.
    pub fn opaque(self, dir: &str) -> Self {
        self.whiteout(dir, ".wh..opq")
    }

    /// Adds an entry of any type and mode, owned by root.
    pub fn entry(
        mut self,
        kind: EntryType,
        mode: u32,
        name: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
    ) -> Self {
        let content = content.as_ref();
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(MTIME);
        header.set_size(content.len() as u64);
        self.long(b'L', name.as_ref(), 100);
        self.long(b'K', target.as_ref(), 100);
        fill(&mut header.as_old_mut().name, name.as_ref());
        fill(&mut header.as_old_mut().linkname, target.as_ref());
        header.set_cksum();
        self.tar.append(&header, content).expect("memory takes it");
        self
    }

    /// Adds a header exactly as given, with its content; the checksum is the caller's too.
    pub fn raw(mut self, header: &Header, content: &[u8]) -> Self {
        self.tar.append(header, content).expect("memory takes it");
        self
    }

    /// Adds an entry whose PAX records stand before it.
    pub fn pax(mut self, records: &[(&str, &[u8])], name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.tar.append_pax_extensions(records.iter().copied()).expect("memory takes it");
        self.file(name, content)
    }

    /// Ends the archive.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.tar.into_inner().expect("memory takes it")
    }

    /// GNU's way to a name longer than the header's field.
    fn long(&mut self, kind: u8, name: &[u8], room: usize) {
        if name.len() <= room {
            return;
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(name.len() as u64 + 1);
        fill(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        let content = [name, b"\0"].concat();
        self.tar.append(&header, content.as_slice()).expect("memory takes it");
    }
}

/// Puts as much of `name` into a header's field as fits.
fn fill(field: &mut [u8; 100], name: &[u8]) {
    let n = name.len().min(field.len());
    field[..n].copy_from_slice(&name[..n]);
}
