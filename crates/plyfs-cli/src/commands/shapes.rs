//! The objects of `--json`, shared by the commands that print them. Field names are a promise; new ones may come.

use std::collections::BTreeMap;
use std::path::Path;

use plyfs::{Container, ErrorKind, Image, Layer, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Result;
use crate::words;

/// What a tree takes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Takes {
    apparent_bytes: u64,
    allocated_bytes: u64,
    inodes: u64,
}

impl From<Usage> for Takes {
    fn from(usage: Usage) -> Self {
        Self { apparent_bytes: usage.apparent, allocated_bytes: usage.allocated, inodes: usage.inodes }
    }
}

/// An image in a listing, and as the answer to what makes one.
#[derive(Debug, Serialize)]
pub(crate) struct ImageShape {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) created: Option<String>,
    pub(crate) added_unix: u64,
    architecture: Option<String>,
    os: Option<String>,
    layers: u64,
    manifest_digest: Option<String>,
    #[serde(skip)]
    pub(crate) allocated: u64,
    usage: Takes,
}

impl ImageShape {
    pub(crate) fn of(image: &Image) -> Result<Self> {
        let usage = image.usage()?;
        let top = image.top().map(|top| image.store().layer(&top.to_string())).transpose()?;
        Ok(Self {
            id: image.id().to_string(),
            names: image.names().iter().map(ToString::to_string).collect(),
            created: image.created().map(str::to_owned),
            added_unix: image.added_unix(),
            architecture: image.architecture().map(str::to_owned),
            os: image.os().map(str::to_owned),
            layers: top.map_or(0, |top| top.depth()),
            manifest_digest: image.manifest_digest().map(|digest| digest.to_string()),
            allocated: usage.allocated,
            usage: usage.into(),
        })
    }
}

/// What is shown of an image's config; a field that nobody asks for may be whatever it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConfigShape {
    pub(crate) config: Value,
    pub(crate) history: Value,
    pub(crate) comment: Value,
    pub(crate) author: Value,
    pub(crate) docker_version: Value,
    pub(crate) variant: Value,
    #[serde(rename = "os.version")]
    pub(crate) os_version: Value,
}

impl ConfigShape {
    /// Reads it; with a warning where it nests too deep or has numbers too large to be shown, and then nothing.
    pub(crate) fn of(image: &Image, bytes: &[u8]) -> Option<Self> {
        let warn = |error: &serde_json::Error| words::warning(&format!("image {}: its config: {error}", image.id()));
        serde_json::from_slice(bytes).inspect_err(warn).ok()
    }
}

/// A layer in a listing.
#[derive(Debug, Serialize)]
pub(crate) struct LayerShape {
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) diff_id: Option<String>,
    chain_id: Option<String>,
    link: String,
    depth: u64,
    pub(crate) created_unix: u64,
    archive_bytes: Option<u64>,
    #[serde(skip)]
    pub(crate) own: Usage,
    usage: Takes,
    path: String,
}

impl LayerShape {
    pub(crate) fn of(layer: &Layer) -> Self {
        Self {
            id: layer.id().to_string(),
            parent: layer.parent().map(|parent| parent.to_string()),
            diff_id: layer.diff_id().map(|digest| digest.to_string()),
            chain_id: layer.chain_id().map(|digest| digest.to_string()),
            link: layer.link().to_string(),
            depth: layer.depth(),
            created_unix: layer.created_unix(),
            archive_bytes: layer.archive_size(),
            own: layer.usage(),
            usage: layer.usage().into(),
            path: path_text(&layer.path()),
        }
    }
}

/// A container in a listing, and as the answer to what makes one.
#[derive(Debug, Serialize)]
pub(crate) struct ContainerShape {
    pub(crate) name: String,
    id: String,
    image: Option<String>,
    image_name: Option<String>,
    #[serde(skip)]
    pub(crate) stands_on: String,
    parent: Option<String>,
    labels: BTreeMap<String, String>,
    read_only: bool,
    pub(crate) created_unix: u64,
    pub(crate) mounted_at: Option<String>,
}

impl ContainerShape {
    pub(crate) fn of(container: &Container) -> Result<Self> {
        Ok(Self {
            name: container.name().to_string(),
            id: container.id().to_string(),
            image: container.image().map(|id| id.to_string()),
            image_name: container.image_name().map(str::to_owned),
            stands_on: stands_on(container),
            parent: container.parent().map(|id| id.to_string()),
            labels: container.labels().clone(),
            read_only: container.is_read_only(),
            created_unix: container.created_unix(),
            mounted_at: container.mounted_at()?.map(|path| path_text(&path)),
        })
    }
}

/// The name a container's image was found by, else the beginning of its image's or layer's id.
pub(crate) fn stands_on(container: &Container) -> String {
    let id = || container.image().map(|id| id.to_string()).or_else(|| container.parent().map(|id| id.to_string()));
    let found_by = container.image_name().map(str::to_owned);
    found_by.or_else(|| id().as_deref().map(crate::human::short)).unwrap_or_default()
}

/// What a container's own layer takes now; a crash may have taken its directories, which the next mount makes again.
pub(crate) fn own_usage(container: &Container) -> Result<Usage> {
    match container.usage() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Usage::default()),
        result => Ok(result?),
    }
}

/// A path in JSON, which holds text alone: other bytes become U+FFFD.
pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
