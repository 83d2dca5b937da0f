//! What a store holds, in lines that do not depend on random ids: equal states have equal lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use plyfs::{Container, Image, Layer, LayerId, Store};

/// Describes images, layers, containers with their content, and `df`, sorted.
pub fn lines(store: &Store) -> Result<Vec<String>> {
    let layers: BTreeMap<_, _> = store.layers()?.into_iter().map(|layer| (layer.id(), layer)).collect();
    let mut lines = Vec::new();
    for layer in layers.values() {
        lines.push(layer_line(layer, &layers)?);
    }
    for image in store.images()? {
        lines.push(image_line(&image, &layers));
    }
    for container in store.containers()? {
        lines.extend(container_lines(&container, &layers)?);
    }
    let usage = store.usage()?;
    lines.push(format!(
        "df: {} images, {} layers, {} containers, {} bytes and {} inodes stored, {} bytes reclaimable",
        usage.images,
        usage.layers,
        usage.containers,
        usage.stored.apparent,
        usage.stored.inodes,
        usage.reclaimable.apparent
    ));
    lines.sort();
    Ok(lines)
}

type Layers = BTreeMap<LayerId, Layer>;

/// A layer by its chain, or by its content where the chain is not known.
fn named(id: Option<LayerId>, layers: &Layers) -> String {
    let Some(id) = id else { return "nothing".to_owned() };
    match layers.get(&id) {
        None => format!("{id}, which is not there"),
        Some(layer) => match (layer.chain_id(), layer.diff_id()) {
            (Some(chain), _) => format!("chain {chain}"),
            (None, Some(diff)) => format!("changeset {diff} on {}", named(layer.parent(), layers)),
            (None, None) => "a layer of no digest".to_owned(),
        },
    }
}

fn layer_line(layer: &Layer, layers: &Layers) -> Result<String> {
    let usage = layer.usage();
    Ok(format!(
        "layer: {} on {}, depth {}, {} bytes, {} inodes, {} users",
        named(Some(layer.id()), layers),
        named(layer.parent(), layers),
        layer.depth(),
        usage.apparent,
        usage.inodes,
        layer.users()?.len()
    ))
}

fn image_line(image: &Image, layers: &Layers) -> String {
    let manifest = image.manifest_digest().map_or("none".to_owned(), |digest| digest.to_string());
    format!("image: {} {:?} top {} manifest {manifest}", image.id(), image.names(), named(image.top(), layers))
}

fn container_lines(container: &Container, layers: &Layers) -> Result<Vec<String>> {
    let name = container.name();
    let image = container.image().map_or("none".to_owned(), |id| id.to_string());
    let labels = container.labels();
    let mut lines = vec![format!(
        "container: {name} of image {image} on {}, labels {labels:?}, mounted {}",
        named(container.parent(), layers),
        container.mounted_at()?.is_some()
    )];
    for change in container.changes()? {
        lines.push(format!("container {name} changed: {}", change?));
    }
    let diff = container.store().path().join("overlay2").join(container.id().to_string()).join("diff");
    for (path, digest) in contents(&diff)? {
        lines.push(format!("container {name} holds: {} {digest}", path.display()));
    }
    Ok(lines)
}

/// The digests of all regular files below a directory.
fn contents(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                let below = path.strip_prefix(root).expect("it was found below the root").to_owned();
                found.insert(below, plyfs_testkit::oci::sha256(&bytes));
            }
        }
    }
    Ok(found)
}

/// The lines only one of two states has, marked `-` and `+`.
#[must_use]
pub fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}
