//! What the machine needs for the same work, without any keeping of images.
//!
//! The processor seconds of decompressing, of hashing what is compressed and what is plain, and of extracting, each done by
//! the fastest ordinary program, summed and divided by the processors; plus one `syncfs(2)` on the clock.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::corpus::Corpus;
use super::cost::{Cost, measure};
use super::layout::Packed;
use crate::run::{check, command, output};

/// Measures it; what it extracts is gone afterwards.
pub(super) fn limit(corpus: &Corpus, packed: Option<Packed>, disk: &Path) -> Result<Cost> {
    let plain = corpus.plain();
    let mut parts = Vec::new();
    if let Some(packed) = packed {
        let blobs = corpus.blobs(packed)?;
        let program = match packed {
            Packed::Gzip => "igzip",
            Packed::Zstd => "zstd",
        };
        parts.push(each(&blobs, |blob| check(silent(command(program).arg("-dc").arg(blob))?))?);
        parts.push(hash(&blobs)?);
    }
    parts.push(hash(&plain)?);
    let trees = disk.join("limit");
    let tree = |number: usize| trees.join(number.to_string());
    for number in 0..plain.len() {
        fs::create_dir_all(tree(number)).with_context(|| format!("create {}", tree(number).display()))?;
    }
    parts.push(measure(&[], || {
        let mut layers = plain.iter().enumerate();
        layers.try_for_each(|(number, layer)| check(command("tar").arg("xf").arg(layer).arg("-C").arg(tree(number))))
    })?);
    let sync = measure(&[], || check(command("sync").arg("--file-system").arg(&trees)))?;
    check(command("rm").args(["-rf", "--"]).arg(&trees))?;
    let processors = available_parallelism().map_or(1, NonZero::get) as f64;
    let (user, system) = parts.iter().fold((0.0, 0.0), |sum, part| (sum.0 + part.user, sum.1 + part.system));
    Ok(Cost { wall: (user + system) / processors + sync.wall, user, system, ..Cost::default() })
}

fn hash(files: &[PathBuf]) -> Result<Cost> {
    each(files, |file| output(command("openssl").args(["dgst", "-sha256"]).arg(file)).map(drop))
}

fn each(files: &[PathBuf], work: impl Fn(&Path) -> Result<()>) -> Result<Cost> {
    measure(&[], || files.iter().try_for_each(|file| work(file)))
}

/// With the output going nowhere.
fn silent(command: &mut std::process::Command) -> Result<&mut std::process::Command> {
    let nowhere = fs::File::options().write(true).open("/dev/null").context("open /dev/null")?;
    Ok(command.stdout(nowhere))
}
