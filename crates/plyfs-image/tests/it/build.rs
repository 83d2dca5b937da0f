//! Archives put together blob by blob: what no tool writes, and what tools write that are not here.

use std::path::Path;

use plyfs_testkit::oci::{Compression, LayerTar, sha256, write_archive};
use serde_json::{Value, json};

pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

/// An archive in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Build {
    pub members: Vec<(String, Vec<u8>)>,
}

impl Build {
    pub(crate) fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.members.push((name.into(), bytes.into()));
    }

    /// Adds a blob, once; its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
        let bytes = bytes.into();
        let (name, size) = (format!("blobs/sha256/{}", sha256(&bytes)), bytes.len());
        if self.members.iter().all(|(known, _)| *known != name) {
            self.add(&name, bytes);
        }
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", &name[13..]), "size": size })
    }

    /// Adds an image of these plain layers and their blobs; the descriptor of its manifest.
    pub(crate) fn image(&mut self, plain: &[&[u8]], blobs: &[Value]) -> Value {
        let config = self.blob(CONFIG, config(plain).to_string());
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs });
        self.blob(MANIFEST, manifest.to_string())
    }

    /// Adds the list of a layout; each is called by its name, if it has one.
    pub(crate) fn index(&mut self, manifests: &[(Option<&str>, Value)]) {
        let named = |(name, descriptor): &(Option<&str>, Value)| {
            let mut descriptor = descriptor.clone();
            if let Some(name) = name {
                descriptor["annotations"]["org.opencontainers.image.ref.name"] = (*name).into();
            }
            descriptor
        };
        let manifests: Vec<_> = manifests.iter().map(named).collect();
        self.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        self.add("index.json", json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string());
    }

    pub(crate) fn write(&self, to: &Path) {
        write_archive(to, &self.members);
    }
}

/// A config of these layers.
pub(crate) fn config(plain: &[&[u8]]) -> Value {
    let diff_ids: Vec<_> = plain.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    json!({ "os": "linux", "architecture": architecture(), "config": {}, "rootfs": { "type": "layers", "diff_ids": diff_ids } })
}

/// This machine's architecture as images call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A layer that holds one file, large enough to be compressed in several pieces.
pub(crate) fn layer(name: &str) -> Vec<u8> {
    let content: String = (0..20_000).map(|line| format!("{name} {line}\n")).collect();
    LayerTar::new().file(name, content).finish()
}

/// A layer compressed by gzip.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    Compression::Gzip.apply(plain)
}

/// A layer compressed by zstd.
pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    Compression::Zstd.apply(plain)
}
