//! Writes minimal images from layer archives given as bytes: docker-archive, OCI layout, OCI archive.
//!
//! For images no peer would build: hundreds of layers, layers that attack, exact bytes. The output is deterministic.

mod layer;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use layer::LayerTar;
pub use tar::{EntryType, Header};

/// An image to be written: a name, layer archives from the base up, and what its config says to run.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    /// A full name with its tag: `localhost/many:129`.
    pub name: String,
    /// The layers' uncompressed archives, the base first.
    pub layers: Vec<Vec<u8>>,
    /// The config's `Cmd`.
    pub cmd: Vec<String>,
}

/// How an OCI image's layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The layer media type of the OCI image specification.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Compresses; the same bytes each time.
    #[must_use]
    pub fn apply(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::None => plain.to_vec(),
            Self::Gzip => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(plain).and_then(|()| out.finish()).expect("memory takes it")
            }
            Self::Zstd => zstd::encode_all(plain, 3).expect("memory takes it"),
        }
    }
}

/// The digest of `bytes` in lower hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Plain {
    /// Starts an image of these layers, the base first.
    #[must_use]
    pub fn new(name: &str, layers: Vec<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), layers, cmd: vec!["/bin/sh".to_owned()] }
    }

    /// The image's config; its digest is the image id.
    #[must_use]
    pub fn config(&self) -> Vec<u8> {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
        let history: Vec<_> = (0..self.layers.len()).map(|n| json!({ "created_by": format!("layer {n}") })).collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        bytes(&json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": { "Cmd": self.cmd, "Env": ["PATH=/usr/bin:/bin"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        }))
    }

    /// The image id: the config's digest in hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        sha256(&self.config())
    }

    /// Returns the docker-archive's members in order, its layers plain.
    #[must_use]
    pub fn docker_members(&self) -> Vec<(String, Vec<u8>)> {
        let config = self.config();
        let config_name = format!("{}.json", sha256(&config));
        let layer_names: Vec<_> = self.layers.iter().map(|layer| format!("{}.tar", sha256(layer))).collect();
        let manifest = json!([{ "Config": config_name, "RepoTags": [self.name], "Layers": layer_names }]);
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, layer) in layer_names.into_iter().zip(&self.layers) {
            if members.iter().all(|(known, _)| *known != name) {
                members.push((name, layer.clone()));
            }
        }
        members.extend([(config_name, config), ("manifest.json".to_owned(), bytes(&manifest))]);
        members
    }

    /// Returns the OCI layout's files by path.
    #[must_use]
    pub fn oci_members(&self, compression: Compression) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
        let mut blob = |media: &str, content: Vec<u8>| {
            let hex = sha256(&content);
            let descriptor = json!({ "mediaType": media, "digest": format!("sha256:{hex}"), "size": content.len() });
            let path = format!("blobs/sha256/{hex}");
            if files.iter().all(|(known, _)| *known != path) {
                files.push((path, content));
            }
            descriptor
        };
        let config = blob("application/vnd.oci.image.config.v1+json", self.config());
        let layers: Vec<_> =
            self.layers.iter().map(|layer| blob(compression.media_type(), compression.apply(layer))).collect();
        let media = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": media, "config": config, "layers": layers });
        let mut manifest = blob(media, bytes(&manifest));
        // The tag alone, as skopeo and umoci select by; the full name as containerd and podman know it.
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        manifest["annotations"] =
            json!({ "org.opencontainers.image.ref.name": tag, "io.containerd.image.name": self.name });
        files.push(("index.json".to_owned(), bytes(&json!({ "schemaVersion": 2, "manifests": [manifest] }))));
        files
    }

    /// Writes a docker-archive.
    #[track_caller]
    pub fn write_docker_archive(&self, to: &Path) {
        write_archive(to, &self.docker_members());
    }

    /// Writes an OCI archive: the layout as one tar.
    #[track_caller]
    pub fn write_oci_archive(&self, compression: Compression, to: &Path) {
        write_archive(to, &self.oci_members(compression));
    }

    /// Writes an OCI layout into the directory `to`, made if it is not there.
    #[track_caller]
    pub fn write_oci_layout(&self, compression: Compression, to: &Path) {
        for (name, content) in self.oci_members(compression) {
            write_file(&to.join(name), &content);
        }
    }
}

/// Packs members into one plain tar, in the order given, each directory before what it holds.
///
/// Without entries for directories skopeo cannot unpack the archive unless it is root: it gives those it has to make
/// up to root.
#[track_caller]
pub fn write_archive(to: &Path, members: &[(String, Vec<u8>)]) {
    let mut tar = LayerTar::new();
    let mut made = BTreeSet::new();
    for (name, content) in members {
        for (slash, _) in name.match_indices('/') {
            if made.insert(&name[..slash]) {
                tar = tar.dir(format!("{}/", &name[..slash]));
            }
        }
        tar = tar.file(name, content);
    }
    write_file(to, &tar.finish());
}

/// Reads a plain tar's regular files, in order.
#[must_use]
#[track_caller]
pub fn read_archive(from: &Path) -> Vec<(String, Vec<u8>)> {
    let file = fs::File::open(from).unwrap_or_else(|e| panic!("open {}: {e}", from.display()));
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let mut members = Vec::new();
    for entry in archive.entries().expect("a fresh archive") {
        let mut entry = entry.unwrap_or_else(|e| panic!("read {}: {e}", from.display()));
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8(entry.path_bytes().into_owned()).expect("image archives have plain names");
            let mut content = Vec::new();
            std::io::copy(&mut entry, &mut content).unwrap_or_else(|e| panic!("read {}: {e}", from.display()));
            members.push((name, content));
        }
    }
    members
}

#[track_caller]
fn write_file(to: &Path, content: &[u8]) {
    let parent = to.parent().expect("a file has a directory");
    fs::create_dir_all(parent).unwrap_or_else(|e| panic!("make {}: {e}", parent.display()));
    fs::write(to, content).unwrap_or_else(|e| panic!("write {}: {e}", to.display()));
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}
