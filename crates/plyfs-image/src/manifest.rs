//! The documents that say what an image is made of, as far as they are read.
//!
//! What was received is kept and hashed as bytes; these types only look into it and are never written back.
//! Fields may be `null` where Go wrote an empty list.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::digest::{self, Promise};
use crate::error::{Error, ErrorKind, Result, at_most, shown};
use crate::json::fields::MANIFEST;
use crate::json::{or_default, parse};
use crate::layout::{self, MAX_DESCRIPTORS, MAX_LAYERS};
use crate::platform::Stated;

/// A pointer to a blob.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    digest: String,
    size: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    pub platform: Option<Stated>,
    #[serde(default, deserialize_with = "or_default")]
    urls: Vec<String>,
}

impl Descriptor {
    /// The digest, its grammar checked, and the size; `what` names the descriptor.
    pub(crate) fn promise(&self, what: &str) -> Result<Promise> {
        Ok(Promise { digest: digest::parse(&self.digest, what)?, size: self.size })
    }

    /// Says of a foreign layer, which an archive need not hold, what it is and where it is to be had.
    pub(crate) fn foreign(&self) -> Option<String> {
        let is_foreign = layout::FOREIGN_LAYERS.iter().any(|word| self.media_type.contains(word));
        is_foreign.then(|| match self.urls.first() {
            Some(url) => format!("of type {}, to be had from {}", self.media_type, shown(url)),
            None => format!("of type {}", self.media_type),
        })
    }

    /// Says whether the descriptor is about another one, as buildkit's attestations are.
    pub(crate) fn is_attestation(&self) -> bool {
        self.annotations.contains_key(layout::ANNOTATION_REFERENCE_TYPE)
            || self.platform.as_ref().is_some_and(Stated::is_unknown)
    }
}

/// An OCI index or a Docker manifest list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(crate) struct Index {
    schema_version: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    media_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Index {
    /// Reads an index; a document that is also a manifest is refused (CVE-2021-41190).
    pub(crate) fn parse(bytes: &[u8], media_type: &str, what: &str) -> Result<Self> {
        let index: Self = parse(bytes, what, &MANIFEST)?;
        if index.config.is_some() || index.layers.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: both an index and a manifest")));
        }
        same_type(&index.media_type, media_type, what)?;
        if let Some(version) = index.schema_version.filter(|version| *version != 2) {
            return Err(Error::new(ErrorKind::Unsupported, format!("{what}: schema version {version}")));
        }
        at_most(MAX_DESCRIPTORS, index.manifests.len(), what, "manifests").map(|()| index)
    }
}

/// An OCI or Docker schema 2 manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object")]
pub(crate) struct Manifest {
    #[serde(default)]
    schema_version: u32,
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    manifests: Option<IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest and refuses, by name, what is not an image: artifacts, other layers, schema 1.
    pub(crate) fn parse(bytes: &[u8], media_type: &str, what: &str) -> Result<(Self, Descriptor)> {
        let mut manifest: Self = parse(bytes, what, &MANIFEST)?;
        if manifest.manifests.is_some() {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: both an index and a manifest")));
        }
        same_type(&manifest.media_type, media_type, what)?;
        let unsupported = |message: String| Err(Error::new(ErrorKind::Unsupported, format!("{what}: {message}")));
        if manifest.schema_version != 2 {
            return unsupported(format!("schema version {}", manifest.schema_version));
        }
        let Some(config) = manifest.config.take() else {
            return Err(Error::new(ErrorKind::InvalidInput, format!("{what}: no config")));
        };
        if ![layout::MEDIA_CONFIG, layout::MEDIA_DOCKER_CONFIG, ""].contains(&config.media_type.as_str()) {
            return unsupported(format!(
                "no image but an artifact with a config of type {}",
                shown(&config.media_type)
            ));
        }
        if manifest.layers.len() > MAX_LAYERS {
            return unsupported(format!("{} layers, and {MAX_LAYERS} are the most", manifest.layers.len()));
        }
        let foreign = manifest.layers.iter().find(|layer| !layout::MEDIA_LAYERS.contains(&layer.media_type.as_str()));
        match foreign {
            Some(layer) => unsupported(format!("a layer of type {}", shown(&layer.media_type))),
            None => Ok((manifest, config)),
        }
    }
}

/// The media type that a document states of itself; empty where it does not.
pub(crate) fn stated_type(document: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", expecting = "an object")]
    struct Document {
        media_type: Option<String>,
    }
    parse::<Document>(document, "manifest", &MANIFEST).unwrap_or_default().media_type.unwrap_or_default()
}

/// Says whether a manifest is about another one, as signatures and the like are that registries attach to an image.
pub(crate) fn has_subject(manifest: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(expecting = "an object")]
    struct Document {
        subject: Option<IgnoredAny>,
    }
    parse::<Document>(manifest, "manifest", &MANIFEST).is_ok_and(|document| document.subject.is_some())
}

/// A media type stated inside a document is the one its descriptor states (CVE-2021-41190).
fn same_type(inside: &str, descriptor: &str, what: &str) -> Result<()> {
    if inside.is_empty() || descriptor.is_empty() || inside == descriptor {
        return Ok(());
    }
    let message = format!("{what}: of type {} by its descriptor, {} by itself", shown(descriptor), shown(inside));
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// One image in the `manifest.json` of a docker-archive.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", expecting = "an object")]
pub(crate) struct DockerEntry {
    pub config: String,
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::fields::ENTRIES;
    use crate::json::parse_list;

    const WHAT: &str = "manifest";

    fn manifest(config: &str, layer: &str) -> String {
        let digest = Digest::of("x");
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":1}},
               "layers":[{{"mediaType":"{layer}","digest":"{digest}","size":1,"annotations":null}}]}}"#
        )
    }
    use plyfs_diff::Digest;

    #[test]
    fn oci_and_docker_manifests_are_read() {
        for (config, layer) in [
            (layout::MEDIA_CONFIG, layout::MEDIA_LAYER),
            (layout::MEDIA_DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ] {
            let text = manifest(config, layer);
            let (manifest, config) = Manifest::parse(text.as_bytes(), "", WHAT).expect("a manifest");
            assert_eq!(manifest.layers.len(), 1);
            assert_eq!(config.promise("config").expect("a digest").size, 1);
        }
    }

    #[test]
    fn what_is_no_image_is_refused_by_its_type() {
        for (config, layer, name) in [
            ("application/vnd.cncf.helm.config.v1+json", layout::MEDIA_LAYER, "helm"),
            (layout::MEDIA_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "encrypted"),
        ] {
            let error = Manifest::parse(manifest(config, layer).as_bytes(), "", WHAT).expect_err("refused");
            assert_eq!((error.kind(), error.to_string().contains(name)), (ErrorKind::Unsupported, true), "{error}");
        }
        let error = Manifest::parse(br#"{"schemaVersion":1,"fsLayers":[]}"#, "", WHAT).expect_err("refused");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Unsupported, "manifest: schema version 1".into()));
    }

    #[test]
    fn a_document_may_not_be_manifest_and_index_at_once() {
        let both = manifest(layout::MEDIA_CONFIG, layout::MEDIA_LAYER).replacen('{', r#"{"manifests":[],"#, 1);
        assert_eq!(Manifest::parse(both.as_bytes(), "", WHAT).expect_err("refused").kind(), ErrorKind::InvalidInput);
        assert_eq!(Index::parse(both.as_bytes(), "", WHAT).expect_err("refused").kind(), ErrorKind::InvalidInput);
        let typed = format!(r#"{{"mediaType":"{}","manifests":null}}"#, layout::MEDIA_INDEX);
        Index::parse(typed.as_bytes(), layout::MEDIA_INDEX, WHAT).expect("the same type");
        let error = Index::parse(typed.as_bytes(), layout::MEDIA_MANIFEST, WHAT).expect_err("another type");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn garbage_is_refused_and_named() {
        let deep = "[".repeat(10_000);
        let texts = [
            "",
            "{",
            "[]",
            r#"{"schemaVersion":2,"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"layers":[],"Layers":[]}"#,
            r#"{"schemaVersion":2,"layers":[{"Digest":"x"}]}"#,
            r#"{"schemaVersion":2,"layers":[["type","digest",1,{},null,[]]]}"#,
            r#"{"config":{"size":-1}}"#,
            &deep,
        ];
        for text in texts {
            let error = Manifest::parse(text.as_bytes(), "", WHAT).expect_err("refused");
            let short: String = text.chars().take(30).collect();
            assert_eq!((error.kind(), error.to_string().starts_with(WHAT)), (ErrorKind::InvalidInput, true), "{short}");
        }
    }

    #[test]
    fn docker_writes_null_where_it_has_no_tags() {
        let entries: Vec<DockerEntry> =
            parse_list(br#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"]}]"#, WHAT, &ENTRIES)
                .expect("entries");
        assert_eq!((entries[0].repo_tags.len(), entries[0].layers.len()), (0, 1));
    }
}
