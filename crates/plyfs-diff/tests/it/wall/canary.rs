//! A tree that an archive must not reach, and proof that nothing in it changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use plyfs_diff::{Chain, Dialect};
use plyfs_sys::fs::{FileType, open_dir};
use plyfs_testkit::temp::TempDir;

use crate::layers::{node, set_xattr, touch, write};

/// The ground of one case.
pub struct Ground {
    temp: TempDir,
    before: Snapshot,
}

/// Everything outside the layer: what each inode is, and when anything of it last changed.
///
/// The change time moves with content, mode, owner, attributes and links, and nobody can set it back.
type Snapshot = BTreeMap<PathBuf, Facts>;

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    inode: u64,
    links: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Of files of the canary, so that reading one is noticed too.
    read: Option<(i64, i64)>,
}

impl Ground {
    pub fn new() -> Self {
        let temp = TempDir::new();
        let (canary, lower) = (temp.dir("abcd"), temp.dir("lower"));
        write(canary.join("file"), "nobody writes here");
        write(canary.join("dir/inner"), "nor here");
        write(canary.join("setuid"), "#!");
        fs::set_permissions(canary.join("setuid"), fs::Permissions::from_mode(0o4711)).expect("chmod");
        set_xattr(&canary.join("file"), "user.canary", b"alive");
        symlink("file", canary.join("link")).expect("a link");
        node(&canary.join("fifo"), FileType::Fifo, 0);
        // Long ago: relatime writes down a reading of what was read before it was last written.
        ["file", "dir/inner", "setuid"].iter().for_each(|name| touch(&canary.join(name), 1_000, 0));

        write(lower.join("usr/lib/file"), "lower");
        write(lower.join("etc/passwd"), "root:x:0:0");
        write(lower.join("plain"), "a file");
        fs::create_dir(lower.join("tmp")).expect("a directory");
        fs::set_permissions(lower.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        node(&lower.join("fifo"), FileType::Fifo, 0);
        let links: [(PathBuf, &str); 9] = [
            ("usr/lib".into(), "lib"),
            (canary.join("file"), "etc/shadow"),
            (canary, "out"),
            ("../abcd".into(), "up"),
            ("../../../../../../../..".into(), "far"),
            ("/".into(), "root"),
            ("/proc/self/root".into(), "magic"),
            ("loop".into(), "loop"),
            ("/proc/self/cwd".into(), "here"),
        ];
        links.iter().for_each(|(target, name)| symlink(target, lower.join(name)).expect("a link"));
        let before = snapshot(temp.path());
        Self { temp, before }
    }

    /// Makes the empty directory of the layer.
    pub fn layer(&self) -> PathBuf {
        let path = self.temp.dir("abc");
        // The directory itself is outside: it is new.
        path
    }

    pub fn canary(&self) -> PathBuf {
        self.temp.join("abcd")
    }

    pub fn lower(&self) -> PathBuf {
        self.temp.join("lower")
    }

    pub fn chain(&self) -> Chain {
        Chain::new(vec![open_dir(self.lower()).expect("the lower")], Dialect::Trusted)
    }

    /// Fails where anything outside the layer was changed, made, removed or, in the canary, read.
    pub fn assert_untouched(&self, what: &str) {
        let after = snapshot(self.temp.path());
        for (path, facts) in &self.before {
            assert_eq!(after.get(path), Some(facts), "{what}: {path:?} outside the layer changed");
        }
        let new: Vec<_> = after.keys().filter(|path| !self.before.contains_key(*path)).collect();
        assert!(new.is_empty(), "{what}: made outside the layer: {new:?}");
    }
}

fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("list") {
            let path = entry.expect("listed").path();
            if path == root.join("abc") {
                continue;
            }
            let stat = fs::symlink_metadata(&path).expect("stat");
            if stat.is_dir() {
                open.push(path.clone());
            }
            let watched = stat.is_file() && path.starts_with(root.join("abcd"));
            let facts = Facts {
                inode: stat.ino(),
                links: stat.nlink(),
                mode: stat.mode(),
                owner: (stat.uid(), stat.gid()),
                size: stat.size(),
                modified: (stat.mtime(), stat.mtime_nsec()),
                changed: (stat.ctime(), stat.ctime_nsec()),
                read: watched.then(|| (stat.atime(), stat.atime_nsec())),
            };
            found.insert(path, facts);
        }
    }
    found
}

#[test]
fn root_a_change_of_anything_outside_is_noticed() {
    plyfs_testkit::require_root!();
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: [Change<'_>; 8] = [
        ("content", &|canary| fs::write(canary.join("file"), "nobody writes HERE").expect("written")),
        ("reading", &|canary| drop(fs::read(canary.join("file")).expect("read"))),
        ("a mode that is set again", &|canary| crate::layers::chmod(&canary.join("setuid"), 0o4711)),
        ("an attribute", &|canary| set_xattr(&canary.join("dir"), "user.a", b"1")),
        ("a link", &|canary| fs::hard_link(canary.join("file"), canary.join("../abc/b")).expect("linked")),
        ("a name", &|canary| fs::write(canary.join("dir/new"), "").expect("written")),
        ("a name beside", &|canary| fs::write(canary.join("../new"), "").expect("written")),
        ("times that are set", &|canary| touch(&canary.join("dir"), 5, 0)),
    ];
    for (what, change) in changes {
        let ground = Ground::new();
        ground.layer();
        ground.assert_untouched("before");
        change(&ground.canary());
        let noticed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ground.assert_untouched("after")));
        assert!(noticed.is_err(), "{what} was not noticed");
    }
}
