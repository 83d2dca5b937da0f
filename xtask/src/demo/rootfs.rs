//! A root directory put together from files of this machine: programs with the libraries they load.
//!
//! Paths stay what they are here, symlinks on the way to a file included, so programs find what they look for.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{command, output};

/// Longest way through symlinks, as the kernel's.
const MAX_LINKS: u32 = 40;

/// A directory that becomes one layer, above others.
#[derive(Debug)]
pub(super) struct Rootfs {
    dir: PathBuf,
    /// Directories of the layers below: what they hold is not added again.
    below: Vec<PathBuf>,
}

impl Rootfs {
    pub(super) fn new(dir: PathBuf, below: &[&Rootfs]) -> Self {
        Self { dir, below: below.iter().map(|layer| layer.dir.clone()).collect() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes an empty directory.
    pub(super) fn make_dir(&self, path: &str) -> Result<()> {
        let dir = self.dir.join(path);
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))
    }

    /// Writes a file that this machine does not have.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.dir.join(path);
        fs::create_dir_all(file.parent().expect("a file has a directory")).context("create its directory")?;
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }

    /// Adds a program and every library it loads at its start.
    pub(super) fn add_program(&self, program: &Path) -> Result<()> {
        let libraries = libraries(program)?;
        if !libraries.missing.is_empty() {
            bail!("{}: this machine has no {}", program.display(), libraries.missing.join(", "));
        }
        self.add(program)?;
        libraries.found.iter().try_for_each(|library| self.add(library))
    }

    /// Adds a file or a whole directory, and what its symlinks lead to; what is not there is left out.
    pub(super) fn add(&self, path: &Path) -> Result<()> {
        let Some(real) = self.add_way(path)? else { return Ok(()) };
        let kind = fs::metadata(&real).with_context(|| format!("stat {}", real.display()))?;
        if !kind.is_dir() {
            return self.copy(&real);
        }
        for entry in fs::read_dir(&real).with_context(|| format!("read {}", real.display()))? {
            self.add(&entry.with_context(|| format!("read {}", real.display()))?.path())?;
        }
        self.make_dir(relative(&real).to_str().context("a directory name is not UTF-8")?)
    }

    /// Adds one symlink, not what it leads to.
    pub(super) fn add_link(&self, link: &Path) -> Result<()> {
        self.link(link, &fs::read_link(link).with_context(|| format!("read {}", link.display()))?)
    }

    /// Adds the symlinks on the way to `path` and returns where it ends, a path without symlinks.
    fn add_way(&self, path: &Path) -> Result<Option<PathBuf>> {
        let mut real = PathBuf::from("/");
        let mut ahead: VecDeque<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == OsStr::new("..") {
                real.pop();
                continue;
            }
            real.push(&name);
            let Ok(kind) = fs::symlink_metadata(&real) else { return Ok(None) };
            if !kind.is_symlink() {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                bail!("{}: too many symlinks", path.display());
            }
            let target = fs::read_link(&real).with_context(|| format!("read {}", real.display()))?;
            self.link(&real, &target)?;
            real.pop();
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            for name in names(&target).into_iter().rev() {
                ahead.push_front(name);
            }
        }
        Ok(Some(real))
    }

    fn link(&self, at: &Path, target: &Path) -> Result<()> {
        let Some(link) = self.place(at)? else { return Ok(()) };
        symlink(target, &link).with_context(|| format!("link {}", link.display()))
    }

    fn copy(&self, file: &Path) -> Result<()> {
        let Some(copy) = self.place(file)? else { return Ok(()) };
        fs::copy(file, &copy).with_context(|| format!("copy {}", file.display()))?;
        // The same machine gives the same image: times are part of a layer.
        let time = fs::metadata(file).and_then(|meta| meta.modified()).context("read the time of a file")?;
        let written = fs::File::options().read(true).open(&copy).and_then(|copy| copy.set_modified(time));
        written.with_context(|| format!("set the time of {}", copy.display()))
    }

    /// Where a file of this machine goes, with its directory made; nothing when this layer or one below has it.
    fn place(&self, path: &Path) -> Result<Option<PathBuf>> {
        let relative = relative(path);
        let here = std::iter::once(&self.dir);
        if here.chain(&self.below).any(|dir| dir.join(relative).symlink_metadata().is_ok()) {
            return Ok(None);
        }
        let place = self.dir.join(relative);
        fs::create_dir_all(place.parent().expect("a file has a directory"))
            .with_context(|| format!("create the directory of {}", place.display()))?;
        Ok(Some(place))
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").expect("files of this machine have absolute paths")
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

/// What a program or library loads at its start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Libraries {
    pub(super) found: BTreeSet<PathBuf>,
    pub(super) missing: Vec<String>,
}

/// Asks ldd(1); a script or a static program loads nothing.
pub(super) fn libraries(program: &Path) -> Result<Libraries> {
    match output(command("ldd").arg(program).env("LC_ALL", "C")) {
        Ok(text) => Ok(parse_ldd(&text)),
        Err(error) if error.to_string().contains("not a dynamic executable") => Ok(Libraries::default()),
        Err(error) => Err(error),
    }
}

fn parse_ldd(text: &str) -> Libraries {
    let mut libraries = Libraries::default();
    for line in text.lines().map(str::trim) {
        match line.split_once(" => ") {
            Some((name, "not found")) => libraries.missing.push(name.to_owned()),
            Some((_, path)) => libraries.found.extend(path_of(path)),
            // The loader stands alone; so does linux-vdso, which is no file.
            None => libraries.found.extend(path_of(line)),
        }
    }
    libraries
}

fn path_of(text: &str) -> Option<PathBuf> {
    let path = text.split(" (0x").next()?;
    path.starts_with('/').then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_ldd_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                    \tlibselinux.so.1 => /lib/x86_64-linux-gnu/libselinux.so.1 (0x00007f)\n\
                    \tlibjvm.so => not found\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let libraries = parse_ldd(text);
        let found = ["/lib/x86_64-linux-gnu/libselinux.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries.found, BTreeSet::from(found));
        assert_eq!(libraries.missing, ["libjvm.so"]);
        assert_eq!(parse_ldd("\tstatically linked\n"), Libraries::default());
    }

    #[test]
    fn a_script_loads_nothing() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").expect("write");
        assert_eq!(libraries(&script).expect("ldd answers"), Libraries::default());
    }

    #[test]
    fn the_way_to_a_file_comes_with_it_and_a_lower_layer_is_not_repeated() {
        let machine = tempfile::tempdir().expect("a scratch directory");
        let machine = machine.path().canonicalize().expect("it is there");
        fs::create_dir(machine.join("real")).expect("make");
        fs::write(machine.join("real/file.1"), "text").expect("write");
        symlink("file.1", machine.join("real/file")).expect("link");
        symlink("real", machine.join("way")).expect("link");
        symlink("/nowhere/at/all", machine.join("real/dangling")).expect("link");

        let layers = tempfile::tempdir().expect("a scratch directory");
        let base = Rootfs::new(layers.path().join("base"), &[]);
        base.add(&machine.join("way/file")).expect("add");
        let inside = base.dir().join(relative(&machine));
        assert_eq!(fs::read_link(inside.join("way")).expect("a link"), Path::new("real"));
        assert_eq!(fs::read_link(inside.join("real/file")).expect("a link"), Path::new("file.1"));
        assert_eq!(fs::read_to_string(inside.join("real/file.1")).expect("a file"), "text");

        let upper = Rootfs::new(layers.path().join("upper"), &[&base]);
        upper.add(&machine.join("real")).expect("add");
        let names = fs::read_dir(upper.dir().join(relative(&machine)).join("real")).expect("a directory");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["dangling"], "what the base has came again");
    }
}
