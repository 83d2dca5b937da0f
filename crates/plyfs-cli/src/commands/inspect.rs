//! `inspect`: everything about one thing, with docker's field names where docker has the field.
//!
//! What docker calls a size are the lengths of files and symbolic links, each file once; what is set aside for them on disk stands
//! beside it, under `Allocated…`.

use std::ffi::OsStr;
use std::path::PathBuf;

use plyfs::{Container, ErrorKind, Image, Inspected, Layer, Store, User};
use serde_json::{Value, json};

use crate::cli::Inspect;
use crate::commands::shapes::{ConfigShape, own_usage, path_text};
use crate::exit::{Hinted, Result};
use crate::human;
use crate::session::Session;

/// Docker's name for the driver whose directories these are.
const DRIVER: &str = "overlay2";

/// Shows a container, an image or a layer as JSON.
pub(crate) fn inspect(session: &mut Session, args: &Inspect) -> Result<()> {
    let store = session.open()?;
    let hint = "`plyfs containers`, `plyfs images` and `plyfs layers` list what there is";
    let shape = match store.inspect(&args.what).hint_on(ErrorKind::NotFound, hint)? {
        Inspected::Container(container) => container_shape(&store, &container)?,
        Inspected::Image(image) => image_shape(&image)?,
        Inspected::Layer(layer) => layer_shape(&layer)?,
    };
    session.out.json(&shape)
}

fn container_shape(store: &Store, container: &Container) -> Result<Value> {
    let parent = container.parent().map(|parent| store.layer(&parent.to_string())).transpose()?;
    let chain = parent.as_ref().map(Layer::chain).transpose()?.unwrap_or_default();
    let chain_size = parent.map(|parent| parent.chain_usage()).unwrap_or_default();
    let own = own_usage(container)?;
    let all = own + chain_size;
    // Docker's driver home: the store's own is exactly that.
    let directory = store.path().join(DRIVER).join(container.id().to_string());
    let mut data = json!({});
    if !chain.is_empty() {
        data["LowerDir"] = joined(&chain).into();
    }
    for (key, name) in [("UpperDir", "diff"), ("WorkDir", "work"), ("MergedDir", "merged")] {
        data[key] = path_text(&directory.join(name)).into();
    }
    Ok(json!({
        "Id": container.id().to_string(),
        "Name": container.name().as_str(),
        "Created": human::rfc3339(container.created_unix()),
        "Image": container.image().map(|id| id.to_string()),
        "Parent": container.parent().map(|id| id.to_string()),
        "Config": { "Image": container.image_name(), "Labels": container.labels() },
        "Driver": DRIVER,
        "Platform": "linux",
        "HostConfig": { "ReadonlyRootfs": container.is_read_only() },
        "GraphDriver": { "Name": DRIVER, "Data": data },
        "MountedAt": container.mounted_at()?.map(|path| path_text(&path)),
        "SizeRw": own.apparent,
        "SizeRootFs": all.apparent,
        "AllocatedSizeRw": own.allocated,
        "AllocatedSizeRootFs": all.allocated,
    }))
}

fn image_shape(image: &Image) -> Result<Value> {
    let (chain, usage) = (image.layers()?, image.usage()?);
    let config = ConfigShape::of(image, &image.config()?).unwrap_or_default();
    let diff_ids: Vec<_> = chain.iter().rev().map(|layer| layer.diff_id().map(|digest| digest.to_string())).collect();
    let last = config.history.as_array().and_then(|history| history.last());
    let mut data = json!({});
    if let [top, below @ ..] = &chain[..] {
        if !below.is_empty() {
            data["LowerDir"] = joined(below).into();
        }
        data["UpperDir"] = path_text(&top.path()).into();
    }
    Ok(json!({
        "Id": image.id().to_string(),
        "RepoTags": image.names().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "RepoDigests": [],
        "Parent": "",
        "ManifestDigest": image.manifest_digest().map(|digest| digest.to_string()),
        "Comment": text(&config.comment).or_else(|| text(&last?["comment"])).unwrap_or_default(),
        "Created": image.created(),
        "Loaded": human::rfc3339(image.added_unix()),
        "DockerVersion": text(&config.docker_version).unwrap_or_default(),
        "Author": text(&config.author).unwrap_or_default(),
        "Config": config.config,
        "Architecture": image.architecture(),
        "Variant": text(&config.variant),
        "Os": image.os(),
        "OsVersion": text(&config.os_version),
        "Size": usage.apparent,
        "AllocatedSize": usage.allocated,
        "GraphDriver": { "Name": DRIVER, "Data": data },
        "RootFS": { "Type": "layers", "Layers": diff_ids },
        "Layers": chain.iter().rev().map(|layer| layer.id().to_string()).collect::<Vec<_>>(),
        "Containers": containers(image.store(), &image.containers()?)?,
    }))
}

fn layer_shape(layer: &Layer) -> Result<Value> {
    let users = layer.users()?;
    let of = |pick: fn(&User) -> Option<String>| users.iter().filter_map(pick).collect::<Vec<_>>();
    let usage = layer.usage();
    Ok(json!({
        "Id": layer.id().to_string(),
        "Parent": layer.parent().map(|parent| parent.to_string()),
        "DiffId": layer.diff_id().map(|digest| digest.to_string()),
        "ChainId": layer.chain_id().map(|digest| digest.to_string()),
        "Created": human::rfc3339(layer.created_unix()),
        "Depth": layer.depth(),
        "Size": usage.apparent,
        "AllocatedSize": usage.allocated,
        "Inodes": usage.inodes,
        "ArchiveSize": layer.archive_size(),
        "Link": layer.link().to_string(),
        "Path": path_text(&layer.path()),
        "UsedBy": {
            "Layers": of(|user| match user { User::Layer(id) => Some(id.to_string()), _ => None }),
            "Images": of(|user| match user { User::Image(id) => Some(id.to_string()), _ => None }),
            "Containers": of(|user| match user { User::Container(id) => Some(id.to_string()), _ => None }),
            "Leases": of(|user| match user { User::Lease(id) => Some(id.to_string()), _ => None }),
        },
    }))
}

/// A text that says something.
fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// The names of containers given by the ids of their own layers.
fn containers(store: &Store, ids: &[plyfs::LayerId]) -> Result<Vec<String>> {
    let all = store.containers()?;
    let mine = all.iter().filter(|container| ids.contains(&container.id()));
    Ok(mine.map(|container| container.name().to_string()).collect())
}

/// Directories as the kernel and docker list them: uppermost first, colons between.
fn joined(chain: &[Layer]) -> String {
    let paths: Vec<PathBuf> = chain.iter().map(Layer::path).collect();
    let paths: Vec<&OsStr> = paths.iter().map(|path| path.as_os_str()).collect();
    paths.join(OsStr::new(":")).to_string_lossy().into_owned()
}
