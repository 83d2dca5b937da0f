//! What the running kernel can do, found by doing it.
//!
//! Distributions backport and disable, sandboxes refuse single calls: a version number proves nothing. Each row below is
//! tried once on a scratch directory; nothing is attached anywhere, and what was tried is gone when the probe returns.
//!
//! | feature | first in Linux | used for | without it |
//! |---|---|---|---|
//! | [`Feature::FSOPEN`] | 5.2 | mounting by descriptor, detached mounts | `mount(2)` |
//! | [`Feature::APPEND`] | 6.7 | any number of lowers, no escaping | `mount(2)` |
//! | [`Feature::LAYER_FD`] | 6.13 | layers given as descriptors | short names from a thread of our own |
//! | [`Feature::LAYER_PATH_FD`] | 6.15 | layers nobody needs to read to name | descriptors opened for reading |
//! | [`Feature::USERXATTR`] | 5.11 | `user.overlay.*` in place of `trusted.overlay.*` | refused |
//! | [`Feature::VOLATILE`] | 5.10 | mounts that never sync | refused |

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use bitflags::bitflags;
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsopen};

use crate::aside::magic_path;
use crate::layout::{LOWER, LOWER_APPEND, OVERLAY};
use crate::{Error, Result};

bitflags! {
    /// Abilities of a kernel, each of which has a way round it or a clear refusal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Feature: u32 {
        /// `fsopen(2)` knows overlay.
        const FSOPEN = 1;
        /// `lowerdir+` appends one lower layer at a time.
        const APPEND = 1 << 1;
        /// Layers may be given as descriptors.
        const LAYER_FD = 1 << 2;
        /// Such a descriptor may be one opened with `O_PATH`.
        const LAYER_PATH_FD = 1 << 3;
        /// The option `userxattr` is known.
        const USERXATTR = 1 << 4;
        /// The option `volatile` is known.
        const VOLATILE = 1 << 5;
    }
}

/// One row of the table: feature, first version, use, fallback.
struct Row(Feature, &'static str, &'static str, &'static str, &'static str);

const TABLE: [Row; 6] = [
    Row(Feature::FSOPEN, "fsopen", "5.2", "mounting by descriptor, detached mounts", "mount(2)"),
    Row(Feature::APPEND, "lowerdir+", "6.7", "any number of lowers, no escaping", "mount(2)"),
    Row(Feature::LAYER_FD, "layer fd", "6.13", "layers given as descriptors", "short names from a thread of our own"),
    Row(Feature::LAYER_PATH_FD, "layer O_PATH fd", "6.15", "layers named without reading", "descriptors for reading"),
    Row(Feature::USERXATTR, "userxattr", "5.11", "user.overlay.* attributes", "refused"),
    Row(Feature::VOLATILE, "volatile", "5.10", "mounts that never sync", "refused"),
];

/// The set of [`Feature`]s found; prints as the table above with a column `found`.
///
/// Probed once per store and kept there: the process has no such state of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    found: Feature,
}

impl Features {
    /// Tries every feature on `scratch`, a writable directory that nobody else uses meanwhile.
    ///
    /// Costs a few dozen system calls. Without the privilege to mount nothing can be tried and nothing is found; plans can
    /// still be made and printed then. An error means that `scratch` cannot be used.
    pub fn probe(scratch: &OwnedFd) -> Result<Self> {
        let wrap = |call| Error::call("probe the overlay file system in the scratch directory", call);
        for name in PROBE_DIRS {
            fs::ensure_dir_at(scratch, name, Mode::RWXU).map_err(wrap)?;
        }
        let found = Probe { scratch }.all();
        for name in PROBE_DIRS {
            fs::remove_dir_at(scratch, name).map_err(wrap)?;
        }
        Ok(Self { found })
    }

    /// The set with exactly `found`, for plans made for another kernel than the running one.
    #[must_use]
    pub fn assume(found: Feature) -> Self {
        Self { found }
    }

    /// Says whether this process may do what was found by another one, as far as one call tells.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        self.has(Feature::FSOPEN) == fsopen(OVERLAY, FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
    }

    /// The same set with `feature` refused, so that its fallback runs.
    #[must_use]
    pub fn without(self, feature: Feature) -> Self {
        Self { found: self.found.difference(feature) }
    }

    /// Says whether all of `feature` was found.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.found.contains(feature)
    }

    /// Everything that was found.
    #[must_use]
    pub fn found(&self) -> Feature {
        self.found
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:<5} {:<6} {:<41} without it", "feature", "found", "since", "used for")?;
        TABLE.iter().try_for_each(|Row(feature, name, since, used, fallback)| {
            let found = if self.has(*feature) { "yes" } else { "no" };
            writeln!(f, "{name:<16} {found:<5} {since:<6} {used:<41} {fallback}")
        })
    }
}

/// The two lower directories whose overlay is tried and thrown away.
const PROBE_DIRS: [&str; 2] = ["probe-a", "probe-b"];

/// A key that no kernel has.
const NO_KEY: &str = "plyfs-probe";

/// The attempts. Each makes a context of its own: what one refused must not colour the next.
struct Probe<'a> {
    scratch: &'a OwnedFd,
}

impl Probe<'_> {
    fn all(&self) -> Feature {
        if self.open().is_err() {
            return Feature::empty();
        }
        let tried = [
            (Feature::APPEND, self.appends()),
            (Feature::LAYER_FD, self.takes(OFlags::RDONLY)),
            (Feature::LAYER_PATH_FD, self.takes(OFlags::PATH)),
            (Feature::USERXATTR, self.knows("userxattr")),
            (Feature::VOLATILE, self.knows("volatile")),
        ];
        let works = |(feature, result): (Feature, Result<(), Errno>)| result.is_ok().then_some(feature);
        tried.into_iter().filter_map(works).fold(Feature::FSOPEN, Feature::union)
    }

    fn open(&self) -> Result<OwnedFd, Errno> {
        fsopen(OVERLAY, FsOpenFlags::FSOPEN_CLOEXEC)
    }

    /// An unknown key is refused before its value is looked at, so any directory will do.
    ///
    /// Not so before Linux 6.5, where overlay's contexts keep whatever they are given until they are created: a kernel that
    /// takes a key that nobody has says nothing about this one, and has not got it.
    fn appends(&self) -> Result<(), Errno> {
        if fsconfig_set_string(self.open()?.as_fd(), NO_KEY, "/").is_ok() {
            return Err(Errno::INVAL);
        }
        fsconfig_set_string(self.open()?.as_fd(), LOWER_APPEND, "/")
    }

    fn takes(&self, access: OFlags) -> Result<(), Errno> {
        self.append(&self.open()?, PROBE_DIRS[0], access)
    }

    fn append(&self, context: &OwnedFd, name: &str, access: OFlags) -> Result<(), Errno> {
        let layer = fs::open_at(self.scratch, name, access | OFlags::DIRECTORY, Mode::empty());
        let layer = layer.map_err(|error| error.errno())?;
        fsconfig_set_fd(context.as_fd(), LOWER_APPEND, layer.as_fd())
    }

    /// Only a superblock tells: contexts before Linux 6.5 keep any flag and judge it when they are created.
    fn knows(&self, flag: &str) -> Result<(), Errno> {
        let context = self.open()?;
        // By descriptor first: the names go through /proc, which may not be there.
        let appended = PROBE_DIRS.iter().try_for_each(|name| self.append(&context, name, OFlags::RDONLY));
        if appended.is_err() {
            let path = magic_path(self.scratch);
            let [a, b] = PROBE_DIRS.map(|name| path.join(name).display().to_string());
            fsconfig_set_string(context.as_fd(), LOWER, format!("{a}:{b}"))?;
        }
        fsconfig_set_flag(context.as_fd(), flag)?;
        fsconfig_create(context.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_prints_every_feature_and_what_stands_in_for_it() {
        let features = Features::assume(Feature::all()).without(Feature::LAYER_PATH_FD);
        insta::assert_snapshot!(features.to_string(), @r"
        feature          found since  used for                                  without it
        fsopen           yes   5.2    mounting by descriptor, detached mounts   mount(2)
        lowerdir+        yes   6.7    any number of lowers, no escaping         mount(2)
        layer fd         yes   6.13   layers given as descriptors               short names from a thread of our own
        layer O_PATH fd  no    6.15   layers named without reading              descriptors for reading
        userxattr        yes   5.11   user.overlay.* attributes                 refused
        volatile         yes   5.10   mounts that never sync                    refused
        ");
    }

    #[test]
    fn the_table_has_a_row_for_every_feature() {
        let rows = TABLE.iter().map(|row| row.0).fold(Feature::empty(), Feature::union);
        assert_eq!(rows, Feature::all());
    }
}
