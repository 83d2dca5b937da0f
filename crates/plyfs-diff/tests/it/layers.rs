//! Layers to look through: a temporary directory with lowers and an upper, and what the crate says of them.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use plyfs_diff::{ApplyOptions, Chain, Dialect, Error, ExportOptions, Exported, View, apply, changes, export};
use plyfs_sys::fs::{FileType, make_node_at, open_dir};
use plyfs_sys::xattr;
use plyfs_testkit::temp::{Mounted, TempDir};
use rustix::fs::Mode;

/// Some lowers, uppermost first, and an upper; every one an empty directory, mode 0755, at first.
pub struct Layers {
    temp: TempDir,
    lowers: usize,
    pub dialect: Dialect,
    /// What mounts state beside the directories.
    pub options: &'static str,
}

impl Layers {
    pub fn new(lowers: usize) -> Self {
        let layers = Self { temp: TempDir::new(), lowers, dialect: Dialect::Trusted, options: PLAIN };
        for layer in (0..lowers).map(|index| layers.lower(index)).chain([layers.upper()]) {
            fs::create_dir(&layer).expect("a new directory");
            chmod(&layer, 0o755);
        }
        layers
    }

    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    pub fn lower(&self, index: usize) -> PathBuf {
        self.temp.join(format!("lower{index}"))
    }

    pub fn upper(&self) -> PathBuf {
        self.temp.join("upper")
    }

    /// A path beside the layers.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.temp.join(name)
    }

    pub fn chain(&self) -> Chain {
        let lowers = (0..self.lowers).map(|index| open_dir(self.lower(index)).expect("a lower")).collect();
        Chain::new(lowers, self.dialect)
    }

    /// What the upper and the lowers show together.
    pub fn view(&self) -> View {
        let layers = std::iter::once(self.upper()).chain((0..self.lowers).map(|index| self.lower(index)));
        let layers = layers.map(|layer| open_dir(layer).expect("a layer")).collect();
        View::new(Chain::new(layers, self.dialect)).expect("a view")
    }

    pub fn changes(&self) -> Result<Vec<String>, Error> {
        let upper = open_dir(self.upper()).expect("the upper");
        changes(&upper, &self.chain())?.map(|change| Ok(change?.to_string())).collect()
    }

    /// Exports over the chain: the archive, and what the export says of it.
    pub fn export(&self) -> (Vec<u8>, Exported) {
        self.try_export(&self.chain()).expect("exported")
    }

    pub fn try_export(&self, chain: &Chain) -> Result<(Vec<u8>, Exported), Error> {
        let upper = open_dir(self.upper()).expect("the upper");
        let mut archive = Vec::new();
        let exported = export(&upper, chain, &mut archive, &ExportOptions::new())?;
        Ok((archive, exported))
    }

    /// Mounts the upper over the lowers as a container's root, with `options` beside the directories.
    pub fn mount(&self, options: &str) -> Mounted {
        let (work, merged) = (self.temp.dir("work"), self.temp.dir("merged"));
        let (lowers, upper) = (self.lower_list(), self.upper());
        Mounted::overlay(
            merged,
            &format!("lowerdir={lowers},upperdir={},workdir={},{options}", upper.display(), work.display()),
        )
    }

    /// Mounts the lowers alone, read-only; an empty directory stands below them, since the kernel wants two.
    pub fn mount_lowers(&self) -> Mounted {
        let (empty, merged) = (self.temp.dir("empty"), self.temp.dir("merged-lowers"));
        Mounted::overlay(merged, &format!("lowerdir={}:{},{}", self.lower_list(), empty.display(), self.options))
    }

    /// Exports the upper and applies the archive over the same lowers: the new layer's directory.
    pub fn reapplied(&self) -> PathBuf {
        let (archive, _) = self.export();
        let layer = self.beside("reapplied");
        drop(fs::remove_dir_all(&layer));
        fs::create_dir(&layer).expect("a new directory");
        let dir = open_dir(&layer).expect("open");
        apply(archive.as_slice(), &dir, &self.chain(), &ApplyOptions::new(), None).expect("applied");
        layer
    }

    /// Mounts `layer` over the lowers, read-only.
    pub fn mount_over_lowers(&self, layer: &Path) -> Mounted {
        let (merged, lowers) = (self.temp.dir("merged-over-lowers"), self.lower_list());
        Mounted::overlay(merged, &format!("lowerdir={}:{lowers},{}", layer.display(), self.options))
    }

    /// Makes the upper the uppermost lower, under an empty new upper.
    pub fn freeze(&mut self) {
        for index in (0..self.lowers).rev() {
            fs::rename(self.lower(index), self.lower(index + 1)).expect("renamed");
        }
        fs::rename(self.upper(), self.lower(0)).expect("renamed");
        self.lowers += 1;
        fs::create_dir(self.upper()).expect("a new directory");
        chmod(&self.upper(), 0o755);
    }

    fn lower_list(&self) -> String {
        (0..self.lowers).map(|index| self.lower(index).display().to_string()).collect::<Vec<_>>().join(":")
    }
}

/// What plain overlay mounts state, so that no kernel default decides.
pub const PLAIN: &str = "redirect_dir=off,metacopy=off,index=off";

/// What leaves in upper directories what only the lowers can complete (rule 25).
pub const REDIRECTING: &str = "redirect_dir=on,metacopy=on,index=off";

pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, content).expect("written");
}

pub fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// Sets the modification time in whole seconds and nanoseconds, of a link itself.
pub fn touch(path: &Path, seconds: i64, nanoseconds: i64) {
    use plyfs_sys::fs::{Timespec, Timestamps, set_times_at};
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let dir = open_dir(path.parent().expect("a parent")).expect("open");
    let times = Timestamps { last_access: time, last_modification: time };
    set_times_at(dir, path.file_name().expect("a name"), &times).expect("times");
}

/// Makes a character device 0:0.
pub fn whiteout(path: &Path) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    node(path, FileType::CharacterDevice, 0);
    assert!(fs::symlink_metadata(path).expect("made").file_type().is_char_device());
}

pub fn node(path: &Path, kind: FileType, device: u64) {
    let dir = open_dir(path.parent().expect("a parent")).expect("open");
    make_node_at(dir, path.file_name().expect("a name"), kind, Mode::from_raw_mode(0o644), device).expect("a node");
}

pub fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let dir = open_dir(path.parent().expect("a parent")).expect("open");
    xattr::set_at(dir, path.file_name().expect("a name"), name, value).expect("an attribute");
}

/// Makes a directory that hides what lies below it.
pub fn opaque_dir(path: &Path) {
    fs::create_dir_all(path).expect("directories");
    set_xattr(path, "trusted.overlay.opaque", b"y");
}

/// Every entry of an archive as the `tar` crate reads it: `type mode owner size mtime name -> link`.
pub fn listing(archive: &[u8]) -> Vec<String> {
    let mut tar = tar::Archive::new(archive);
    let entries = tar.entries().expect("an archive").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        let kind = match header.entry_type().as_byte() {
            b'0' => '-',
            b'1' => 'h',
            b'2' => 'l',
            b'3' => 'c',
            b'4' => 'b',
            b'5' => 'd',
            b'6' => 'p',
            other => panic!("type {other}"),
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let link = entry.link_name_bytes().map(|link| format!(" -> {}", String::from_utf8_lossy(&link)));
        format!(
            "{kind} {:04o} {}:{} {} {} {name}{}",
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.gid().expect("a group"),
            entry.size(),
            header.mtime().expect("a time"),
            link.unwrap_or_default()
        )
    });
    entries.collect()
}

/// The names in an archive, in order.
pub fn names(archive: &[u8]) -> Vec<String> {
    let mut tar = tar::Archive::new(archive);
    let entries = tar.entries().expect("an archive");
    entries.map(|entry| String::from_utf8_lossy(&entry.expect("an entry").path_bytes()).into_owned()).collect()
}
