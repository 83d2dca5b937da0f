//! The image that is measured, in all the forms it is given to programs; made once and kept.
//!
//! ```text
//! target/xtask/bench/images/
//!   built/        the layout that `build` made
//!   plain/0..n    its layers, not compressed
//!   gzip/ zstd/   layouts
//!   gzip.tar zstd.tar docker.tar lower.tar
//!   of            which image all this is of: written last
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::build;
use super::layout::{Image, NAME, Packed, archive};
use crate::run::{check, command};
use crate::tree;

/// What the image without its uppermost layer is called.
const LOWER: &str = "localhost/svc:lower";

/// The image in all its forms.
#[derive(Debug)]
pub(super) struct Corpus {
    dir: PathBuf,
    layers: usize,
}

/// A form the image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// An OCI archive of gzip layers, which docker loads too.
    Gzip,
    /// An OCI archive of zstd layers.
    Zstd,
    /// A docker-archive of plain layers.
    Docker,
    /// [`Self::Gzip`] without the uppermost layer.
    Lower,
}

impl Corpus {
    /// Takes the image of `layout`, or of the one that is built here, and makes what is missing.
    pub(super) fn ensure(layout: Option<&Path>) -> Result<Self> {
        let dir = tree::target().join("xtask/bench/images");
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let built = dir.join("built");
        let layout = match layout {
            Some(layout) => layout.canonicalize().with_context(|| format!("resolve {}", layout.display()))?,
            None => {
                if !built.join("index.json").exists() {
                    build::image(&dir, &built)?;
                }
                built
            }
        };
        let image = Image::read(&layout)?;
        let index = layout.join("index.json");
        let of = fs::read_to_string(&index).with_context(|| format!("read {}", index.display()))?;
        let (corpus, stamp) = (Self { dir: dir.clone(), layers: image.layers.len() }, dir.join("of"));
        if fs::read_to_string(&stamp).ok().as_ref() != Some(&of) {
            println!("making archives of {}", layout.display());
            corpus.make(&image)?;
            fs::write(&stamp, of).with_context(|| format!("write {}", stamp.display()))?;
        }
        Ok(corpus)
    }

    fn make(&self, image: &Image) -> Result<()> {
        for old in ["of", "plain", "gzip", "zstd", "gzip.tar", "zstd.tar", "docker.tar", "lower.tar", "parts"] {
            check(command("rm").args(["-rf", "--"]).arg(self.dir.join(old)))?;
        }
        let parts = self.dir.join("parts");
        let packed: Vec<PathBuf> = (0..self.layers).map(|number| parts.join(number.to_string())).collect();
        for dir in [&parts, &self.dir.join("plain")] {
            fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        }
        for ((layer, plain), packed) in image.layers.iter().zip(self.plain()).zip(&packed) {
            to(&plain, command("gzip").arg("-dc").arg(layer))?;
            to(packed, command("zstd").args(["-q", "-3", "-T0", "-c"]).arg(&plain))?;
        }
        image.write(&self.layout(Packed::Gzip), NAME, Packed::Gzip)?;
        archive(&self.layout(Packed::Gzip), &self.archive(Form::Gzip))?;
        Image { layers: packed, ..image.clone() }.write(&self.layout(Packed::Zstd), NAME, Packed::Zstd)?;
        archive(&self.layout(Packed::Zstd), &self.archive(Form::Zstd))?;
        image.without_top().write(&parts.join("lower"), LOWER, Packed::Gzip)?;
        archive(&parts.join("lower"), &self.archive(Form::Lower))?;
        image.write_docker(&parts.join("docker"), &self.plain())?;
        archive(&parts.join("docker"), &self.archive(Form::Docker))?;
        check(command("rm").args(["-rf", "--"]).arg(&parts))
    }

    /// The image as one file.
    pub(super) fn archive(&self, form: Form) -> PathBuf {
        self.dir.join(match form {
            Form::Gzip => "gzip.tar",
            Form::Zstd => "zstd.tar",
            Form::Docker => "docker.tar",
            Form::Lower => "lower.tar",
        })
    }

    /// The image as a directory.
    pub(super) fn layout(&self, packed: Packed) -> PathBuf {
        self.dir.join(match packed {
            Packed::Gzip => "gzip",
            Packed::Zstd => "zstd",
        })
    }

    /// The blobs of its layers, lowest first.
    pub(super) fn blobs(&self, packed: Packed) -> Result<Vec<PathBuf>> {
        Ok(Image::read(&self.layout(packed))?.layers)
    }

    /// Its layers, not compressed, lowest first.
    pub(super) fn plain(&self) -> Vec<PathBuf> {
        (0..self.layers).map(|number| self.dir.join("plain").join(number.to_string())).collect()
    }

    /// The layer with most files: what a container is filled with that is committed.
    pub(super) fn fullest(&self) -> Result<PathBuf> {
        let size = |file: &PathBuf| fs::metadata(file).map(|meta| meta.len()).unwrap_or_default();
        self.plain().into_iter().max_by_key(size).context("an image has layers")
    }
}

/// Runs a program whose output is to become a file.
fn to(file: &Path, command: &mut std::process::Command) -> Result<()> {
    let output = fs::File::create(file).with_context(|| format!("create {}", file.display()))?;
    check(command.stdout(output))
}
