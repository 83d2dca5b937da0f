//! The comparison Docker makes, written here over two whole trees: the oracle of `changes`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use plyfs_diff::{Change, ChangeKind};
use plyfs_testkit::tree::{Entry, Kind, Tree};

/// Compares two trees as Docker does (rules 30, 32 and 33), with content where times agree.
pub fn docker_diff(below: &Tree, above: &Tree) -> Vec<String> {
    let mut kinds: BTreeMap<Vec<u8>, ChangeKind> = BTreeMap::new();
    for (path, new) in above.entries.iter().filter(|(path, _)| !path.is_empty()) {
        match below.entries.get(path) {
            None => drop(kinds.insert(path.clone(), ChangeKind::Added)),
            Some(old) if differs(old, new) => drop(kinds.insert(path.clone(), ChangeKind::Modified)),
            Some(_) => {}
        }
    }
    for path in below.entries.keys().filter(|path| !path.is_empty() && !above.entries.contains_key(*path)) {
        // A deletion counts only where the directory it was in is still one.
        if above.get(parent(path)).is_some_and(|entry| entry.kind == Kind::Directory) {
            kinds.insert(path.clone(), ChangeKind::Deleted);
        }
    }
    for path in kinds.keys().cloned().collect::<Vec<_>>() {
        let mut path = parent(&path);
        while !path.is_empty() {
            kinds.entry(path.to_vec()).or_insert(ChangeKind::Modified);
            path = parent(path);
        }
    }
    let change = |(path, kind): (Vec<u8>, _)| Change { path: Path::new("/").join(OsStr::from_bytes(&path)), kind };
    kinds.into_iter().map(|entry| change(entry).to_string()).collect()
}

fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &path[..slash])
}

fn differs(old: &Entry, new: &Entry) -> bool {
    let facts = |entry: &Entry| (entry.kind, entry.mode, entry.uid, entry.gid, entry.device);
    let is_same_time = old.mtime.sec == new.mtime.sec
        && (old.mtime.nsec == 0 || new.mtime.nsec == 0 || old.mtime.nsec == new.mtime.nsec);
    let capability = |entry: &Entry| entry.xattrs.get(OsStr::new("security.capability")).cloned();
    facts(old) != facts(new)
        || capability(old) != capability(new)
        || (new.kind != Kind::Directory
            && (old.size != new.size || !is_same_time || old.content != new.content || old.target != new.target))
}
