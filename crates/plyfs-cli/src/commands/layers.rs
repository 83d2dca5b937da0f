//! `layers`.

use crate::commands::shapes::LayerShape;
use crate::exit::Result;
use crate::human;
use crate::output::Columns;
use crate::session::Session;

/// Lists layers, sorted by id.
pub(crate) fn layers(session: &mut Session) -> Result<()> {
    let layers: Vec<_> = session.open()?.layers()?.iter().map(LayerShape::of).collect();
    session.out.listing(&layers, |layer| layer.id.clone(), table)
}

fn table(layers: &[LayerShape]) -> Columns {
    let mut columns = Columns::new(["ID", "PARENT", "DIFF ID", "LOADED", "SIZE>", "INODES>"]);
    let short = |id: &Option<String>| id.as_deref().map(human::short).unwrap_or_default();
    for layer in layers {
        columns.row([
            human::short(&layer.id),
            short(&layer.parent),
            short(&layer.diff_id),
            human::ago(layer.created_unix),
            human::bytes(layer.own.allocated),
            layer.own.inodes.to_string(),
        ]);
    }
    columns
}
