//! A store's home with layers whose content tells who they are, and the ways a kernel may have to mount them.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_mount::mountinfo::{self, Entry};
use plyfs_mount::{Feature, Features, MountOptions, Plan, Stack, plan};
pub(crate) use plyfs_sys::report as story;
use plyfs_testkit::temp::TempDir;

/// A home directory; what is mounted below it is unmounted and all of it removed on drop.
pub(crate) struct Home {
    dir: TempDir,
    path: PathBuf,
    fd: Arc<OwnedFd>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::named("overlay2")
    }

    /// A home whose path ends in `name`.
    pub(crate) fn named(name: impl AsRef<OsStr>) -> Self {
        let dir = TempDir::new();
        let path = dir.dir(Path::new(name.as_ref()));
        std::fs::create_dir(path.join("l")).expect("a new directory");
        std::fs::create_dir(path.join("empty")).expect("a new directory");
        let fd = plyfs_sys::fs::open_dir(&path).expect("just made").into();
        Self { dir, path, fd }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a mount point outside the home.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.dir.dir(Path::new("targets").join(name))
    }

    /// Makes `count` layers and returns their short names, uppermost first.
    ///
    /// Layer `n` has the files `only-n` and `who`, which both say `n`.
    pub(crate) fn layers(&self, count: usize) -> Vec<OsString> {
        (0..count).map(|number| self.layer(number)).collect()
    }

    fn layer(&self, number: usize) -> OsString {
        let (id, link) = (format!("{number:064x}"), format!("l/L{number:025}"));
        let diff = self.path.join(&id).join("diff");
        std::fs::create_dir_all(&diff).expect("a new directory");
        std::fs::write(diff.join("who"), number.to_string()).expect("a file");
        std::fs::write(diff.join(format!("only-{number}")), number.to_string()).expect("a file");
        symlink(format!("../{id}/diff"), self.path.join(&link)).expect("a link");
        link.into()
    }

    /// A stack of these lowers and nothing writable.
    pub(crate) fn view(&self, lowers: &[OsString]) -> Stack {
        Stack::new(self.fd.clone(), &self.path).lowers(lowers).empty("empty")
    }

    /// A stack of these lowers with a new upper directory named `name`.
    pub(crate) fn container(&self, name: &str, lowers: &[OsString]) -> Stack {
        let [upper, work] = ["diff", "work"].map(|part| format!("{name}/{part}"));
        for part in [&upper, &work] {
            std::fs::create_dir_all(self.path.join(part)).expect("a new directory");
        }
        self.view(lowers).upper(upper, work)
    }

    pub(crate) fn probe(&self) -> Features {
        let scratch = plyfs_sys::fs::open_dir(self.dir.dir("scratch")).expect("just made");
        Features::probe(&scratch).expect("the scratch directory can be used")
    }

    /// Every way to mount that this kernel has: all it can do, then one ability after the other refused.
    pub(crate) fn ways(&self) -> Vec<(&'static str, Features)> {
        let all = self.probe();
        let readable = all.without(Feature::LAYER_PATH_FD);
        let named = readable.without(Feature::LAYER_FD);
        let ways = [
            ("path-descriptors", all, Feature::LAYER_PATH_FD),
            ("readable-descriptors", readable, Feature::LAYER_FD),
            ("names", named, Feature::APPEND),
            ("classic", named.without(Feature::APPEND), Feature::empty()),
        ];
        ways.into_iter().filter(|(.., needed)| all.has(*needed)).map(|(way, features, _)| (way, features)).collect()
    }
}

/// Plans with default options.
pub(crate) fn plain(stack: Stack, features: &Features) -> Plan {
    plan(stack, &MountOptions::new(), features).expect("a plan")
}

/// What the kernel's table says is mounted at `target`.
pub(crate) fn entry_at(target: &Path) -> Entry {
    let table = mountinfo::read().expect("the table can be read");
    let target = target.canonicalize().expect("the mount point exists");
    mountinfo::at(&table, &target).unwrap_or_else(|| panic!("nothing is mounted at {target:?}")).clone()
}

pub(crate) fn is_mounted(target: &Path) -> bool {
    let table = mountinfo::read().expect("the table can be read");
    mountinfo::at(&table, target).is_some()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
