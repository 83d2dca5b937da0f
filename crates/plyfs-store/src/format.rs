//! `plyfs.toml`: the version of the store and the features a reader must know.
//!
//! A store of a newer version, or with an incompatible feature this version lacks, is not opened; one with an
//! unknown read-only-compatible feature is opened for reading alone.

use std::os::fd::AsFd;

use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result, ground, layout};

/// The version this code writes and reads.
pub(crate) const VERSION: u32 = 2;

/// The largest format file that is read.
const MAX_SIZE: u64 = 64 * 1024;

/// What the format file says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Format {
    pub(crate) version: u32,
    /// The namespace of the overlay attributes in the layers: `trusted` or `user` (rule 18).
    pub(crate) dialect: String,
    #[serde(default)]
    pub(crate) features: Features,
}

/// Features by what a version that does not know them may still do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Features {
    #[serde(default)]
    pub(crate) compatible: Vec<String>,
    #[serde(default)]
    pub(crate) read_only_compatible: Vec<String>,
    #[serde(default)]
    pub(crate) incompatible: Vec<String>,
}

/// The part of the file that every version has, read before the rest is believed.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Format {
    pub(crate) fn new() -> Self {
        Self { version: VERSION, dialect: "trusted".to_owned(), features: Features::default() }
    }

    /// Says whether only reading is allowed for want of a feature.
    pub(crate) fn is_read_only(&self) -> bool {
        !self.features.read_only_compatible.is_empty()
    }

    /// Reads the file below a store's root; `NotFound` when there is none, `Corrupt` where it is lost or damaged.
    pub(crate) fn read(root: impl AsFd) -> Result<Self> {
        let root = root.as_fd();
        let wrong = |kind, why: String| Error::new(kind, format!("{}: {why}", layout::FORMAT_FILE));
        let file =
            fs::open_at(root, layout::FORMAT_FILE, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map_err(|e| {
                match e.is_not_found() {
                    true if ground::was_store(root) => ground::lost_format(),
                    true => Error::new(ErrorKind::NotFound, format!("not a store: no {}", layout::FORMAT_FILE)),
                    false => Error::call(layout::FORMAT_FILE, e),
                }
            })?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(std::fs::File::from(file), MAX_SIZE), &mut text)
            .map_err(|e| Error::io(format!("{}: unreadable", layout::FORMAT_FILE), e, ErrorKind::Corrupt))?;
        let unreadable = |e: toml::de::Error| wrong(ErrorKind::Corrupt, e.message().to_owned());
        let versioned: Versioned = toml::from_str(&text).map_err(unreadable)?;
        if versioned.version != VERSION {
            let why = format!("version {} is not the {VERSION} this plyfs reads", versioned.version);
            return Err(wrong(ErrorKind::Unsupported, why));
        }
        let format: Self = toml::from_str(&text).map_err(unreadable)?;
        if let Some(feature) = format.features.incompatible.first() {
            return Err(wrong(ErrorKind::Unsupported, format!("feature {feature:?} is unknown to this plyfs")));
        }
        if format.dialect != "trusted" {
            return Err(wrong(ErrorKind::Unsupported, format!("xattr dialect {:?} is unknown", format.dialect)));
        }
        Ok(format)
    }

    /// Writes the file; the last step of making a store. Durable on return.
    pub(crate) fn write(&self, root: impl AsFd) -> Result<()> {
        let text = toml::to_string(self).expect("plain strings and numbers serialise");
        publish_file(root, layout::FORMAT_FILE, text.as_bytes())
    }
}

/// Writes a file aside, syncs it, renames it into place and syncs the directory; durable on return.
pub(crate) fn publish_file(dir: impl AsFd, name: &str, content: &[u8]) -> Result<()> {
    let dir = dir.as_fd();
    let aside = format!("{name}.new");
    let written = || -> plyfs_sys::Result<()> {
        fs::remove_tree(dir, &aside)?;
        let file = fs::create_file_at(dir, &aside, Mode::RUSR | Mode::WUSR)?;
        write_all(&file, name, content)?;
        fs::sync(&file)?;
        fs::rename_at(dir, &aside, dir, name)?;
        fs::sync(dir)
    };
    written().map_err(|e| Error::call(format!("write {name}"), e))
}

/// Writes all bytes to an open file; the error names `name`.
pub(crate) fn write_all(file: impl AsFd, name: &str, mut bytes: &[u8]) -> plyfs_sys::Result<()> {
    let file = file.as_fd();
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(plyfs_sys::CallError::new("write", name, errno)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Format> {
        let temp = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(temp.path().join(layout::FORMAT_FILE), text).expect("written");
        Format::read(fs::open_dir(temp.path()).expect("open"))
    }

    #[test]
    fn a_format_reads_back() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let root = fs::open_dir(temp.path()).expect("open");
        assert_eq!(Format::read(&root).expect_err("none yet").kind(), ErrorKind::NotFound);
        Format::new().write(&root).expect("written");
        assert_eq!(Format::read(&root).expect("read"), Format::new());
    }

    #[test]
    fn newer_versions_and_unknown_incompatible_features_are_refused() {
        for (text, kind) in [
            ("version = 3\nnew-field = 1\n", ErrorKind::Unsupported),
            ("version = 1\ndialect = \"trusted\"\n", ErrorKind::Unsupported),
            ("version = 2\ndialect = \"trusted\"\n[features]\nincompatible = [\"x\"]\n", ErrorKind::Unsupported),
            ("version = 2\ndialect = \"other\"\n", ErrorKind::Unsupported),
            ("version = 2\n", ErrorKind::Corrupt),
            ("", ErrorKind::Corrupt),
            ("\0\0\0\0", ErrorKind::Corrupt),
        ] {
            assert_eq!(read(text).expect_err(text).kind(), kind, "{text:?}");
        }
        let text = "version = 2\ndialect = \"trusted\"\n[features]\nread-only-compatible = [\"x\"]\n";
        assert!(read(text).expect("readable").is_read_only());
    }
}
