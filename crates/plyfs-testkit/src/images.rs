//! Real images made by buildah, and made-up ones made by hand; each is built once and then shared.
//!
//! They lie in a directory of [`crate::temp::base`] named by a digest of their recipes, so that every test binary of a
//! run finds what the first one built, and a changed recipe never meets an old image. An exclusive lock makes the
//! others wait while one builds; the rename at the end makes a half-built image invisible. The directory is a cache
//! and stays: [`cache_dir`] says where.
//!
//! ```text
//! plyfs-images-<uid>-<digest>/
//!   awkward/  docker.tar  oci/  oci.tar  zstd/  zstd.tar
//!   many-129/ docker.tar  oci/
//!   awkward.lock …
//! ```

pub mod hostile;
mod many;
mod recipe;
pub mod spoil;

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

pub use many::many_layers;

use crate::oci::sha256;
use crate::peers::Podman;
use crate::process::output;

/// The path in [`awkward`] whose time of change lies before 1970.
///
/// podman and docker give such a file the time 0 when they unpack, while the archive keeps the true one and umoci
/// restores it: leave it out of a comparison with a mount of theirs, and claim its time by itself.
pub const PRE_EPOCH: &str = "odd/before-1970";

/// The name inside [`awkward`] that is no UTF-8.
pub const NOT_UTF8: &[u8] = b"odd/not-\xff\xfe-utf8";

/// An image in every form, all with the same layers and config.
#[derive(Clone, Debug)]
pub struct Image {
    dir: PathBuf,
    name: String,
}

impl Image {
    /// The full name in the archives that carry one: `localhost/plyfs-awkward:1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag alone, under which a layout's index lists it.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.name.rsplit_once(':').expect("every name here has a tag").1
    }

    /// The docker-archive, layers uncompressed.
    #[must_use]
    pub fn docker_archive(&self) -> PathBuf {
        self.dir.join("docker.tar")
    }

    /// The OCI layout, layers in gzip.
    #[must_use]
    pub fn oci_layout(&self) -> PathBuf {
        self.dir.join("oci")
    }

    /// The OCI archive, layers in gzip.
    #[must_use]
    pub fn oci_archive(&self) -> PathBuf {
        self.dir.join("oci.tar")
    }

    /// The OCI layout, layers in Zstandard.
    #[must_use]
    pub fn zstd_layout(&self) -> PathBuf {
        self.dir.join("zstd")
    }

    /// The OCI archive, layers in Zstandard.
    #[must_use]
    pub fn zstd_archive(&self) -> PathBuf {
        self.dir.join("zstd.tar")
    }
}

/// An image of four layers with everything that is easy to get wrong; needs root, buildah, podman and skopeo.
///
/// Deleted files and directories, an opaque directory, a file that became a directory and the reverse, hard links,
/// devices, a fifo, a file capability, user attributes, set-id bits, a sticky `/tmp`, names that are long or no UTF-8,
/// links absolute, relative and dangling, times before 1970 and past 2106, an empty layer on top. It has no program.
#[must_use]
#[track_caller]
pub fn awkward() -> Image {
    built("awkward", recipe::AWKWARD)
}

/// An image of two layers that starts programs: shell, core tools and their libraries, and `/app` on top; needs root,
/// buildah, podman and skopeo.
///
/// The base is this machine's own software, laid out as Debian does (`/bin` is a link to `usr/bin`). The application
/// layer holds `/app/config.properties` and `/app/run.sh`, which is the image's command.
#[must_use]
#[track_caller]
pub fn small() -> Image {
    built("small", recipe::SMALL)
}

/// Where the images are kept; not made by asking.
#[must_use]
pub fn cache_dir() -> PathBuf {
    let recipes = [include_str!("images.rs"), include_str!("images/recipe.rs"), include_str!("images/many.rs")];
    let digest = sha256([recipes.concat(), include_str!("oci.rs").to_owned()].concat().as_bytes());
    let uid = rustix::process::geteuid().as_raw();
    crate::temp::base().join(format!("plyfs-images-{uid}-{}", &digest[..16]))
}

/// Builds an image with buildah, or finds it built.
#[track_caller]
fn built(what: &str, steps: &[&str]) -> Image {
    let name = format!("localhost/plyfs-{what}:1");
    let dir = cached(what, |dir| {
        let podman = Podman::new();
        let mut base = "scratch".to_owned();
        for (n, script) in steps.iter().enumerate() {
            let step = if n + 1 == steps.len() { name.clone() } else { format!("localhost/plyfs-{what}-step:{n}") };
            podman.build(&base, script, &step);
            base = step;
        }
        let docker = dir.join("docker.tar");
        output(podman.command().args(["save", "-q", "--format", "docker-archive", "-o"]).arg(&docker).arg(&name));
        convert(&docker, &format!("oci:{}:1", dir.join("oci").display()), "gzip");
        convert(&docker, &format!("oci-archive:{}:{name}", dir.join("oci.tar").display()), "gzip");
        convert(&docker, &format!("oci:{}:1", dir.join("zstd").display()), "zstd");
        convert(&docker, &format!("oci-archive:{}:{name}", dir.join("zstd.tar").display()), "zstd");
    });
    Image { dir, name }
}

#[track_caller]
fn convert(docker_archive: &Path, to: &str, compression: &str) {
    let from = format!("docker-archive:{}", docker_archive.display());
    let mut skopeo = crate::peers::skopeo();
    output(skopeo.args(["copy", "-q", "--dest-compress", "--dest-compress-format", compression, &from, to]));
}

/// Returns the cache's directory `what`, filled by `build` if nobody has done so before.
#[track_caller]
fn cached(what: &str, build: impl FnOnce(&Path)) -> PathBuf {
    let cache = cache_dir();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache);
    made.unwrap_or_else(|e| panic!("make {}: {e}", cache.display()));
    let lock = cache.join(format!("{what}.lock"));
    let lock = File::create(&lock).unwrap_or_else(|e| panic!("open {}: {e}", lock.display()));
    flock(&lock, FlockOperation::LockExclusive).expect("a file can be locked");
    let done = cache.join(what);
    if !done.exists() {
        let building = cache.join(format!("{what}.building"));
        let _ = fs::remove_dir_all(&building); // of a run that was killed
        fs::create_dir(&building).unwrap_or_else(|e| panic!("make {}: {e}", building.display()));
        build(&building);
        fs::rename(&building, &done).unwrap_or_else(|e| panic!("publish {}: {e}", done.display()));
    }
    done
}
