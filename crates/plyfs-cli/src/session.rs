//! One run of the program: which store, opened how, where to print.

use std::cell::OnceCell;
use std::env;
use std::path::{Path, PathBuf};

use plyfs::{Container, ErrorKind, Image, Inspected, Store};
use rustix::io::Errno;

use crate::cli::Common;
use crate::exit::{AS_ROOT, Failure, Hinted, Result};
use crate::output::Output;
use crate::words;

/// Where root's store is.
const SYSTEM_ROOT: &str = "/var/lib/plyfs";

/// What the commands share.
#[derive(Debug)]
pub(crate) struct Session {
    /// Standard output.
    pub(crate) out: Output,
    root: Option<PathBuf>,
    store: OnceCell<Store>,
}

impl Session {
    /// Prepares a run; nothing is opened yet.
    pub(crate) fn new(common: Common) -> Result<Self> {
        let out = Output::new(common.json, common.quiet)?;
        Ok(Self { out, root: common.root, store: OnceCell::new() })
    }

    /// The store, which must be there.
    pub(crate) fn open(&self) -> Result<Store> {
        let root = self.root()?;
        let hint = "`plyfs load` and `plyfs import` make a store; --root and PLYFS_ROOT name another one";
        match Store::open(&root) {
            Err(error) if error.kind() == ErrorKind::Corrupt => match sound_part(&root) {
                Some(store) => self.remember(Ok(store)),
                None => Err(Failure::from(error).hint(DAMAGED)),
            },
            store => self.remember(store.hint_on(ErrorKind::NotFound, hint)),
        }
    }

    /// The store, made if there is none: by root alone, since nobody else could fill it and would be left with it, empty.
    pub(crate) fn ensure(&self) -> Result<Store> {
        let root = self.root()?;
        if !rustix::process::geteuid().is_root() && is_absent(&root) {
            let failure = Failure::stream(format!("make store {}", root.display()), Errno::PERM.into());
            return Err(failure.hint(AS_ROOT));
        }
        let hint = "--root or PLYFS_ROOT names another directory";
        let store = Store::ensure(&root).hint_on(ErrorKind::InvalidInput, hint);
        self.remember(store.hint_on(ErrorKind::Corrupt, DAMAGED))
    }

    fn remember(&self, store: Result<Store>) -> Result<Store> {
        store.inspect(|store| drop(self.store.set(store.clone())))
    }

    /// Returns the space of what was removed, by this command or by one that was killed.
    pub(crate) fn reap(&self) -> Result<()> {
        match self.store.get().filter(|store| store.is_writable()) {
            Some(store) => store.reap().map(drop).map_err(Failure::from),
            None => Ok(()),
        }
    }

    /// The root asked for, or the user's own. An empty `PLYFS_ROOT` is none, as it is with the XDG variables.
    pub(crate) fn root(&self) -> Result<PathBuf> {
        let variable = |name| env::var_os(name).map(PathBuf::from);
        match &self.root {
            Some(root) if !root.as_os_str().is_empty() => return Ok(root.clone()),
            Some(_) if variable("PLYFS_ROOT").is_none_or(|given| !given.as_os_str().is_empty()) => {
                return Err(Failure::usage("--root is empty"));
            }
            _ => {}
        }
        let is_root = rustix::process::geteuid().is_root();
        default_root(is_root, variable("XDG_DATA_HOME"), variable("HOME"))
            .ok_or_else(|| Failure::usage("no home directory to keep a store in: --root or PLYFS_ROOT names one"))
    }
}

/// What helps where a store does not open because something in it is lost or damaged.
const DAMAGED: &str = "`plyfs fsck` tells what is damaged and whether --repair or --rebuild helps";

/// Says whether there is no store, as far as can be seen.
fn is_absent(root: &Path) -> bool {
    Store::options().read_only(true).open(root).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// How many damaged places are told one by one.
const TOLD: usize = 5;

/// What can be read of a store whose journal is damaged, with a warning that says so.
fn sound_part(root: &Path) -> Option<Store> {
    let store = Store::options().salvage(true).open(root).ok()?;
    let damage = store.damage();
    if damage.is_empty() {
        return None;
    }
    damage.iter().take(TOLD).for_each(|place| words::warning(place));
    words::warning("the journal is damaged: what is sound is shown, nothing can be changed; see `plyfs fsck`");
    Some(store)
}

/// Where a user's store is: the XDG specification ignores relative paths.
fn default_root(is_root: bool, data_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(SYSTEM_ROOT.into());
    }
    let absolute = |path: &PathBuf| path.is_absolute();
    let data = data_home.filter(absolute).or_else(|| Some(home.filter(absolute)?.join(".local/share")));
    data.map(|data| data.join("plyfs"))
}

/// The container of this name.
pub(crate) fn container(store: &Store, name: &str) -> Result<Container> {
    store.container(name).hint_on(ErrorKind::NotFound, "`plyfs containers` lists what there is")
}

/// The image of this name or id.
pub(crate) fn image(store: &Store, name: &str) -> Result<Image> {
    store.image(name).hint_on(ErrorKind::NotFound, "`plyfs images` lists what there is")
}

/// The container, image or layer of this name or id.
pub(crate) fn inspect(store: &Store, what: &str) -> Result<Inspected> {
    let hint = "`plyfs containers`, `plyfs images` and `plyfs layers` list what there is";
    store.inspect(what).hint_on(ErrorKind::NotFound, hint)
}

/// Says whether a path argument means a standard stream.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_root_is_the_systems_for_root_and_the_users_own_else() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (is_root, data_home, home, expected) in [
            (true, path("/d"), path("/h"), path("/var/lib/plyfs")),
            (false, path("/d"), path("/h"), path("/d/plyfs")),
            (false, path("relative"), path("/h"), path("/h/.local/share/plyfs")),
            (false, path(""), path("/h"), path("/h/.local/share/plyfs")),
            (false, None, path("/h"), path("/h/.local/share/plyfs")),
            (false, None, path(""), None),
            (false, None, None, None),
        ] {
            assert_eq!(default_root(is_root, data_home.clone(), home.clone()), expected, "{data_home:?} {home:?}");
        }
    }
}
