//! `containers`, `create` and `rename`.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plyfs::{Container, ContainerOptions, ErrorKind, MountOptions, Removal, Unmount};

use crate::cli::{Create, Rename};
use crate::commands::shapes::ContainerShape;
use crate::exit::{Hinted, Result};
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};
use crate::words;

const TAKEN: &str = "`plyfs containers` lists the names taken";

/// Lists containers, sorted by name.
pub(crate) fn containers(session: &mut Session) -> Result<()> {
    let containers = session.open()?.containers()?;
    let shapes = containers.iter().map(ContainerShape::of).collect::<Result<Vec<_>>>()?;
    session.out.listing(&shapes, |container| container.name.clone(), table)
}

fn table(containers: &[ContainerShape]) -> Columns {
    let mut columns = Columns::new(["NAME", "IMAGE", "CREATED", "MOUNTED AT"]);
    for container in containers {
        columns.row([
            container.name.clone(),
            container.stands_on.clone(),
            human::ago(container.created_unix),
            container.mounted_at.clone().unwrap_or_default(),
        ]);
    }
    columns
}

/// Creates containers and prints their names, or where they are mounted.
pub(crate) fn create(session: &mut Session, args: Create) -> Result<()> {
    let store = session.open()?;
    let options = ContainerOptions::new().read_only(args.read_only).image_name(&args.image);
    let options = args.labels.into_iter().fold(options, |options, (key, value)| options.label(key, value));
    let named = args.names.iter().map(|name| Ok(options.clone().name(name.parse()?)));
    let mut wanted = named.collect::<Result<Vec<_>>>()?;
    if wanted.is_empty() {
        wanted.push(options);
    }
    let image = session::image(&store, &args.image)?;
    let created = store.create_all(&image, wanted).hint_on(ErrorKind::Exists, TAKEN)?;
    let paths = if args.mount { mount_all(&created)? } else { Vec::new() };
    if session.out.is_json() {
        let shapes = created.iter().map(ContainerShape::of).collect::<Result<Vec<_>>>()?;
        return match shapes.as_slice() {
            [one] => session.out.json(one),
            several => session.out.json(&several),
        };
    }
    if args.mount {
        return paths.iter().try_for_each(|path| session.out.line(path.as_os_str().as_bytes()));
    }
    created.iter().try_for_each(|container| session.out.line(container.name().as_str()))
}

/// Mounts new containers for good; where one cannot be, none stays.
fn mount_all(created: &[Container]) -> Result<Vec<PathBuf>> {
    let mount = |container: &Container| {
        let mount = container.mount(&MountOptions::new())?;
        let path = mount.path().to_owned();
        mount.keep();
        Ok(path)
    };
    let mounted = created.iter().map(mount).collect::<Result<_>>();
    mounted.inspect_err(|_| created.iter().for_each(take_back))
}

/// Removes a container that was just made. What somebody works in already stays, as does its mount, and is named.
fn take_back(container: &Container) {
    let taken = container.unmount(Unmount::Plain).and_then(|()| container.remove(Removal::Unmounted));
    if let Err(error) = taken {
        words::warning(&format!("container {} stays: {}", container.name(), plyfs::report(&error)));
    }
}

/// Gives a container another name.
pub(crate) fn rename(session: &mut Session, args: &Rename) -> Result<()> {
    let store = session.open()?;
    let name = args.new.parse()?;
    session::container(&store, &args.name)?.rename(name).hint_on(ErrorKind::Exists, TAKEN)?;
    Ok(())
}
