//! `rm`, `rmi` and `untag`: each goes on after a failure, and ends with the exit code of the first.

use std::collections::BTreeMap;

use plyfs::{ErrorKind, Image, Pruned, Reference, Removal, Store};
use serde::Serialize;

use crate::cli::{Rm, Rmi, Untag};
use crate::exit::{Failure, Hinted, Result};
use crate::session::{self, Session};
use crate::words;

/// Says why one argument failed; the exit code of the first such.
#[derive(Debug, Default)]
struct Failed(u8);

impl Failed {
    /// The exit code so far.
    fn code(&self) -> u8 {
        self.0
    }

    fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        let say = |failure: Failure| {
            words::failure(&failure);
            self.0 = if self.0 == 0 { failure.code() } else { self.0 };
        };
        result.map_err(say).ok()
    }
}

/// Does something with each of what is given and prints what came of it: a line each, or an object with a list called `done`.
pub(super) fn each(
    session: &mut Session,
    given: &[String],
    done: &'static str,
    act: impl Fn(&Store, &str) -> Result<String>,
) -> Result<u8> {
    let store = session.open()?;
    let mut failed = Failed::default();
    let all: Vec<_> = given.iter().filter_map(|given| failed.note(act(&store, given))).collect();
    // Printed when all is done: a reader that goes away stops nothing.
    if session.out.is_json() {
        session.out.json(&BTreeMap::from([(done, all)]))?;
    } else {
        all.iter().try_for_each(|one| session.out.line(one))?;
    }
    Ok(failed.code())
}

/// Removes containers and prints their names.
pub(crate) fn rm(session: &mut Session, args: &Rm) -> Result<u8> {
    let removal = if args.force { Removal::Force } else { Removal::Unmounted };
    each(session, &args.names, "removed", |store, name| remove_container(store, name, removal))
}

fn remove_container(store: &Store, name: &str, removal: Removal) -> Result<String> {
    let container = session::container(store, name)?;
    container.remove(removal).map_err(|error| match container.mounted_at() {
        Ok(Some(_)) => Failure::from(error).hint(format!("`plyfs umount {name}` first, or `plyfs rm --force {name}`")),
        _ => error.into(),
    })?;
    Ok(container.name().to_string())
}

/// What a removal of images did.
#[derive(Debug, Default, Serialize)]
struct Removed {
    untagged: Vec<String>,
    deleted: Vec<String>,
    layers: Vec<String>,
    reclaimed_bytes: u64,
    /// Images whose names went and that stay for their containers.
    kept: Vec<KeptImage>,
}

#[derive(Debug, Serialize)]
struct KeptImage {
    id: String,
    reason: String,
}

impl Removed {
    fn add(&mut self, pruned: &Pruned) {
        self.deleted.extend(pruned.images.iter().map(ToString::to_string));
        self.layers.extend(pruned.layers.iter().map(ToString::to_string));
        self.reclaimed_bytes += pruned.reclaimed.allocated;
    }
}

/// Removes images or their names, and prints what went.
pub(crate) fn rmi(session: &mut Session, args: &Rmi) -> Result<u8> {
    let store = session.open()?;
    let mut failed = Failed::default();
    let mut removed = Removed::default();
    for name in &args.images {
        failed.note(remove_image(&store, name, args.force, &mut removed));
    }
    for image in &removed.kept {
        words::warning(&format!("image {} stays: {}", image.id, image.reason));
    }
    if session.out.is_json() {
        session.out.json(&removed)?;
    } else {
        removed.untagged.iter().try_for_each(|name| session.out.line(format!("Untagged: {name}")))?;
        removed.deleted.iter().try_for_each(|id| session.out.line(format!("Deleted: {id}")))?;
    }
    Ok(failed.code())
}

/// Takes names from their images and prints them.
pub(crate) fn untag(session: &mut Session, args: &Untag) -> Result<u8> {
    each(session, &args.names, "untagged", take_name)
}

fn take_name(store: &Store, given: &str) -> Result<String> {
    let image = session::image(store, given)?;
    let Some(name) = name_given(&image, given) else {
        let failure = Failure::usage(format!("{given} is an id and no name"));
        return Err(failure.hint("`plyfs rmi` removes an image by its id"));
    };
    store.untag_from(&image, name)?;
    Ok(name.to_string())
}

/// Removes one of several names alone; the last one, or an id, removes the image.
///
/// By force, an image that has to stay for a container loses its names, all or the one given.
fn remove_image(store: &Store, given: &str, force: bool, removed: &mut Removed) -> Result<()> {
    let image = session::image(store, given)?;
    let name = name_given(&image, given);
    let taken = name.map_or_else(|| image.names(), std::slice::from_ref);
    let hint = "`plyfs tree` shows what uses it; `plyfs rm` removes containers";
    let result = name.map_or_else(|| store.remove_image(&image), |name| store.remove_image_name(&image, name));
    let pruned = match result {
        Err(error) if force && error.kind() == ErrorKind::InUse => {
            for name in taken {
                match store.untag_from(&image, name) {
                    // Somebody took it, or gave it to another image, meanwhile.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => continue,
                    untagged => untagged?,
                }
                removed.untagged.push(name.to_string());
            }
            removed.kept.push(KeptImage { id: image.id().to_string(), reason: plyfs::report(&error) });
            return Ok(());
        }
        pruned => pruned.hint_on(ErrorKind::InUse, hint)?,
    };
    removed.untagged.extend(taken.iter().map(ToString::to_string));
    removed.add(&pruned);
    Ok(())
}

/// The name by which `given` found the image, in the order of the look-up; `None` when it was found by its id.
fn name_given<'a>(image: &'a Image, given: &str) -> Option<&'a Reference> {
    let given: Reference = given.parse().ok()?;
    ["", "docker.io/library/", "localhost/"]
        .into_iter()
        .find_map(|prefix| image.names().iter().find(|name| name.as_str().strip_prefix(prefix) == Some(given.as_str())))
}
