//! A look at what a cut left: every fact on a line of its own, everything wrong on another, then the store is used.
//!
//! ```text
//! fact KEY=VALUE
//! wrong WHAT
//! end
//! ```

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plyfs::{CheckOptions, Container, Image, MountOptions, Store};
use plyfs_testkit::oci::sha256;
use plyfs_testkit::tree::Tree;

use crate::Result;
use crate::archives::LOOKER;
use crate::containers;
use crate::marks::{Effects, Marks};
use crate::work::Worker;

/// Looks, says what is there, and uses the store.
pub(crate) fn run([store, archives, marks]: [&Path; 3]) -> Result<()> {
    // The cut may have come before there was a store.
    let store = Store::options().ensure(store)?;
    let mut facts = Effects::new();
    for image in store.images()? {
        facts.extend(image.names().iter().map(|name| (format!("tag:{name}"), image.id().to_string())));
        require_image(&store, &image)?;
    }
    layers_are_whole(&store)?;
    for container in store.containers()? {
        facts.extend(look_into(&container)?);
    }
    Marks::open(marks, "look".to_owned())?.observed()?;
    for (key, value) in &facts {
        println!("fact {key}={value}");
    }
    nothing_is_left_over(&store, "after the cut")?;
    Worker::new(&store, archives, marks, LOOKER, 0)?.live_once()?;
    nothing_is_left_over(&store, "after it was used")?;
    println!("end");
    Ok(())
}

/// One digest of everything in a tree but its root's own attributes and what OverlayFS keeps for itself.
pub(crate) fn digest(dir: &Path) -> String {
    let mut text = String::new();
    for (path, mut entry) in Tree::of(dir).entries {
        entry.xattrs.retain(|name, _| !name.as_encoded_bytes().starts_with(b"trusted.overlay."));
        // Archives carry whole seconds.
        entry.mtime.nsec = 0;
        if !path.is_empty() {
            text += &format!("{path:?} {entry:?}\n");
        }
    }
    sha256(text.as_bytes())
}

fn wrong(what: impl std::fmt::Display) {
    println!("wrong {what}");
}

/// An image's blobs have their digests, and its layers are those of its config.
fn require_image(store: &Store, image: &Image) -> Result<()> {
    for digest in [Some(image.id()), image.manifest_digest()].into_iter().flatten() {
        match store.blob(&digest) {
            Ok(bytes) if format!("sha256:{}", sha256(&bytes)) == digest.to_string() => {}
            Ok(_) => wrong(format!("blob {digest} has other content")),
            Err(error) => wrong(format!("blob {digest}: {}", plyfs::report(&error))),
        }
    }
    let config: serde_json::Value = serde_json::from_slice(&image.config()?)?;
    let layers = image.layers()?;
    let found: BTreeSet<_> = layers.iter().filter_map(|layer| Some(layer.diff_id()?.to_string())).collect();
    let named = config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(|id| id.as_str());
    if found != named.map(str::to_owned).collect() {
        wrong(format!("image {} has not the layers of its config", image.id()));
    }
    Ok(())
}

/// Content against DiffIDs, records against directories. A container's directories may be missing: they follow from
/// its record, and [`look_into`] has them made again.
fn layers_are_whole(store: &Store) -> Result<()> {
    let findings = store.check(CheckOptions::data())?;
    findings.iter().filter(|finding| !finding.subject.starts_with("container ")).for_each(wrong);
    Ok(())
}

fn look_into(container: &Container) -> Result<Effects> {
    let mount = container.mount(&MountOptions::new())?;
    let facts = containers::read(container, mount.path());
    mount.unmount()?;
    facts
}

/// Everything on the disk is spoken of by a record, and `df` says what is there.
fn nothing_is_left_over(store: &Store, when: &str) -> Result<()> {
    store.reap()?;
    store.check(CheckOptions::quick())?.iter().for_each(|finding| wrong(format!("{when}: {finding}")));
    for place in ["staging", "trash"] {
        names(&store.path().join(place))?.iter().for_each(|name| wrong(format!("{when}: {place}/{name}")));
    }
    let layers = store.layers()?;
    let records = layers.iter().filter(|layer| layer.diff_id().is_some()).map(|layer| layer.id().to_string());
    compare(&format!("{when}: tarsplit"), records.collect(), names(&store.path().join("tarsplit"))?);
    let images = store.images()?;
    let blobs = images.iter().flat_map(|image| [Some(image.id()), image.manifest_digest()]).flatten();
    let kept = layers.iter().flat_map(|layer| layer.blobs()).map(|blob| blob.digest);
    let blobs = blobs.chain(kept).map(|digest| digest.hex()).collect();
    compare(&format!("{when}: blobs/sha256"), blobs, names(&store.path().join("blobs/sha256"))?);
    let mut sum = (0, 0);
    for layer in &layers {
        let (bytes, inodes) = measure(&store.path().join("overlay2").join(layer.id().to_string()).join("diff"))?;
        sum = (sum.0 + bytes, sum.1 + inodes);
    }
    let stored = store.usage()?.stored;
    if (stored.apparent, stored.inodes) != sum {
        wrong(format!("{when}: df says {stored:?}, on the disk are {sum:?}"));
    }
    Ok(())
}

fn compare(what: &str, expected: BTreeSet<String>, found: BTreeSet<String>) {
    expected.difference(&found).for_each(|name| wrong(format!("{what}/{name} is missing")));
    found.difference(&expected).for_each(|name| wrong(format!("{what}/{name}: no record speaks of it")));
}

fn names(dir: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Bytes of files and links, and inodes, of a tree.
fn measure(dir: &Path) -> Result<(u64, u64)> {
    let mut seen = HashSet::new();
    let mut sum = (0, 1);
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let entry = entry?;
            let stat = entry.metadata()?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if !seen.insert(stat.ino()) {
                continue;
            }
            let has_length = kind.is_file() || kind.is_symlink();
            sum = (sum.0 + if has_length { stat.len() } else { 0 }, sum.1 + 1);
        }
    }
    Ok(sum)
}
