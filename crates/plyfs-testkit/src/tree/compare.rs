//! Says where two [`Tree`]s differ: path by path, field by field.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::path::Path;

use super::{Entry, Tree, relative};

/// How many differences a failed comparison shows.
const SHOWN: usize = 60;

/// What a comparison leaves aside. The default leaves nothing aside.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Options {
    whole_seconds: bool,
    without_root: bool,
    ignored: Vec<Field>,
    ignored_xattrs: Vec<String>,
    left_out: Vec<Vec<u8>>,
}

impl Options {
    /// Compares everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// What two mounted images are held to: everything but the root entry's own attributes, fractions of seconds
    /// (archives carry none), SELinux labels and what OverlayFS keeps for itself.
    pub fn images() -> Self {
        Self::new().whole_seconds().without_root().without_overlay_xattrs().ignoring_xattrs("security.selinux")
    }

    /// Compares times of change in whole seconds, as archives carry them.
    pub fn whole_seconds(mut self) -> Self {
        self.whole_seconds = true;
        self
    }

    /// Leaves the root entry itself aside: peers disagree on who gives it its mode and time (rule 53).
    pub fn without_root(mut self) -> Self {
        self.without_root = true;
        self
    }

    /// Leaves aside the extended attributes OverlayFS keeps for itself, in both dialects.
    pub fn without_overlay_xattrs(self) -> Self {
        self.ignoring_xattrs("trusted.overlay.").ignoring_xattrs("user.overlay.")
    }

    /// Leaves aside extended attributes whose name starts with `prefix`.
    pub fn ignoring_xattrs(mut self, prefix: &str) -> Self {
        self.ignored_xattrs.push(prefix.to_owned());
        self
    }

    /// Leaves one field of every entry aside.
    pub fn ignoring(mut self, field: Field) -> Self {
        self.ignored.push(field);
        self
    }

    /// Leaves out the entry at `path`, with or without a leading slash, and all beneath it.
    pub fn without(mut self, path: impl AsRef<[u8]>) -> Self {
        self.left_out.push(relative(path.as_ref()).to_vec());
        self
    }

    fn leaves_out(&self, path: &[u8]) -> bool {
        (self.without_root && path.is_empty())
            || self.left_out.iter().any(|out| match path.strip_prefix(out.as_slice()) {
                Some(rest) => rest.is_empty() || rest[0] == b'/',
                None => false,
            })
    }

    fn ignores_xattr(&self, name: &std::ffi::OsStr) -> bool {
        self.ignored_xattrs.iter().any(|prefix| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
    }
}

/// What of an entry can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// Whether there is an entry at all; cannot be ignored, only left out by path.
    Presence,
    /// File, directory, link, device…
    Kind,
    /// Permission bits with setuid, setgid and sticky.
    Mode,
    /// Owner.
    Uid,
    /// Group.
    Gid,
    /// Size of a file or a link.
    Size,
    /// Time of change.
    Mtime,
    /// Extended attributes.
    Xattrs,
    /// Which names share an inode.
    Links,
    /// Device numbers.
    Device,
    /// Target of a symbolic link.
    Target,
    /// Content of a file.
    Content,
}

/// One field of one entry that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The entry's path, without a leading slash.
    pub path: Vec<u8>,
    /// What differs.
    pub field: Field,
    /// The left side's value, for people.
    pub left: String,
    /// The right side's value, for people.
    pub right: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, field, left, right } = self;
        write!(f, "/{}: {field:?}: {left} | {right}", path.escape_ascii())
    }
}

/// Claims that two directories hold the same; the panic names each path and field that differs.
#[track_caller]
pub fn assert_same(left: impl AsRef<Path>, right: impl AsRef<Path>, options: &Options) {
    assert_same_trees(&Tree::of(left), &Tree::of(right), options);
}

/// Claims that two recorded trees are the same; the panic names each path and field that differs.
#[track_caller]
pub fn assert_same_trees(left: &Tree, right: &Tree, options: &Options) {
    let found = differences(left, right, options);
    if found.is_empty() {
        return;
    }
    let (l, r) = (left.entries.len(), right.entries.len());
    let mut story = format!("{} differences between trees of {l} and {r} entries (left | right)\n", found.len());
    for difference in found.iter().take(SHOWN) {
        writeln!(story, "  {difference}").expect("a string takes text");
    }
    if found.len() > SHOWN {
        writeln!(story, "  … and {} more", found.len() - SHOWN).expect("a string takes text");
    }
    panic!("{story}");
}

/// Lists where two trees differ, sorted by path.
#[must_use]
pub fn differences(left: &Tree, right: &Tree, options: &Options) -> Vec<Difference> {
    let paths: BTreeSet<_> = left.entries.keys().chain(right.entries.keys()).collect();
    let mut found = Vec::new();
    for path in paths.into_iter().filter(|path| !options.leaves_out(path)) {
        match (left.entries.get(path), right.entries.get(path)) {
            (Some(l), Some(r)) => compare(path, l, r, options, &mut found),
            (l, r) => {
                let word = |entry: Option<&Entry>| entry.map_or("absent".to_owned(), |e| format!("{:?}", e.kind));
                let (left, right) = (word(l), word(r));
                found.push(Difference { path: path.clone(), field: Field::Presence, left, right });
            }
        }
    }
    found
}

fn compare(path: &[u8], left: &Entry, right: &Entry, options: &Options, found: &mut Vec<Difference>) {
    let (left, right) = (fields(left, options), fields(right, options));
    for ((field, left), (_, right)) in left.into_iter().zip(right) {
        if left != right && !options.ignored.contains(&field) {
            found.push(Difference { path: path.to_vec(), field, left, right });
        }
    }
}

/// Every field as text that is equal exactly when the field is.
fn fields(entry: &Entry, options: &Options) -> [(Field, String); 11] {
    let bytes = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or("none".into(), |b| b.escape_ascii().to_string());
    let fraction = if options.whole_seconds { String::new() } else { format!(".{:09}", entry.mtime.nsec) };
    let xattrs: Vec<_> = entry
        .xattrs
        .iter()
        .filter(|(name, _)| !options.ignores_xattr(name))
        .map(|(name, value)| format!("{}=\"{}\"", name.as_encoded_bytes().escape_ascii(), value.escape_ascii()))
        .collect();
    [
        (Field::Kind, format!("{:?}", entry.kind)),
        (Field::Mode, format!("{:04o}", entry.mode)),
        (Field::Uid, entry.uid.to_string()),
        (Field::Gid, entry.gid.to_string()),
        (Field::Size, entry.size.to_string()),
        (Field::Mtime, format!("{}{fraction}", entry.mtime.sec)),
        (Field::Xattrs, format!("[{}]", xattrs.join(", "))),
        (Field::Links, bytes(&entry.links)),
        (Field::Device, entry.device.map_or("none".into(), |(major, minor)| format!("{major}:{minor}"))),
        (Field::Target, bytes(&entry.target)),
        (Field::Content, entry.content.map_or("none".into(), |hash| hex(&hash))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes text");
        text
    })
}
