//! Fuzz targets: each takes any bytes, gives them to one reader of plyfs, and panics where a promise is broken.
//!
//! A reader's promise is more than not to panic: what it accepts it must also give back, account for every byte of, or
//! refuse a second time. `cargo xtask fuzz` drives the targets with libFuzzer; the tests of this crate run every seed and
//! everything that ever crashed one, so a crash that was fixed stays fixed.
//!
//! ```
//! let target = plyfs_fuzz::target("lower").expect("a target of this name");
//! (target.run)(b"l/ABCDEFGHIJKLMNOPQRSTUVWXYZ");
//! ```

mod disk;
mod targets;

/// One reader and what it is held to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What `cargo xtask fuzz` takes, and where its seeds are.
    pub name: &'static str,
    /// Feeds it; a panic is a finding.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "apply", run: targets::apply::run },
    Target { name: "archive", run: targets::archive::run },
    Target { name: "config", run: targets::image::config },
    Target { name: "journal", run: targets::journal::run },
    Target { name: "lower", run: targets::lower::run },
    Target { name: "manifest", run: targets::image::manifest },
    Target { name: "members", run: targets::image::members },
    Target { name: "mountinfo", run: targets::mountinfo::run },
    Target { name: "record", run: targets::record::run },
    Target { name: "tar-split", run: targets::tar_split::run },
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
