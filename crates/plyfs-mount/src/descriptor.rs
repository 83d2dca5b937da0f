//! Engine 1: a mount built call by call in a context, seen by nobody until it is whole.
//!
//! ```text
//! fsopen("overlay") ── lowerdir+ ×n ── upperdir ── workdir ── settings ── create ── fsmount ── move_mount
//! ```
//!
//! Layers are given as descriptors where the kernel takes them: opened, set, closed, so that 500 layers cost one
//! descriptor at a time. Otherwise they are named relative to the home from a thread whose directory that is; a name longer
//! than a string value may be goes as the number of a descriptor.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use plyfs_sys::{CallError, fs};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use crate::aside::{self, magic_path};
use crate::features::Feature;
use crate::layout::{LOWER_APPEND, MAX_VALUE, OVERLAY, UPPER, WORK};
use crate::options::{MountOptions, Setting, escape_value};
use crate::{Error, Plan, Result};

/// Makes the planned mount without a place; `upper` is the plan's upper directory, opened by `O_PATH`.
pub(crate) fn mount(plan: &Plan, upper: Option<&OwnedFd>) -> Result<OwnedFd> {
    let context = Context::open().map_err(|call| Error::mounting(plan.subject(), call))?;
    context.build(plan, upper).map_err(|call| {
        let log = context.log();
        let message = if log.is_empty() { plan.subject() } else { format!("{}: {log}", plan.subject()) };
        Error::mounting(message, call)
    })
}

/// The kernel's half-made file system.
struct Context(OwnedFd);

impl Context {
    fn open() -> Result<Self, CallError> {
        let opened = fsopen(OVERLAY, FsOpenFlags::FSOPEN_CLOEXEC);
        opened.map(Self).map_err(|errno| CallError::new("fsopen", OVERLAY, errno))
    }

    fn build(&self, plan: &Plan, upper: Option<&OwnedFd>) -> Result<OwnedFd, CallError> {
        self.set("source", OVERLAY.as_ref())?;
        if plan.features.has(Feature::LAYER_FD) {
            // The upper directory is open already; only where the kernel takes no `O_PATH` it is opened once more.
            let upper = upper.filter(|_| plan.features.has(Feature::LAYER_PATH_FD));
            self.add_layers(plan, |key, name| match upper.filter(|_| key == UPPER) {
                Some(upper) => self.layer(key, name, upper),
                None => self.layer_by_descriptor(plan, key, name),
            })?;
        } else {
            let by_name = || self.add_layers(plan, |key, name| self.layer_by_name(plan, key, name));
            aside::within(&plan.stack.home, by_name)?;
        }
        for setting in plan.settings() {
            match setting {
                Setting::Flag(name) => self.flag(name)?,
                Setting::Value(name, value) => self.set(name, value)?,
            }
        }
        if plan.options.read_only {
            self.flag("ro")?;
        }
        fsconfig_create(&self.0).map_err(|errno| CallError::new("fsconfig", "create", errno))?;
        let attributes = attributes(&plan.options);
        fsmount(&self.0, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| CallError::new("fsmount", OVERLAY, errno))
    }

    /// Appends the lowers downwards from the uppermost, then upper and work.
    fn add_layers(
        &self,
        plan: &Plan,
        add: impl Fn(&'static str, &OsStr) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        plan.lowers.iter().try_for_each(|lower| add(LOWER_APPEND, lower))?;
        plan.stack.upper.iter().try_for_each(|pair| add(UPPER, &pair.upper).and_then(|()| add(WORK, &pair.work)))
    }

    fn layer_by_descriptor(&self, plan: &Plan, key: &'static str, name: &OsStr) -> Result<(), CallError> {
        let by_path = plan.features.has(Feature::LAYER_PATH_FD);
        self.layer(key, name, &open(plan, name, if by_path { OFlags::PATH } else { OFlags::RDONLY })?)
    }

    fn layer(&self, key: &'static str, name: &OsStr, layer: &OwnedFd) -> Result<(), CallError> {
        fsconfig_set_fd(&self.0, key, layer).map_err(|errno| refused(key, name, errno))
    }

    /// The thread's directory is the home.
    fn layer_by_name(&self, plan: &Plan, key: &'static str, name: &OsStr) -> Result<(), CallError> {
        // `upperdir` and `workdir` lose their backslashes in the kernel, `lowerdir+` does not (rule 64).
        let value =
            if key == LOWER_APPEND { Cow::Borrowed(name) } else { OsString::from_vec(escape_value(name)).into() };
        if value.len() <= MAX_VALUE {
            return fsconfig_set_string(&self.0, key, &*value).map_err(|errno| refused(key, name, errno));
        }
        let layer = open(plan, name, OFlags::PATH)?;
        fsconfig_set_string(&self.0, key, magic_path(&layer)).map_err(|errno| refused(key, name, errno))
    }

    fn flag(&self, name: &'static str) -> Result<(), CallError> {
        fsconfig_set_flag(&self.0, name).map_err(|errno| CallError::new("fsconfig", name, errno))
    }

    fn set(&self, name: &'static str, value: &OsStr) -> Result<(), CallError> {
        fsconfig_set_string(&self.0, name, value).map_err(|errno| refused(name, value, errno))
    }

    /// What the kernel has to say about the last failure: its lines, joined.
    fn log(&self) -> String {
        let mut lines = Vec::new();
        let mut line = [0; 4096];
        // Each read gives one line, `e overlay: No changes allowed`, and ENODATA when there are no more.
        while let Ok(length) = rustix::io::read(&self.0, &mut line) {
            let text = String::from_utf8_lossy(&line[..length]);
            let text = text.trim_end();
            lines.push(text.split_once(' ').map_or(text, |(_level, rest)| rest).to_owned());
        }
        lines.join("; ")
    }
}

fn open(plan: &Plan, name: &OsStr, access: OFlags) -> Result<OwnedFd, CallError> {
    fs::open_beneath(&plan.stack.home, name, access | OFlags::DIRECTORY, ResolveFlags::empty())
}

fn refused(key: &str, value: &OsStr, errno: Errno) -> CallError {
    let subject = [key.as_bytes(), b"=", value.as_bytes()].concat();
    CallError::new("fsconfig", OsStr::from_bytes(&subject), errno)
}

/// Set when the mount is made, so that there is no instant without them (rule 66).
fn attributes(options: &MountOptions) -> MountAttrFlags {
    let choices = [
        (options.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (options.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (options.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (options.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ];
    choices.into_iter().filter_map(|(chosen, flag)| chosen.then_some(flag)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_kernels_own_words_are_read_back() {
        plyfs_testkit::require_root!();
        let context = Context::open().expect("a context");
        assert_eq!(context.log(), "", "nothing has failed yet");
        context.set("no-such-option", "x".as_ref()).expect_err("unknown");
        context.flag("nor-such-flag").expect_err("unknown");
        assert_eq!(
            context.log(),
            "overlay: Unknown parameter 'no-such-option'; overlay: Unknown parameter 'nor-such-flag'"
        );
        assert_eq!(context.log(), "", "each line is read once");
    }
}
