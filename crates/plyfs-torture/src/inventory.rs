//! What lies in a store's directories and no record names, and what records name and is not there.
//!
//! For a store at rest: nobody else works on it, and what a crash left was reclaimed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plyfs::Store;

/// The names in the root of a store.
const ROOT: [&str; 8] = ["blobs", "journal", "kernel", "overlay2", "plyfs.toml", "staging", "tarsplit", "trash"];

/// What may lie in the directory of a layer or of a container that is not mounted.
const LAYER: [&str; 5] = ["committed", "diff", "link", "lower", "work"];

/// Lists every difference between records and directories; empty when all is accounted for.
pub fn strays(store: &Store) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let layers = store.layers()?;
    let containers = store.containers()?;
    let ids: BTreeSet<_> = layers
        .iter()
        .map(|layer| layer.id().to_string())
        .chain(containers.iter().map(|container| container.id().to_string()))
        .collect();
    let home = store.path().join("overlay2");
    let mut directories = names(&home)?;
    directories.remove("l");
    directories.remove("empty");
    compare(&mut found, "overlay2", &ids, &directories);
    let mut links = BTreeSet::new();
    for id in ids.intersection(&directories) {
        links.insert(fs::read_to_string(home.join(id).join("link")).unwrap_or_else(|e| format!("of {id}: {e}")));
        let inside = names(&home.join(id))?;
        found.extend(inside.iter().filter(|n| !LAYER.contains(&n.as_str())).map(|n| format!("overlay2/{id}/{n}")));
    }
    compare(&mut found, "overlay2/l", &links, &names(&home.join("l"))?);
    let records = layers.iter().filter(|layer| layer.diff_id().is_some()).map(|layer| layer.id().to_string());
    compare(&mut found, "tarsplit", &records.collect(), &names(&store.path().join("tarsplit"))?);
    let blobs = store.images()?.into_iter().flat_map(|image| [Some(image.id()), image.manifest_digest()]);
    let kept = layers.iter().flat_map(|layer| layer.blobs()).map(|blob| blob.digest);
    let blobs = blobs.flatten().chain(kept).map(|digest| digest.hex()).collect();
    compare(&mut found, "blobs/sha256", &blobs, &names(&store.path().join("blobs/sha256"))?);
    let leases: BTreeSet<_> = store.leases()?.iter().map(|lease| format!("{}.lease", lease.id)).collect();
    for place in ["staging", "trash"] {
        let there = names(&store.path().join(place))?;
        // The lock file of a lease that lives is there while it is held, and until the next open.
        let there = there.into_iter().filter(|name| place != "staging" || !leases.contains(name)).collect();
        compare(&mut found, place, &BTreeSet::new(), &there);
    }
    let known = ROOT.map(str::to_owned).into();
    found.extend(names(store.path())?.difference(&known).map(|name| format!("{name}: no part of a store")));
    found.extend(mounts_below(store.path())?.into_iter().map(|path| format!("{path}: still mounted")));
    Ok(found)
}

fn compare(found: &mut Vec<String>, place: &str, recorded: &BTreeSet<String>, there: &BTreeSet<String>) {
    found.extend(there.difference(recorded).map(|name| format!("{place}/{name}: no record names it")));
    found.extend(recorded.difference(there).map(|name| format!("{place}/{name}: recorded and not there")));
}

fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The mount points below `dir` in the mount namespace of this thread.
pub fn mounts_below(dir: &Path) -> Result<Vec<String>> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").context("read the mount table")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned).collect())
}
