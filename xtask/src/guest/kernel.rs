//! Debian's kernel for virtual machines, unpacked from its package: nothing of this machine is told to boot it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run::{check, command, output};
use crate::setup;

/// The package that depends on the kernel of the day.
const META: &str = "linux-image-cloud-amd64";

/// Where Debian's packages keep modules.
const MODULES: &str = "lib/modules";

/// A kernel and its modules.
pub(super) struct Kernel {
    unpacked: PathBuf,
    release: String,
}

impl Kernel {
    /// The kernel that lies in `dir`, fetched where there is none.
    pub(super) fn ensure(dir: &Path) -> Result<Self> {
        let unpacked = dir.join("kernel");
        if let Ok(found) = Self::find(unpacked.clone()) {
            return Ok(found);
        }
        super::root::empty(&unpacked)?;
        let package = package()?;
        println!("fetching {package}");
        let fetch = || check(command("apt-get").args(["-qq", "download", &package]).current_dir(&unpacked));
        setup::patiently(fetch)?;
        let named = || format!("read {}", unpacked.display());
        let fetched = fs::read_dir(&unpacked).with_context(named)?.next().context("nothing was fetched")?;
        let archive = fetched.with_context(named)?.path();
        check(command("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked))?;
        fs::remove_file(&archive).with_context(|| format!("delete {}", archive.display()))?;
        Self::find(unpacked)
    }

    fn find(unpacked: PathBuf) -> Result<Self> {
        let modules = unpacked.join(MODULES);
        let entry = fs::read_dir(&modules).ok().and_then(|mut entries| entries.next()).and_then(|entry| entry.ok());
        let entry = entry.with_context(|| format!("{}: no kernel", modules.display()))?;
        let release = entry.file_name().into_string().ok().context("the kernel's release is not UTF-8")?;
        let found = Self { unpacked, release };
        // `depmod` is run where a kernel is installed, which this one is not.
        check(command("depmod").arg("--basedir").arg(&found.unpacked).arg(&found.release))?;
        Ok(found)
    }

    /// What is booted.
    pub(super) fn image(&self) -> PathBuf {
        self.unpacked.join(format!("boot/vmlinuz-{}", self.release))
    }

    /// The files of these modules and of all they need, in the order they are to be loaded in; what is no module is built in.
    pub(super) fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let dir = self.unpacked.join(MODULES).join(&self.release);
        let file = dir.join("modules.dep");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(in_order(&text, names).into_iter().map(|module| dir.join(module)).collect())
    }
}

/// The package of the kernel of the day.
fn package() -> Result<String> {
    let depends = || -> Result<Option<String>> {
        let text = output(command("apt-cache").args(["depends", META]))?;
        Ok(text.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned))
    };
    if let Ok(Some(package)) = depends() {
        return Ok(package);
    }
    setup::update()?;
    depends()?.with_context(|| format!("{META}: depends on no kernel"))
}

/// The paths of modules.dep(5) for these names, each behind those it needs.
fn in_order<'a>(text: &'a str, names: &[&str]) -> Vec<&'a str> {
    let needs: BTreeMap<&str, Vec<&str>> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(module, needs)| (module, needs.split_whitespace().collect()))
        .collect();
    let mut ordered = Vec::new();
    for name in names {
        let is_it = |path: &&&str| Path::new(path).file_stem().is_some_and(|stem| stem == *name);
        if let Some(module) = needs.keys().find(is_it) {
            add(&needs, module, &mut ordered);
        }
    }
    ordered
}

fn add<'a>(needs: &BTreeMap<&'a str, Vec<&'a str>>, module: &'a str, ordered: &mut Vec<&'a str>) {
    if ordered.contains(&module) {
        return;
    }
    for needed in needs.get(module).into_iter().flatten() {
        add(needs, needed, ordered);
    }
    ordered.push(module);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_loaded_behind_those_it_needs_and_once() {
        let text = "fs/nfs/nfs.ko: net/sunrpc.ko fs/grace.ko\nnet/sunrpc.ko:\nfs/grace.ko: net/sunrpc.ko\nfs/nfsd.ko: fs/grace.ko net/sunrpc.ko\n";
        let expected = ["net/sunrpc.ko", "fs/grace.ko", "fs/nfs/nfs.ko", "fs/nfsd.ko"];
        assert_eq!(in_order(text, &["nfs", "nfsd"]), expected);
        assert!(in_order(text, &["ext4"]).is_empty(), "it is built in");
    }
}
