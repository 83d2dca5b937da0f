//! `history`.

use plyfs::HistoryEntry;
use plyfs::prelude::*;
use serde::Serialize;

use crate::cli::History as Args;
use crate::exit::Result;
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};

/// One instruction in JSON.
#[derive(Debug, Serialize)]
struct Shape {
    created: Option<String>,
    created_by: Option<String>,
    author: Option<String>,
    comment: Option<String>,
    layer: Option<String>,
    apparent_bytes: u64,
    allocated_bytes: u64,
    inodes: u64,
}

impl From<HistoryEntry> for Shape {
    fn from(entry: HistoryEntry) -> Self {
        Self {
            created: entry.created,
            created_by: entry.created_by,
            author: entry.author,
            comment: entry.comment,
            layer: entry.layer.map(|id| id.to_string()),
            apparent_bytes: entry.usage.apparent,
            allocated_bytes: entry.usage.allocated,
            inodes: entry.usage.inodes,
        }
    }
}

/// Lists the instructions of an image, newest first.
pub(crate) fn history(session: &mut Session, args: &Args) -> Result<()> {
    let store = session.open()?;
    let image = session::image(&store, &args.image)?;
    let shapes: Vec<Shape> = image.history()?.into_iter().map(Shape::from).collect();
    session.out.listing(&shapes, |entry| entry.layer.clone().unwrap_or_else(|| "-".to_owned()), table)
}

fn table(entries: &[Shape]) -> Columns {
    let mut columns = Columns::new(["LAYER", "SIZE>", "CREATED", "BY", "COMMENT"]);
    for entry in entries {
        let words = |text: &Option<String>| human::one_line(text.as_deref().unwrap_or_default());
        columns.row([
            entry.layer.as_ref().map_or_else(|| "-".to_owned(), human::short),
            human::bytes(entry.allocated_bytes),
            words(&entry.created),
            words(&entry.created_by),
            words(&entry.comment),
        ]);
    }
    columns
}
