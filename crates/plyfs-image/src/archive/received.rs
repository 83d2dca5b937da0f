//! What of an image goes out as it came in: its kept blobs, and its manifest where all that it lists is there.
//!
//! A manifest of an OCI image is written as it was received when each of its layers is a kept blob, or plain, which is
//! rebuilt to the same bytes; then every digest is the one that came in. Otherwise layers with a kept blob that every
//! tool reads go out as that, the others are packed, and a new manifest lists them.

use plyfs_diff::Digest;

use super::{KeptForm, Outgoing, OutgoingLayer, Packing};
use crate::compression::Compression;
use crate::layout::MEDIA_CONFIG;
use crate::manifest::Manifest;

/// How one layer is written.
pub(super) enum Form<'a> {
    /// As the blob it came as.
    Kept(&'a KeptForm<'a>),
    /// Packed now.
    Packed(Packing),
}

/// How the layers of an image are written, lowest first, and under which manifest.
pub(super) struct Forms<'a> {
    /// The manifest as received; without it a new one is to be made.
    pub manifest: Option<&'a [u8]>,
    pub layers: Vec<Form<'a>>,
}

/// Decides how an image is written.
pub(super) fn forms<'a>(image: &'a Outgoing<'_>, packing: Packing) -> Forms<'a> {
    if !packing.takes_kept {
        return Forms { manifest: None, layers: image.layers.iter().map(|_| Form::Packed(packing)).collect() };
    }
    if let Some((manifest, layers)) = as_received(image, packing) {
        return Forms { manifest: Some(manifest), layers };
    }
    let layer = |layer: &'a OutgoingLayer<'_>| {
        let kept = layer.kept.iter().find(|kept| kept.suffix.is_some());
        kept.map_or(Form::Packed(packing), Form::Kept)
    };
    Forms { manifest: None, layers: image.layers.iter().map(layer).collect() }
}

/// The manifest and the layers it lists, if all of them are there.
fn as_received<'a>(image: &'a Outgoing<'_>, packing: Packing) -> Option<(&'a [u8], Vec<Form<'a>>)> {
    let bytes = image.manifest.as_deref()?;
    let (manifest, config) = Manifest::parse(bytes, "", "manifest").ok()?;
    // Readers of layouts pass over manifests of docker's type.
    if config.media_type != MEDIA_CONFIG || manifest.layers.len() != image.layers.len() {
        return None;
    }
    let form = |(layer, listed): (&'a OutgoingLayer<'_>, Digest)| {
        if listed == layer.diff_id {
            return Some(Form::Packed(Packing { compression: Compression::None, ..packing }));
        }
        layer.kept.iter().find(|kept| kept.promise.digest == listed).map(Form::Kept)
    };
    let listed = manifest.layers.iter().map(|layer| Some(layer.promise("layer").ok()?.digest));
    let listed = listed.collect::<Option<Vec<_>>>()?;
    let forms = image.layers.iter().zip(listed).map(form).collect::<Option<Vec<_>>>()?;
    Some((bytes, forms))
}
