//! OCI layouts that are put together from the blobs of another: fewer layers, other compressions, archives.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::run::{check, command, output};

/// What the images of the bench are called.
pub(super) const NAME: &str = "localhost/svc:1";

/// The one image of a layout.
#[derive(Clone, Debug)]
pub(super) struct Image {
    /// Its config as it is written.
    pub(super) config: Value,
    /// The files of its layers, lowest first.
    pub(super) layers: Vec<PathBuf>,
}

/// How the layers of an image are compressed, as their media type says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Gzip,
    Zstd,
}

impl Image {
    /// Reads the first image of a layout.
    pub(super) fn read(layout: &Path) -> Result<Self> {
        let document = |file: &Path| -> Result<Value> {
            let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
            serde_json::from_slice(&bytes).with_context(|| format!("read {}", file.display()))
        };
        let blob = |of: &Value| -> Result<PathBuf> {
            let hex = of["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
            Ok(layout.join("blobs/sha256").join(hex.context("a descriptor without a digest")?))
        };
        let index = document(&layout.join("index.json"))?;
        let manifest = document(&blob(&index["manifests"][0])?)?;
        let layers = manifest["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let layers = layers.iter().map(blob).collect::<Result<Vec<_>>>()?;
        if layers.len() < 2 {
            bail!("{}: an image of {} layers, and it takes several", layout.display(), layers.len());
        }
        Ok(Self { config: document(&blob(&manifest["config"])?)?, layers })
    }

    /// The same image without its uppermost layer.
    pub(super) fn without_top(&self) -> Self {
        let mut lower = self.clone();
        lower.layers.pop();
        if let Some(diff_ids) = lower.config["rootfs"]["diff_ids"].as_array_mut() {
            diff_ids.pop();
        }
        // Who counts the layers of the history would find one too many.
        lower.config["history"] = lower.layers.iter().map(|_| json!({ "created_by": "bench" })).collect();
        lower
    }

    /// Writes a layout, and a `manifest.json` beside it so that docker loads an archive of it.
    pub(super) fn write(&self, dir: &Path, name: &str, packed: Packed) -> Result<()> {
        let blobs = dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("create {}", blobs.display()))?;
        let kind = match packed {
            Packed::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Packed::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        };
        let layers = self.layers.iter().map(|file| keep(&blobs, file, kind)).collect::<Result<Vec<_>>>()?;
        let config = self.keep_document(&blobs, &self.config, "application/vnd.oci.image.config.v1+json")?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
        let mut named = self.keep_document(&blobs, &manifest, kind)?;
        named["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        let path =
            |of: &Value| format!("blobs/sha256/{}", of["digest"].as_str().unwrap_or_default().replace("sha256:", ""));
        let docker = json!([{ "Config": path(&config), "RepoTags": [name], "Layers": layers.iter().map(path).collect::<Vec<_>>() }]);
        write(&dir.join("oci-layout"), &json!({ "imageLayoutVersion": "1.0.0" }))?;
        write(&dir.join("index.json"), &json!({ "schemaVersion": 2, "manifests": [named] }))?;
        write(&dir.join("manifest.json"), &docker)
    }

    /// Writes the members of a docker-archive whose layers are these plain files.
    pub(super) fn write_docker(&self, dir: &Path, plain: &[PathBuf]) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let config = self.keep_document(dir, &self.config, "")?;
        let named = |of: &Value| of["digest"].as_str().unwrap_or_default().replace("sha256:", "");
        let mut layers = Vec::new();
        for file in plain {
            layers.push(format!("{}.tar", named(&keep(dir, file, "")?)));
        }
        for layer in &layers {
            fs::rename(dir.join(layer.trim_end_matches(".tar")), dir.join(layer)).with_context(|| layer.clone())?;
        }
        write(&dir.join("manifest.json"), &json!([{ "Config": named(&config), "RepoTags": [NAME], "Layers": layers }]))
    }

    fn keep_document(&self, blobs: &Path, document: &Value, kind: &str) -> Result<Value> {
        let file = blobs.join("document");
        write(&file, document)?;
        let kept = keep(blobs, &file, kind);
        fs::remove_file(&file).with_context(|| format!("delete {}", file.display()))?;
        kept
    }
}

/// Puts the files of a directory into a tar archive.
pub(super) fn archive(dir: &Path, file: &Path) -> Result<()> {
    // Blobs may be links to where they came from.
    check(command("tar").args(["--create", "--dereference", "--file"]).arg(file).arg("-C").arg(dir).arg("."))
}

/// Links a file under its digest, and describes it.
fn keep(blobs: &Path, file: &Path, kind: &str) -> Result<Value> {
    let file = file.canonicalize().with_context(|| format!("resolve {}", file.display()))?;
    let sum = output(command("sha256sum").arg("--binary").arg(&file))?;
    let hex = sum.split_whitespace().next().context("sha256sum: no digest")?;
    let kept = blobs.join(hex);
    if kept != file && !kept.exists() {
        // A link where both lie on one file system; a document is no longer there when it is read.
        let linked = fs::hard_link(&file, &kept).or_else(|_| symlink(&file, &kept));
        linked.with_context(|| format!("link {}", kept.display()))?;
    }
    let size = fs::metadata(&file).with_context(|| format!("stat {}", file.display()))?.len();
    Ok(json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": size }))
}

fn write(file: &Path, document: &Value) -> Result<()> {
    fs::write(file, document.to_string()).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_read_as_it_was_written_and_loses_its_top() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let layers: Vec<PathBuf> = (0..3).map(|number| dir.path().join(format!("layer-{number}"))).collect();
        for layer in &layers {
            fs::write(layer, layer.to_str().expect("UTF-8")).expect("write");
        }
        let config = json!({ "rootfs": { "type": "layers", "diff_ids": ["a", "b", "c"] }, "history": [] });
        let whole = Image { config, layers };
        whole.write(&dir.path().join("whole"), NAME, Packed::Gzip).expect("written");
        let read = Image::read(&dir.path().join("whole")).expect("read");
        assert_eq!(read.config, whole.config);
        let content: Vec<_> = read.layers.iter().map(|layer| fs::read(layer).expect("a blob")).collect();
        assert_eq!(content, whole.layers.iter().map(|layer| fs::read(layer).expect("a layer")).collect::<Vec<_>>());
        let lower = read.without_top();
        assert_eq!(lower.config["rootfs"]["diff_ids"], json!(["a", "b"]));
        assert_eq!((lower.layers.len(), lower.config["history"].as_array().map(Vec::len)), (2, Some(2)));
    }

    #[test]
    fn docker_archives_name_their_layers_by_digest() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let layer = dir.path().join("layer");
        fs::write(&layer, "").expect("write");
        let image = Image { config: json!({}), layers: Vec::new() };
        image.write_docker(&dir.path().join("docker"), &[layer]).expect("written");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.tar";
        assert!(dir.path().join("docker").join(empty).exists());
        let manifest = fs::read_to_string(dir.path().join("docker/manifest.json")).expect("a manifest");
        assert!(manifest.contains(empty), "{manifest}");
    }
}
