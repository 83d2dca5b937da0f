//! The labels of images, as their configs say them, and a prune that goes by them.

use std::collections::BTreeMap;

use plyfs_store::{Image, Kept, PruneOptions, Pruned, Reason, Store, Subject};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::json::object::Object;
use crate::json::parse_stored;

/// A label that an image must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelFilter {
    key: String,
    value: Option<String>,
    is_not: bool,
}

impl LabelFilter {
    /// Fits images that have the label: `KEY` whatever its value, or `KEY=VALUE`.
    #[must_use]
    pub fn has(label: &str) -> Self {
        let (key, value) = label.split_once('=').map_or((label, None), |(key, value)| (key, Some(value.to_owned())));
        Self { key: key.to_owned(), value, is_not: false }
    }

    /// Fits images that do not have it.
    #[must_use]
    pub fn lacks(label: &str) -> Self {
        Self { is_not: true, ..Self::has(label) }
    }

    /// Says whether an image with these labels fits.
    #[must_use]
    pub fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        let there = labels.get(&self.key);
        let fits = there.is_some_and(|there| self.value.as_ref().is_none_or(|value| value == there));
        fits != self.is_not
    }
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Document {
    config: Option<Box<RawValue>>,
}

/// The labels an image's config says; what is no text there is none.
pub fn labels(image: &Image) -> Result<BTreeMap<String, String>> {
    read(image).map_err(|error| Error::wrap(format!("image {}", image.id()), error))
}

fn read(image: &Image) -> Result<BTreeMap<String, String>> {
    let bytes = image.config().map_err(|error| Error::store("its config", error))?;
    let document: Document = parse_stored(&bytes, "its config")?;
    document.config.map_or_else(|| Ok(BTreeMap::new()), |config| said(&config))
}

/// The labels that what a config says of containers has; one that cannot be read is not one without labels.
fn said(config: &RawValue) -> Result<BTreeMap<String, String>> {
    if !config.get().starts_with('{') {
        return Ok(BTreeMap::new());
    }
    let unread = |error| Error::new(ErrorKind::InvalidInput, "its config").because(error);
    let execution: Object = serde_json::from_str(config.get()).map_err(unread)?;
    let labels = execution.raw("Labels").map_or("null", RawValue::get);
    let labels: Value = serde_json::from_str(labels).map_err(unread)?;
    let labels = labels.as_object().into_iter().flatten();
    Ok(labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect())
}

/// Prunes as [`Store::prune`] does, of the images without a name only those that fit all of these labels, and of the layers
/// only those they stood on. Without labels it is that prune.
///
/// An image whose config cannot be read fits none, whatever is asked, and is told in [`Pruned::kept`].
pub fn prune_labelled(store: &Store, options: PruneOptions, wanted: &[LabelFilter]) -> Result<Pruned> {
    let failed = |error| Error::store("prune", error);
    if wanted.is_empty() {
        return store.prune(options).map_err(failed);
    }
    let (mut chosen, mut unread) = (Vec::new(), Vec::new());
    for image in store.images().map_err(failed)?.iter().filter(|image| image.names().is_empty()) {
        match read(image) {
            Ok(labels) if wanted.iter().all(|label| label.fits(&labels)) => chosen.push(image.id()),
            Ok(_) => {}
            Err(error) if is_of_image(&error) => {
                // One that somebody removed meanwhile is nothing to speak of.
                if store.image_by_id(&image.id()).is_ok() {
                    let why = Reason::Failed(plyfs_sys::report(&error));
                    unread.push(Kept::new(Subject::Image(image.id()), why));
                }
            }
            Err(error) => return Err(error),
        }
    }
    let mut pruned = store.prune(options.only(chosen)).map_err(failed)?;
    pruned.kept.extend(unread);
    Ok(pruned)
}

/// Says whether the config is to blame, and not the medium it is on.
fn is_of_image(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_however_their_field_is_spelt_and_those_that_cannot_be_read_are_not_none() {
        let read = |text: &str| said(&RawValue::from_string(text.to_owned()).expect("JSON"));
        let both = BTreeMap::from([("K", "2"), ("k", "v")].map(|(key, value)| (key.to_owned(), value.to_owned())));
        for field in ["Labels", "labels", "LABELS"] {
            let config = format!(r#"{{"Env":5,"{field}":{{"k":"v","n":1,"K":"2"}}}}"#);
            assert_eq!(read(&config).expect("readable"), both, "{field}");
        }
        for none in ["{}", "[]", "null", r#"{"Labels":null}"#, r#"{"Labels":[1]}"#] {
            assert!(read(none).expect("readable").is_empty(), "{none}");
        }
        let deep = format!(r#"{{"Labels":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(read(&deep).expect_err("too deep").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_label_fits_by_its_key_or_by_key_and_value_and_can_be_denied() {
        let labels = [("team", "core"), ("empty", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = BTreeMap::from(labels);
        for (filter, expected) in [
            (LabelFilter::has("team"), true),
            (LabelFilter::has("team=core"), true),
            (LabelFilter::has("team=other"), false),
            (LabelFilter::has("empty="), true),
            (LabelFilter::has("absent"), false),
            (LabelFilter::lacks("absent"), true),
            (LabelFilter::lacks("team=core"), false),
        ] {
            assert_eq!(filter.fits(&labels), expected, "{filter:?}");
        }
        assert!(!LabelFilter::has("team").fits(&BTreeMap::new()), "a config without labels has none");
    }
}
