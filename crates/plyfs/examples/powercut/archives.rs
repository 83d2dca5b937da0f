//! The images of the workload: small, with every kind of entry, and with layers that they share.

use std::fs;
use std::path::{Path, PathBuf};

use plyfs_testkit::noise;
use plyfs_testkit::oci::{Compression, EntryType, LayerTar, Plain};

/// Images that each worker has to itself; their lower layers are everybody's.
pub(crate) const IMAGES: usize = 3;

/// Workers that have archives; the last one is who looks.
pub(crate) const WORKERS: usize = 5;

/// The worker that uses the store after a cut.
pub(crate) const LOOKER: usize = WORKERS - 1;

/// A file of the lowest layer that containers change.
pub(crate) const EDITED: &str = "etc/edited";

/// One image in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) id: String,
}

/// What [`EDITED`] holds in every image.
pub(crate) fn edited() -> Vec<u8> {
    noise(77, 9_000)
}

/// The archives of one worker.
pub(crate) fn of(dir: &Path, worker: usize) -> Vec<Packed> {
    let packed = |n: usize| {
        let image = image(worker, n);
        let path = dir.join(format!("{worker}-{n}.tar"));
        Packed { path, id: format!("sha256:{}", image.id()), name: image.name }
    };
    (0..IMAGES).map(packed).collect()
}

/// How an image is packed.
type Format = fn(&Plain, &Path);

/// Docker's format, and OCI's with each compression.
pub(crate) const FORMATS: [Format; 3] = [
    |image, path| image.write_docker_archive(path),
    |image, path| image.write_oci_archive(Compression::Gzip, path),
    |image, path| image.write_oci_archive(Compression::Zstd, path),
];

/// Writes all archives, in each of these formats in turn.
pub(crate) fn write(dir: &Path, formats: &[Format]) {
    fs::create_dir_all(dir).unwrap_or_else(|e| panic!("make {}: {e}", dir.display()));
    for worker in 0..WORKERS {
        for (n, packed) in of(dir, worker).iter().enumerate() {
            formats[n % formats.len()](&image(worker, n), &packed.path);
        }
    }
}

/// Prints name and path of each.
pub(crate) fn list(dir: &Path) {
    for packed in (0..WORKERS).flat_map(|worker| of(dir, worker)) {
        println!("{} {}", packed.name, packed.path.display());
    }
}

/// A base that all images share, a second layer that two of three share, and one of its own.
fn image(worker: usize, n: usize) -> Plain {
    let mut layers = vec![base()];
    if n > 0 {
        layers.push(middle());
    }
    layers.push(top(worker, n));
    Plain::new(&format!("localhost/w{worker}/image{n}:1"), layers)
}

fn base() -> Vec<u8> {
    let mut tar = LayerTar::new().dir("etc").dir("data").dir("gone").dir("shadow").file(EDITED, edited());
    for (n, size) in [0, 1, 511, 512, 513, 4095, 4096, 4097, 70_000].into_iter().enumerate() {
        tar = tar.file(format!("data/size-{size}"), noise(n as u64, size));
    }
    tar = tar.file("gone/file", "gone").file("shadow/hidden", "hidden").file("shadow/below", "below");
    tar.link("data/linked", "data/size-513")
        .symlink("etc/link", "edited")
        .symlink("etc/dangling", "/nowhere")
        .entry(EntryType::Fifo, 0o600, "data/fifo", "", "")
        .pax(
            &[("SCHILY.xattr.user.note", b"a note"), ("mtime", b"1600000000.123456789")],
            "data/noted",
            noise(50, 3000),
        )
        .entry(EntryType::Regular, 0o4755, "data/setuid", "", "program")
        .finish()
}

fn middle() -> Vec<u8> {
    let mut tar = LayerTar::new().dir("many").whiteout("", "gone").dir("shadow").opaque("shadow");
    for n in 0..40 {
        tar = tar.file(format!("many/{n}"), noise(100 + n, 50 * n as usize));
    }
    tar.file("shadow/seen", "seen").link("many/again", "many/7").finish()
}

fn top(worker: usize, n: usize) -> Vec<u8> {
    let seed = 1000 + (worker * IMAGES + n) as u64;
    LayerTar::new()
        .dir("top")
        .file("top/large", noise(seed, 150_000 + 1000 * n))
        .file("top/own", format!("{worker}-{n}"))
        .whiteout("data", "size-1")
        .symlink("top/link", "../data/size-4096")
        .finish()
}
