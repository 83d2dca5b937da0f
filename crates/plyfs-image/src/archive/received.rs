//! What of an image goes out as it came in: its kept blobs, and its manifest where all that it lists is there.
//!
//! A manifest of an OCI image is written as it was received when each of its layers is a kept blob, or plain, which is
//! rebuilt to the same bytes; then every digest is the one that came in. Otherwise layers with a kept blob that every
//! tool reads go out as that, the others are packed, and a new manifest lists them.

use plyfs_diff::Digest;

use super::{KeptForm, Outgoing, OutgoingLayer, Packing};
use crate::compression::Compression;
use crate::error::{ErrorKind, Result};
use crate::layout::{MEDIA_CONFIG, MEDIA_MANIFEST};
use crate::manifest::Manifest;

/// How one layer is written.
pub(super) enum Form<'a> {
    /// As the blob it came as, and what its media type says of the compression; nothing under a manifest as received.
    Kept(&'a KeptForm<'a>, &'static str),
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
pub(super) fn forms<'a>(image: &'a Outgoing<'_>, packing: Packing) -> Result<Forms<'a>> {
    if !packing.takes_kept {
        return Ok(Forms { manifest: None, layers: image.layers.iter().map(|_| Form::Packed(packing)).collect() });
    }
    if let Some((manifest, layers)) = as_received(image, packing) {
        return Ok(Forms { manifest: Some(manifest), layers });
    }
    let layers = image.layers.iter().map(|layer| Ok(legible(layer)?.unwrap_or(Form::Packed(packing))));
    Ok(Forms { manifest: None, layers: layers.collect::<Result<_>>()? })
}

/// The first kept form that every tool reads. One that is gone is passed over for another one, and else the error.
fn legible<'a>(layer: &'a OutgoingLayer<'_>) -> Result<Option<Form<'a>>> {
    let mut gone = None;
    for kept in &layer.kept {
        match (kept.suffix)() {
            Ok(Some(suffix)) => return Ok(Some(Form::Kept(kept, suffix))),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => gone = Some(error),
            Err(error) => return Err(error),
        }
    }
    gone.map_or(Ok(None), Err)
}

/// The manifest and the layers it lists, if all of them are there.
fn as_received<'a>(image: &'a Outgoing<'_>, packing: Packing) -> Option<(&'a [u8], Vec<Form<'a>>)> {
    let bytes = image.manifest.as_deref()?;
    let (manifest, config) = Manifest::parse(bytes, "", "manifest").ok()?;
    // Readers of layouts pass over manifests of docker's type; the descriptor that is written says OCI's.
    let is_oci = config.media_type == MEDIA_CONFIG && ["", MEDIA_MANIFEST].contains(&manifest.media_type.as_str());
    if !is_oci || manifest.layers.len() != image.layers.len() {
        return None;
    }
    let form = |(layer, listed): (&'a OutgoingLayer<'_>, Digest)| {
        if listed == layer.diff_id {
            return Some(Form::Packed(Packing { compression: Compression::None, ..packing }));
        }
        let kept = layer.kept.iter().find(|kept| kept.promise.digest == listed);
        kept.map(|kept| Form::Kept(kept, ""))
    };
    let listed = manifest.layers.iter().map(|layer| Some(layer.promise("layer").ok()?.digest));
    let listed = listed.collect::<Option<Vec<_>>>()?;
    let forms = image.layers.iter().zip(listed).map(form).collect::<Option<Vec<_>>>()?;
    Some((bytes, forms))
}
