//! `containers`, `create` and `rename`.

use plyfs::{ContainerOptions, ErrorKind};

use crate::cli::{Create, Rename};
use crate::commands::shapes::ContainerShape;
use crate::exit::{Hinted, Result};
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};

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

/// Creates a container and prints its name.
pub(crate) fn create(session: &mut Session, args: Create) -> Result<()> {
    let store = session.open()?;
    let mut options = ContainerOptions::new().read_only(args.read_only).image_name(&args.image);
    if let Some(name) = &args.name {
        options = options.name(name.parse()?);
    }
    let options = args.labels.into_iter().fold(options, |options, (key, value)| options.label(key, value));
    let image = session::image(&store, &args.image)?;
    let container = store.create(&image, options).hint_on(ErrorKind::Exists, TAKEN)?;
    let shape = ContainerShape::of(&container)?;
    session.out.answer(&shape.name, &shape)
}

/// Gives a container another name.
pub(crate) fn rename(session: &mut Session, args: &Rename) -> Result<()> {
    let store = session.open()?;
    let name = args.new.parse()?;
    session::container(&store, &args.name)?.rename(name).hint_on(ErrorKind::Exists, TAKEN)?;
    Ok(())
}
