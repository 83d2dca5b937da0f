//! `images` and `tag`.

use crate::cli::{Images, Tag};
use crate::commands::shapes::ImageShape;
use crate::exit::Result;
use crate::filter::ImageFilter;
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};

/// Lists the images that the filters take, a row for each name.
pub(crate) fn images(session: &mut Session, args: &Images) -> Result<()> {
    let store = session.open()?;
    let filter = ImageFilter::new(&store, args.name.as_deref(), &args.filters)?;
    let mut shapes = Vec::new();
    for image in store.images()? {
        if filter.takes(&image)? {
            let mut shape = ImageShape::of(&image)?;
            shape.names.retain(|name| filter.takes_name(name));
            shapes.push(shape);
        }
    }
    session.out.listing(&shapes, |image| image.id.clone(), table)
}

fn table(images: &[ImageShape]) -> Columns {
    let mut columns = Columns::new(["NAME", "ID", "LOADED", "SIZE>"]);
    let none = ["<none>".to_owned()];
    for image in images {
        for name in if image.names.is_empty() { &none[..] } else { &image.names } {
            let size = human::bytes(image.allocated);
            columns.row([name.clone(), human::short(&image.id), human::ago(image.added_unix), size]);
        }
    }
    columns
}

/// Gives an image another name.
pub(crate) fn tag(session: &mut Session, args: &Tag) -> Result<()> {
    let store = session.open()?;
    let name = args.new.parse()?;
    Ok(store.tag(&session::image(&store, &args.image)?, &name)?)
}
