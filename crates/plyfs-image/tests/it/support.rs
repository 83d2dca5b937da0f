//! A store to work in, and what the tests claim about it.

use std::path::{Path, PathBuf};

use plyfs_image::{Archive, Compression, Error, Format, Loaded, Source};
use plyfs_store::{Image, Progress, Store};
pub(crate) use plyfs_sys::report as story;
use plyfs_testkit::oci::{read_archive, sha256};
use plyfs_testkit::temp::TempDir;

/// A store in a directory of its own, and room beside it.
pub(crate) struct Place {
    pub store: Store,
    pub temp: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let temp = TempDir::new();
        let store = Store::ensure(temp.join("store")).expect("a store");
        Self { store, temp }
    }

    /// One whose store may have this many threads.
    pub(crate) fn with_threads(threads: usize) -> Self {
        let temp = TempDir::new();
        let store = Store::options().threads(threads).ensure(temp.join("store")).expect("a store");
        Self { store, temp }
    }

    #[track_caller]
    pub(crate) fn load(&self, path: impl AsRef<Path>) -> Vec<Loaded> {
        self.try_load(path).unwrap_or_else(|error| panic!("{}", story(&error)))
    }

    pub(crate) fn try_load(&self, path: impl AsRef<Path>) -> Result<Vec<Loaded>, Error> {
        plyfs_image::load(&self.store, Source::path(path)?, Progress::none())
    }

    /// Saves images to a path in the room beside the store.
    #[track_caller]
    pub(crate) fn save(&self, images: &[&Image], format: Format, compression: Compression, name: &str) -> PathBuf {
        let path = self.temp.join(name);
        let file = || std::fs::File::create(&path).expect("a new file");
        let archive = match format {
            Format::DockerArchive => Archive::docker(file()),
            Format::OciArchive => Archive::oci(file()),
            _ => Archive::layout(&path),
        };
        let saved = plyfs_image::save(&self.store, images, archive.compression(compression), Progress::none());
        saved.unwrap_or_else(|error| panic!("{}", story(&error)));
        path
    }

    /// Claims that nothing is in the store, visible or not.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let store = self.store.path();
        assert!(self.store.images().expect("listed").is_empty(), "an image is left");
        assert!(self.store.layers().expect("listed").is_empty(), "a layer is left");
        let _ = self.store.reap().expect("what was cancelled may still be in the trash");
        for directory in ["staging", "trash", "blobs/sha256", "tarsplit", "overlay2/l"] {
            let left: Vec<_> = std::fs::read_dir(store.join(directory)).expect("listed").flatten().collect();
            assert!(left.is_empty(), "{directory} holds {left:?}");
        }
    }
}

/// The digests of the layers in a docker-archive, lowest first, by hashing what it holds.
pub(crate) fn layers_of_docker_archive(path: &Path) -> Vec<String> {
    let members = read_archive(path);
    let find = |name: &str| &members.iter().find(|(known, _)| known == name).expect("a member").1;
    let manifest: serde_json::Value = serde_json::from_slice(find("manifest.json")).expect("json");
    let layers = manifest[0]["Layers"].as_array().expect("a list");
    layers.iter().map(|name| format!("sha256:{}", sha256(find(name.as_str().expect("a name"))))).collect()
}
