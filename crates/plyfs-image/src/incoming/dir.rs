//! The `dir:` form of skopeo and podman: one manifest as `manifest.json`, and each blob by its digest's digits.
//!
//! ```text
//! version          says that it is one
//! manifest.json    an OCI or Docker schema 2 manifest, no list
//! <64 hex>         configs and layers
//! ```

use plyfs_diff::Digest;

use super::images::Images;
use super::missing;
use super::oci::of_manifest;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{DIR_VERSION, DIR_VERSION_START, DOCKER_MANIFEST, MEDIA_DOCKER_LIST, MEDIA_INDEX};
use crate::manifest::{Manifest, stated_type};
use crate::members::Members;

/// Says whether it is one.
pub(super) fn is_one(members: &Members) -> Result<bool> {
    let version = members.document(DIR_VERSION)?;
    Ok(version.is_some_and(|version| version.starts_with(DIR_VERSION_START)))
}

/// Reads the only image, which has no name.
pub(super) fn read(members: &Members, images: &mut Images<'_>) -> Result<()> {
    let bytes = members.document(DOCKER_MANIFEST)?.ok_or_else(|| missing(DOCKER_MANIFEST))?;
    if [MEDIA_INDEX, MEDIA_DOCKER_LIST].contains(&stated_type(&bytes).as_str()) {
        let message =
            format!("{DOCKER_MANIFEST}: a list of images, of which such a directory does not tell the platform");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let parsed = Manifest::parse(&bytes, "", DOCKER_MANIFEST)?;
    images.take(of_manifest(members, DOCKER_MANIFEST, parsed, bytes, Digest::hex)?).map(drop)
}
