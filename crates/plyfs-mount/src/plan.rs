//! The decision before the act: which engine, which layers, which options, without touching the kernel.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::features::{Feature, Features};
use crate::layout::{LOWER, UPPER, WORK};
use crate::options::{MountOptions, OptionString, Setting, escape_dir, escape_lower};
use crate::stack::{Stack, Upper};
use crate::{Error, ErrorKind, Result, backing, classic, descriptor, target};

/// Which of the kernel's two interfaces a plan uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `move_mount(2)`: one call per layer, no limit on the options' length.
    Descriptor,
    /// `mount(2)` with one page of options, from a thread of our own.
    Classic,
}

/// A stack that passed every check that needs no kernel, and how it will be mounted.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) stack: Stack,
    pub(crate) lowers: Vec<OsString>,
    pub(crate) options: MountOptions,
    pub(crate) features: Features,
    engine: Engine,
}

/// Decides how `stack` is mounted by a kernel with `features`; pure, and the same for the same input.
///
/// No lowers under an upper directory, or one lower without any, are completed by the stack's empty directory. Too many
/// layers, names that are not plain relative paths and options the kernel was found not to have are refused here.
pub fn plan(stack: Stack, options: &MountOptions, features: &Features) -> Result<Plan> {
    options.validate()?;
    let lowers = stack.effective_lowers()?;
    refuse_what_is_missing(options, features)?;
    if options.volatile && stack.upper.is_none() {
        return Err(Error::new(ErrorKind::InvalidInput, "a volatile mount needs an upper directory"));
    }
    let mut options = options.clone();
    options.read_only |= stack.upper.is_none();
    let by_descriptor = features.has(Feature::FSOPEN | Feature::APPEND);
    let engine = if by_descriptor { Engine::Descriptor } else { Engine::Classic };
    Ok(Plan { stack, lowers, options, features: *features, engine })
}

/// Where `fsopen` worked the probe could tell; where it did not, the kernel itself will.
fn refuse_what_is_missing(options: &MountOptions, features: &Features) -> Result<()> {
    let wanted = [
        (options.userxattr, Feature::USERXATTR, "userxattr", "5.11"),
        (options.volatile, Feature::VOLATILE, "volatile", "5.10"),
    ];
    let missing = |&&(wanted, feature, ..): &&(bool, Feature, &str, &str)| wanted && !features.has(feature);
    match wanted.iter().filter(|_| features.has(Feature::FSOPEN)).find(missing) {
        None => Ok(()),
        Some((_, _, name, since)) => {
            let message = format!("this kernel has no overlay option {name} (in Linux since {since})");
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

impl Plan {
    /// The interface that will be used.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The absolute lower directories, uppermost first, the added empty one included.
    pub fn lowers(&self) -> impl ExactSizeIterator<Item = PathBuf> {
        self.lowers.iter().map(|name| self.stack.path.join(name))
    }

    /// The absolute upper and work directories.
    #[must_use]
    pub fn upper(&self) -> Option<(PathBuf, PathBuf)> {
        let pair = self.stack.upper.as_ref()?;
        Some((self.stack.path.join(&pair.upper), self.stack.path.join(&pair.work)))
    }

    /// The options with absolute paths, as a person would hand them to `mount -t overlay -o`.
    ///
    /// Backslashes, commas and colons in paths are escaped for the kernel (rule 64); `mount(8)` itself cannot express a
    /// double quote. More than 4,095 bytes go only through the descriptor engine, or as [`Self::short_options`].
    #[must_use]
    pub fn options(&self) -> OsString {
        self.spell(self.options.generic(), |name| self.stack.path.join(name).into())
    }

    /// The overlay's options with paths relative to the home: what the classic engine passes while it fits a page.
    #[must_use]
    pub fn short_options(&self) -> OsString {
        self.spell([], OsStr::to_os_string)
    }

    /// Mounts at the directory `target`, whose last symbolic link is followed.
    ///
    /// The mount is complete when it appears, read-only and `nosuid` and the like included. Nothing stays behind on error.
    pub fn mount_at(&self, target: impl AsRef<Path>) -> Result<()> {
        let target = target.as_ref();
        let directory = target::open(target)?;
        self.mount_on(&directory).map_err(|error| error.at(target))
    }

    /// Mounts on an open directory; see [`Self::mount_at`].
    pub fn mount_on(&self, target: impl AsFd) -> Result<()> {
        match self.engine {
            Engine::Descriptor => self.mount_detached().and_then(|mount| target::attach(mount, target)),
            Engine::Classic => {
                self.open_upper()?;
                classic::mount(self, target.as_fd()).map_err(|error| backing::explain(self, error))
            }
        }
    }

    /// Mounts without a place: no path leads there, and it vanishes with the last descriptor of it or of a file in it.
    ///
    /// [`attach`](crate::attach) gives it a place later. Needs the descriptor engine.
    pub fn mount_detached(&self) -> Result<OwnedFd> {
        match self.engine {
            Engine::Descriptor => {
                let upper = self.open_upper()?;
                descriptor::mount(self, upper.as_ref()).map_err(|error| backing::explain(self, error))
            }
            Engine::Classic => {
                let message = "a detached mount needs fsopen(2) with lowerdir+ (in Linux since 6.7)";
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }

    /// Opens the upper directory, which has to be on a file system that can carry one.
    fn open_upper(&self) -> Result<Option<OwnedFd>> {
        let Some(Upper { upper, .. }) = &self.stack.upper else { return Ok(None) };
        let directory = target::open_layer(self, upper, rustix::fs::OFlags::PATH)?;
        backing::check_upper(&directory).map_err(|error| error.at(&self.stack.path.join(upper)))?;
        Ok(Some(directory))
    }

    /// Writes the option string, naming each directory by `name`.
    fn spell(&self, generic: impl IntoIterator<Item = &'static str>, name: impl Fn(&OsStr) -> OsString) -> OsString {
        let mut text = OptionString::default();
        generic.into_iter().for_each(|option| text.flag(option));
        self.spell_layers(&mut text, self.lowers.iter().map(|lower| name(lower)), &name);
        text.finish()
    }

    /// Writes the overlay's options with the lowers under other names; `name` names upper and work.
    pub(crate) fn spell_with(
        &self,
        lowers: impl Iterator<Item = OsString>,
        name: impl Fn(&OsStr) -> OsString,
    ) -> OsString {
        let mut text = OptionString::default();
        self.spell_layers(&mut text, lowers, name);
        text.finish()
    }

    fn spell_layers(
        &self,
        text: &mut OptionString,
        lowers: impl Iterator<Item = OsString>,
        name: impl Fn(&OsStr) -> OsString,
    ) {
        let lowers: Vec<_> = lowers.map(|lower| escape_lower(&lower)).collect();
        text.value(LOWER, lowers.join(&b':'));
        if let Some(Upper { upper, work }) = &self.stack.upper {
            text.value(UPPER, escape_dir(&name(upper)));
            text.value(WORK, escape_dir(&name(work)));
        }
        self.settings().into_iter().for_each(|setting| text.setting(setting));
    }

    pub(crate) fn settings(&self) -> Vec<Setting<'_>> {
        self.options.settings()
    }

    /// Says what is being mounted, for errors.
    pub(crate) fn subject(&self) -> String {
        let upper = if self.stack.upper.is_some() { " and an upper directory" } else { "" };
        format!("overlay of {} lower layers{upper}", self.lowers.len())
    }
}
