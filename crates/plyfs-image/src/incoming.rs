//! The images that an archive or layout holds, read and checked but for the content of their layers.
//!
//! An `index.json` is followed when there is one, since everything below it has a digest and a size; else
//! `manifest.json`. Docker since 25 writes both, and so does this crate: then the names come from
//! `manifest.json`, which has them as they were given.

mod choice;
mod dir;
mod docker;
mod images;
mod oci;

use std::borrow::Cow;

use plyfs_diff::Digest;
use plyfs_store::Reference;

use crate::digest::Promise;
use crate::error::{Error, ErrorKind, Result};
use crate::json::fields::CONFIG;
use crate::json::parse;
use crate::layout;
use crate::members::Members;
use crate::platform::{Platform, Stated};
use images::Images;

/// One image on its way in.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The digest of the config.
    pub id: Digest,
    /// The config as received.
    pub config: Vec<u8>,
    /// The manifest as received; a docker-archive has none.
    pub manifest: Option<Vec<u8>>,
    /// What its descriptor says it is for, where one does.
    pub stated: Option<Stated>,
    /// The names it comes with.
    pub names: Vec<Reference>,
    /// Its layers, lowest first.
    pub layers: Vec<IncomingLayer>,
    /// What was left out, in words; where there was no room for all of them, how much more.
    pub notes: Vec<String>,
}

impl Incoming {
    /// What messages call the image: its first name, else its id.
    pub(crate) fn label(&self) -> String {
        self.names.first().map_or_else(|| format!("image {}", self.id), |name| format!("image {name}"))
    }
}

/// One layer on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncomingLayer {
    /// The digest its uncompressed archive must have.
    pub diff_id: Digest,
    /// The member that holds it.
    pub member: String,
    /// What its descriptor says of the member; a docker-archive says nothing.
    pub promise: Option<Promise>,
    /// Of a foreign layer, what it is and where it is to be had.
    pub foreign: Option<String>,
}

/// Which image is taken where there is a choice: that for the platform asked for, or for this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(pub Option<Platform>);

impl Wanted {
    fn platform(&self) -> Cow<'_, Platform> {
        self.0.as_ref().map_or_else(|| Cow::Owned(Platform::host()), Cow::Borrowed)
    }

    /// Refuses an image for another platform than the one asked for, and one that says nowhere what it is for.
    ///
    /// The config is what runtimes go by; where that is silent, the descriptor is believed.
    fn check(&self, image: &Incoming) -> Result<()> {
        let Some(asked) = &self.0 else { return Ok(()) };
        let config: Stated = parse(&image.config, "config", &CONFIG)?;
        let stated = [Some(&config), image.stated.as_ref()].into_iter().flatten().find(|stated| !stated.is_empty());
        let message = match stated {
            Some(stated) if asked.takes(stated) => return Ok(()),
            Some(stated) => format!("an image for {stated}, and {asked} was asked for"),
            None => format!("config: architecture: none is stated, and {asked} was asked for"),
        };
        Err(Error::new(ErrorKind::Unsupported, message))
    }
}

/// Reads what images there are; every document is held to its digest, every layer's member is there.
pub(crate) fn read(members: &Members, wanted: &Wanted) -> Result<Vec<Incoming>> {
    let mut images = Images::new(members, wanted);
    if members.has(layout::OCI_INDEX)? {
        oci::read(members, wanted, &mut images)?;
    } else if members.has(layout::DOCKER_MANIFEST)? && dir::is_one(members)? {
        dir::read(members, &mut images)?;
    } else if members.has(layout::DOCKER_MANIFEST)? {
        docker::read(members, &mut images)?;
    } else if members.has(layout::DOCKER_REPOSITORIES)? {
        return Err(Error::new(ErrorKind::Unsupported, "an archive of docker before 1.10, without manifest.json"));
    } else if members.may_be_cut() {
        let message = "the archive is cut off: it has no end, and neither index.json nor manifest.json is in it";
        return Err(Error::new(ErrorKind::Corrupt, message));
    } else {
        let message = "no image archive: neither index.json nor manifest.json is in it";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    images.finish()
}

/// A layer's member is there and as large as its descriptor says.
fn check_member(members: &Members, layer: &IncomingLayer) -> Result<()> {
    let member = match (members.open(&layer.member)?, &layer.foreign) {
        (Some(member), _) => member,
        (None, None) => return Err(missing(&layer.member)),
        (None, Some(foreign)) => {
            let message = format!("a foreign layer {foreign}, which is not in the archive");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    };
    match layer.promise {
        Some(promise) if promise.size != member.size() => {
            let message =
                format!("{}: {} bytes where its descriptor says {}", layer.member, member.size(), promise.size);
            Err(Error::new(ErrorKind::Corrupt, message))
        }
        _ => Ok(()),
    }
}

/// What is named but not there.
pub(crate) fn missing(member: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{} is missing", crate::error::shown(member)))
}

#[cfg(test)]
#[path = "incoming/tests.rs"]
mod tests;
