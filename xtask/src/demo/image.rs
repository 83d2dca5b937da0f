//! The image of the demo: a base, a Java layer and an application, made of software that is installed here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::plyfs::Plyfs;
use super::rootfs::{Rootfs, libraries};
use super::scratch::Scratch;
use crate::run::{command, find, output};

/// What the image is called.
pub(super) const NAME: &str = "demo/app:1";

/// The file every container changes.
pub(super) const CONFIG: &str = "app/config.properties";

/// Programs without which the demo does not play.
const NEEDED: [&str; 6] = ["sh", "cat", "ls", "env", "mkdir", "rm"];

/// Programs a base has besides, as far as this machine has them.
const TOOLS: [&str; 62] = [
    "awk",
    "base64",
    "basename",
    "bash",
    "chgrp",
    "chmod",
    "chown",
    "cmp",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "expr",
    "false",
    "find",
    "getent",
    "grep",
    "gzip",
    "head",
    "hostname",
    "id",
    "install",
    "kill",
    "ldd",
    "ln",
    "mktemp",
    "mount",
    "mv",
    "nice",
    "nl",
    "nproc",
    "od",
    "paste",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "sed",
    "seq",
    "sha256sum",
    "sleep",
    "sort",
    "split",
    "stat",
    "tail",
    "tar",
    "tee",
    "test",
    "touch",
    "tr",
    "true",
    "umount",
    "uname",
    "uniq",
    "wc",
    "xargs",
];

/// Directories every program expects.
const EMPTY: [&str; 5] = ["dev", "proc", "sys", "tmp", "run"];

/// What was made, and what the scenes need of it.
#[derive(Debug)]
pub(super) struct Image {
    /// The `java` program, inside the image.
    pub(super) java: PathBuf,
}

impl Image {
    /// Makes the three layers in a store of their own and saves the image as an OCI archive.
    pub(super) fn make(plyfs: &Plyfs, scratch: &Scratch, archive: &Path) -> Result<Self> {
        let base = base(scratch.make("layers/base")?)?;
        let (java_layer, java) = java(scratch.make("layers/java")?, &base)?;
        let app = Rootfs::new(scratch.make("layers/app")?, &[&base, &java_layer]);
        app.write(CONFIG, "name=demo\nport=8080\n")?;
        let mut parent: Option<&str> = None;
        for (layer, name) in [(&base, "demo/base:1"), (&java_layer, "demo/java:1"), (&app, NAME)] {
            let mut import = vec!["import", super::path(layer.dir())?, name];
            import.extend(parent.into_iter().flat_map(|parent| ["--parent", parent]));
            plyfs.quiet(&import)?;
            println!("    {name:<12} {}", size_of(layer.dir())?);
            parent = Some(name);
        }
        plyfs.quiet(&["save", NAME, "--format", "oci-archive", "-o", super::path(archive)?])?;
        println!("    saved as an OCI archive: {}", super::bytes(super::file_size(archive)?));
        Ok(Self { java })
    }

    /// The application's file as the image holds it, found in the one layer of `store` that has it.
    pub(super) fn original(&self, store: &Plyfs) -> Result<Original> {
        let home = store.root().join("overlay2");
        let mut found = Vec::new();
        for entry in fs::read_dir(&home).with_context(|| format!("read {}", home.display()))? {
            let file = entry.context("read overlay2")?.path().join("diff").join(CONFIG);
            if file.exists() {
                found.push(file);
            }
        }
        match <[PathBuf; 1]>::try_from(found) {
            Ok([file]) => Original::new(file),
            Err(found) => bail!("{}: {} layers hold /{CONFIG}, not one", home.display(), found.len()),
        }
    }
}

fn base(dir: PathBuf) -> Result<Rootfs> {
    let base = Rootfs::new(dir, &[]);
    for name in EMPTY {
        base.make_dir(name)?;
    }
    for name in NEEDED {
        let program = find(name).with_context(|| format!("{name}: not found on PATH"))?;
        base.add_program(&program)?;
    }
    let tools: Vec<PathBuf> = TOOLS.iter().filter_map(|name| find(name)).collect();
    tools.iter().try_for_each(|program| base.add_program(program))?;
    for file in ["/bin", "/lib", "/lib64", "/sbin"] {
        // Where these are symlinks into /usr, programs are looked for through them.
        if fs::symlink_metadata(file).is_ok_and(|meta| meta.is_symlink()) {
            base.add_link(Path::new(file))?;
        }
    }
    ["/etc/passwd", "/etc/group", "/etc/os-release"].iter().try_for_each(|file| base.add(Path::new(file)))?;
    println!("    base: a shell, {} tools and the libraries they load", NEEDED.len() + tools.len());
    Ok(base)
}

/// The Java layer and the path of `java` in it.
fn java(dir: PathBuf, base: &Rootfs) -> Result<(Rootfs, PathBuf)> {
    let program = find("java").context("java: not found on PATH")?;
    let program = program.canonicalize().with_context(|| format!("resolve {}", program.display()))?;
    let home = program.ancestors().nth(2).context("java lies in no bin directory")?;
    let layer = Rootfs::new(dir, &[base]);
    layer.add(home)?;
    for file in shared_objects(home)? {
        // What a JDK loads of its own it finds by itself; what this machine lacks it does without.
        libraries(&file)?.found.iter().try_for_each(|library| layer.add(library))?;
    }
    println!("    java: {}", home.display());
    Ok((layer, program))
}

/// The launcher and the libraries of a JDK.
fn shared_objects(home: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![home.join("bin/java")];
    let mut open = vec![home.join("lib")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let entry = entry.with_context(|| format!("read {}", dir.display()))?;
            let kind = entry.file_type().with_context(|| format!("stat {}", entry.path().display()))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.file_name().to_string_lossy().ends_with(".so") {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

fn size_of(dir: &Path) -> Result<String> {
    let text = output(command("du").args(["--summarize", "--block-size=1"]).arg(dir))?;
    let size = text.split_whitespace().next().and_then(|number| number.parse().ok()).context("du: no number")?;
    Ok(super::bytes(size))
}

/// A file of an image layer, and what must stay as it is.
#[derive(Debug)]
pub(super) struct Original {
    file: PathBuf,
    seen: Seen,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    digest: String,
    inode: u64,
    modified: (i64, i64),
}

impl Original {
    fn new(file: PathBuf) -> Result<Self> {
        let seen = Seen::look(&file)?;
        Ok(Self { file, seen })
    }

    pub(super) fn digest(&self) -> &str {
        &self.seen.digest
    }

    /// Fails when content, inode or time differ from what they were.
    pub(super) fn check_untouched(&self) -> Result<()> {
        let now = Seen::look(&self.file)?;
        if now != self.seen {
            bail!("{}: was {:?}, is {now:?}", self.file.display(), self.seen);
        }
        Ok(())
    }
}

impl Seen {
    fn look(file: &Path) -> Result<Self> {
        let meta = fs::metadata(file).with_context(|| format!("stat {}", file.display()))?;
        let sum = output(command("sha256sum").arg("--binary").arg(file))?;
        let digest = sum.split_whitespace().next().context("sha256sum: no digest")?;
        Ok(Self { digest: format!("sha256:{digest}"), inode: meta.ino(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_rewritten_with_the_same_text_is_not_untouched() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let file = dir.path().join("config");
        fs::write(&file, "a=1\n").expect("write");
        let original = Original::new(file.clone()).expect("look");
        original.check_untouched().expect("nothing happened");
        fs::write(dir.path().join("other"), "a=1\n").expect("write");
        fs::rename(dir.path().join("other"), &file).expect("rename");
        original.check_untouched().expect_err("another file took its place");
    }

    #[test]
    fn the_tools_are_sorted_and_named_once() {
        assert!(TOOLS.is_sorted_by(|a, b| a < b), "sort the list");
        assert!(NEEDED.iter().all(|name| !TOOLS.contains(name)), "named twice");
    }
}
