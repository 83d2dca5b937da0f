//! The exported layers of a run as other people's tools unpack them.

use std::fs;

use plyfs_testkit::oci::{Compression, Plain};
use plyfs_testkit::peers::{Podman, umoci_unpack};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Options, Tree, differences};

/// umoci, and a podman whose store serves many images.
pub struct Peers {
    podman: Podman,
    temp: TempDir,
}

impl Peers {
    pub fn new() -> Self {
        Self { podman: Podman::new(), temp: TempDir::new() }
    }

    /// Holds both peers to `expected`, which an image of these layers must show.
    pub fn check(&self, name: &str, layers: Vec<Vec<u8>>, expected: &Tree) {
        let expected = &without_empty_attributes(expected);
        let image = Plain::new(&format!("localhost/{name}:1"), layers);
        let (layout, bundle, archive) =
            (self.temp.join("layout"), self.temp.join("bundle"), self.temp.join("image.tar"));
        for dir in [&layout, &bundle] {
            drop(fs::remove_dir_all(dir));
        }
        image.write_oci_layout(Compression::None, &layout);
        let unpacked = Tree::of(umoci_unpack(&layout, "1", &bundle));
        let wrong = differences(expected, &unpacked, &Options::images());
        assert!(wrong.is_empty(), "{name} by umoci: {wrong:?}");

        image.write_docker_archive(&archive);
        let loaded = self.podman.load(&archive);
        let mounted = self.podman.mount(&loaded[0]);
        let found = Tree::of(mounted.path());
        let wrong = differences(&with_lost_times(expected, &found), &found, &Options::images());
        assert!(wrong.is_empty(), "{name} by podman: {wrong:?}");
    }
}

/// podman gives some inodes with a time before the epoch the epoch, and keeps the time of others (rule 50).
fn with_lost_times(expected: &Tree, found: &Tree) -> Tree {
    let mut tree = expected.clone();
    for (path, entry) in tree.entries.iter_mut().filter(|(_, entry)| entry.mtime.sec < 0) {
        if let Some(found) = found.entries.get(path).filter(|found| found.mtime.sec == 0) {
            entry.mtime = found.mtime;
        }
    }
    tree
}

/// To Go's reader of archives a PAX record without a value is none, so its tools lose attributes that are empty.
fn without_empty_attributes(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.entries.values_mut().for_each(|entry| entry.xattrs.retain(|_, value| !value.is_empty()));
    tree
}
