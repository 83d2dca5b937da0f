//! One container's life, beside the bare system calls of the same.

use std::path::Path;

use plyfs_store::{Container, ContainerOptions, Layer, Mount, MountOptions, Removal, Store};
use plyfs_testkit::oci::LayerTar;

use crate::raw::Raw;
use crate::{Result, timed};

/// Layers below the container, as an ordinary image has them.
const DEPTH: usize = 5;

/// Makes, mounts, unmounts and removes one container a round, and one by bare calls in turn.
pub(crate) fn run(dir: &Path, rounds: u32) -> Result<()> {
    let store = Store::ensure(dir.join("store"))?;
    let top = chain(&store, DEPTH)?;
    let mut raw = Raw::new(&dir.join("raw"), DEPTH)?;
    for round in 0..=rounds {
        // The first round warms up: what is found once per process is no container's price.
        let print = |name: &str| if round == 0 { format!("first {name}") } else { name.to_owned() };
        let name = format!("c{round}");
        timed(&print("raw create+mount"), || raw.create(&name))?;
        let (container, mount) = timed(&print("plyfs create+mount"), || {
            let container = store.create(&top, ContainerOptions::new().name(name.parse()?))?;
            let mount = container.mount(&MountOptions::new())?;
            Ok((container, mount))
        })?;
        timed(&print("raw unmount+remove"), || raw.remove(&name))?;
        timed(&print("plyfs unmount+remove"), || {
            mount.unmount()?;
            Ok(container.remove(Removal::Unmounted)?)
        })?;
        timed(&print("plyfs reap"), || Ok(store.reap()?))?;
    }
    Ok(())
}

/// Makes and mounts `count` containers of the first image of the store in `dir`, one by one and in one call in turn, and
/// removes them.
pub(crate) fn containers(dir: &Path, rounds: u32, count: usize) -> Result<()> {
    let store = Store::open(dir)?;
    let image = store.images()?.into_iter().next().ok_or("the store has no image")?;
    let wanted = || (0..count).map(|number| Ok(ContainerOptions::new().name(format!("c{number}").parse()?)));
    let mounted = |container: Container| {
        let mount = container.mount(&MountOptions::new())?;
        Ok((container, mount))
    };
    for _ in 0..rounds {
        let made = timed("one by one", || {
            wanted().map(|options| mounted(store.create(&image, options?)?)).collect::<Result<Vec<_>>>()
        })?;
        remove(&store, made)?;
        let made = timed("in one call", || {
            let created = store.create_all(&image, wanted().collect::<Result<Vec<_>>>()?)?;
            created.into_iter().map(mounted).collect::<Result<Vec<_>>>()
        })?;
        remove(&store, made)?;
    }
    Ok(())
}

fn remove(store: &Store, made: Vec<(Container, Mount)>) -> Result<()> {
    for (container, mount) in made {
        mount.unmount()?;
        container.remove(Removal::Unmounted)?;
    }
    store.reap()?;
    Ok(())
}

/// Publishes a chain of small layers and returns the uppermost.
pub(crate) fn chain(store: &Store, depth: usize) -> Result<Layer> {
    let mut operation = store.operation()?;
    let mut top = None;
    for number in 0..depth {
        let archive = LayerTar::new().file(format!("layer-{number}"), b"one of several").finish();
        top = Some(operation.apply(&mut archive.as_slice(), top, None)?.id);
    }
    operation.publish()?;
    Ok(store.layer(&top.ok_or("a chain has a layer")?.to_string())?)
}
