//! What a caller may choose about a mount, and how options are spelled for the kernel.
//!
//! `redirect_dir`, `metacopy` and `index` are not choices: an upper directory must stay readable without its lowers'
//! history (rules 25–27), so the three are always stated and never inherited from the kernel's build.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::{Error, ErrorKind, Result};

/// Choices about one mount; the default is a writable one that allows what the caller's file systems allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MountOptions {
    pub(crate) read_only: bool,
    pub(crate) nosuid: bool,
    pub(crate) nodev: bool,
    pub(crate) noexec: bool,
    pub(crate) volatile: bool,
    pub(crate) userxattr: bool,
    pub(crate) context: Option<OsString>,
}

impl MountOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses writes; a stack without an upper directory is read-only anyway.
    #[must_use]
    pub fn read_only(mut self, yes: bool) -> Self {
        self.read_only = yes;
        self
    }

    /// Ignores setuid and setgid bits and file capabilities.
    #[must_use]
    pub fn nosuid(mut self, yes: bool) -> Self {
        self.nosuid = yes;
        self
    }

    /// Refuses to open device nodes.
    #[must_use]
    pub fn nodev(mut self, yes: bool) -> Self {
        self.nodev = yes;
        self
    }

    /// Refuses to execute programs.
    #[must_use]
    pub fn noexec(mut self, yes: bool) -> Self {
        self.noexec = yes;
        self
    }

    /// Never syncs the upper directory: faster, and lost as a whole after a crash.
    ///
    /// The kernel leaves a mark in the work directory and refuses to mount it again until the mark is removed (rule 67).
    #[must_use]
    pub fn volatile(mut self, yes: bool) -> Self {
        self.volatile = yes;
        self
    }

    /// Keeps the overlay's marks in `user.overlay.*`; whatever wrote the layers must have done the same (rule 18).
    #[must_use]
    pub fn userxattr(mut self, yes: bool) -> Self {
        self.userxattr = yes;
        self
    }

    /// Labels every file with one SELinux context.
    #[must_use]
    pub fn context(mut self, label: impl Into<OsString>) -> Self {
        self.context = Some(label.into());
        self
    }

    /// Refuses a label that would end its own quotes.
    pub(crate) fn validate(&self) -> Result<()> {
        let bad = |label: &OsStr| label.is_empty() || label.as_bytes().iter().any(|byte| matches!(byte, b'"' | 0));
        match &self.context {
            Some(label) if bad(label) => {
                let message = format!("security context \"{}\" is empty or holds a quote or NUL", label.display());
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
            _ => Ok(()),
        }
    }

    /// The overlay's own settings, in the order in which they are stated.
    pub(crate) fn settings(&self) -> Vec<Setting<'_>> {
        // `off` is refused beside `userxattr`; both mean that no redirect is made (rule 68).
        let redirect = if self.userxattr { "nofollow" } else { "off" };
        let mut settings = vec![
            Setting::Value("redirect_dir", redirect.as_ref()),
            Setting::Value("metacopy", "off".as_ref()),
            Setting::Value("index", "off".as_ref()),
        ];
        settings.extend(self.userxattr.then_some(Setting::Flag("userxattr")));
        settings.extend(self.volatile.then_some(Setting::Flag("volatile")));
        settings.extend(self.context.as_deref().map(|label| Setting::Value("context", label)));
        settings
    }

    /// The generic options as `mount(8)` spells them.
    pub(crate) fn generic(&self) -> impl Iterator<Item = &'static str> {
        let choices = [(self.read_only, "ro"), (self.nosuid, "nosuid"), (self.nodev, "nodev"), (self.noexec, "noexec")];
        choices.into_iter().filter_map(|(chosen, name)| chosen.then_some(name))
    }
}

/// One option of the overlay file system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting<'a> {
    Flag(&'static str),
    Value(&'static str, &'a OsStr),
}

/// A comma-separated option string in the making.
#[derive(Debug, Default)]
pub(crate) struct OptionString(Vec<u8>);

impl OptionString {
    pub(crate) fn flag(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    pub(crate) fn value(&mut self, name: &str, value: impl IntoIterator<Item = u8>) {
        self.flag(name);
        self.0.push(b'=');
        self.0.extend(value);
    }

    pub(crate) fn setting(&mut self, setting: Setting<'_>) {
        match setting {
            Setting::Flag(name) => self.flag(name),
            // The security module takes its option out first and honours quotes, not backslashes.
            Setting::Value(name @ "context", label) => {
                self.value(name, [b"\"", label.as_bytes(), b"\""].concat());
            }
            Setting::Value(name, value) => self.value(name, value.as_bytes().iter().copied()),
        }
    }

    pub(crate) fn finish(self) -> OsString {
        OsString::from_vec(self.0)
    }
}

/// Escapes a path for `upperdir=` and `workdir=`: backslash and comma (rule 64).
pub(crate) fn escape_dir(path: &OsStr) -> Vec<u8> {
    escape(path, b"\\,")
}

/// Escapes a path for its place in `lowerdir=`, where a colon separates (rule 64).
pub(crate) fn escape_lower(path: &OsStr) -> Vec<u8> {
    escape(path, b"\\,:")
}

/// Escapes a path for `upperdir` and `workdir` through `fsconfig(2)`, which takes backslashes away but splits nothing.
pub(crate) fn escape_value(path: &OsStr) -> Vec<u8> {
    escape(path, b"\\")
}

fn escape(path: &OsStr, special: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| special.contains(&byte).then_some(b'\\').into_iter().chain([byte]);
    path.as_bytes().iter().flat_map(escaped).collect()
}
