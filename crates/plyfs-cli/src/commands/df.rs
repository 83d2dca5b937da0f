//! `df`: what is stored once, what is shared, and what copies would have cost.

use plyfs::{Container, ErrorKind, Store, StoreUsage, Usage};
use serde::Serialize;

use crate::commands::shapes::{ContainerShape, Takes};
use crate::exit::Result;
use crate::human;
use crate::output::Columns;
use crate::session::Session;
use crate::words;

#[derive(Debug, Serialize)]
struct DfShape {
    images: u64,
    layers: u64,
    stored: Takes,
    shared: Takes,
    reclaimable: Takes,
    containers_own: Takes,
    as_copies: Takes,
    total_bytes: u64,
    free_bytes: u64,
    total_inodes: u64,
    free_inodes: u64,
    is_short_of_inodes: bool,
    containers: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    #[serde(skip)]
    stands_on: String,
    own: Takes,
    as_copy: Takes,
    #[serde(skip)]
    sizes: (Usage, Usage),
}

impl Row {
    fn of(store: &Store, container: &Container) -> Result<Self> {
        let own = counted(container)?;
        let parent = container.parent().map(|parent| store.layer(&parent.to_string())).transpose()?;
        let copy = own + parent.map(|parent| parent.chain_usage()).unwrap_or_default();
        let shape = ContainerShape::of(container)?;
        let stands_on = shape.stands_on();
        Ok(Self { name: shape.name, stands_on, own: own.into(), as_copy: copy.into(), sizes: (own, copy) })
    }
}

/// What a container's own layer takes; one that is mangled is told and counts as nothing, so that the others are seen.
fn counted(container: &Container) -> Result<Usage> {
    match container.usage() {
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput) => {
            words::warning(&format!("{} is counted as nothing: {}", container.name(), plyfs::report(&error)));
            Ok(Usage::default())
        }
        // A crash took its directories, which the next mount makes again.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Usage::default()),
        usage => Ok(usage?),
    }
}

/// Shows what a store holds.
pub(crate) fn df(session: &mut Session) -> Result<()> {
    let store = session.open()?;
    let mut usage = store.recorded_usage()?;
    let rows = store.containers()?.iter().map(|container| Row::of(&store, container)).collect::<Result<Vec<_>>>()?;
    // Each container is walked once, for its row and for the sum.
    usage.containers_own = rows.iter().map(|row| row.sizes.0).sum();
    usage.as_copies += usage.containers_own;
    if let Some(warning) = scarce_inodes(&usage) {
        words::warning(&warning);
    }
    if session.out.is_json() {
        return session.out.json(&DfShape {
            images: usage.images,
            layers: usage.layers,
            stored: usage.stored.into(),
            shared: usage.shared.into(),
            reclaimable: usage.reclaimable.into(),
            containers_own: usage.containers_own.into(),
            as_copies: usage.as_copies.into(),
            total_bytes: usage.total_bytes,
            free_bytes: usage.free_bytes,
            total_inodes: usage.total_inodes,
            free_inodes: usage.free_inodes,
            is_short_of_inodes: usage.is_short_of_inodes(),
            containers: rows,
        });
    }
    session.out.table(summary(&usage))?;
    if rows.is_empty() {
        return Ok(());
    }
    session.out.line("")?;
    session.out.table(containers(&rows))
}

fn summary(usage: &StoreUsage) -> Columns {
    let mut columns = Columns::new(["", "SIZE>", "INODES>", ""]);
    let stored = format!("{} of {}", human::count(usage.layers, "layer"), human::count(usage.images, "image"));
    let mut row = |what: &str, usage: Usage, note: String| {
        columns.row([what.to_owned(), human::bytes(usage.allocated), usage.inodes.to_string(), note]);
    };
    row("stored once", usage.stored, stored);
    row("shared", usage.shared, "layers that two or more images or containers stand on".to_owned());
    row("added by containers", usage.containers_own, human::count(usage.containers, "container"));
    row("as copies", usage.as_copies, "if each container were a full copy".to_owned());
    row("reclaimable", usage.reclaimable, "layers that nothing stands on".to_owned());
    let inodes = if usage.total_inodes == 0 { "-".to_owned() } else { usage.free_inodes.to_string() };
    let note = "on the file system".to_owned();
    columns.row(["free".to_owned(), human::bytes(usage.free_bytes), inodes, note]);
    columns
}

fn containers(rows: &[Row]) -> Columns {
    let mut columns = Columns::new(["CONTAINER", "IMAGE", "ADDS>", "INODES>", "AS A COPY>"]);
    for row in rows {
        let (own, copy) = row.sizes;
        columns.row([
            row.name.clone(),
            row.stands_on.clone(),
            human::bytes(own.allocated),
            own.inodes.to_string(),
            human::bytes(copy.allocated),
        ]);
    }
    columns
}

/// Says so when inodes run out before bytes do.
fn scarce_inodes(usage: &StoreUsage) -> Option<String> {
    let part = |free: u64, total: u64| u128::from(free) * 1000 / u128::from(total.max(1));
    let (inodes, bytes) = (part(usage.free_inodes, usage.total_inodes), part(usage.free_bytes, usage.total_bytes));
    let percent = |part: u128| format!("{}.{} %", part / 10, part % 10);
    usage.is_short_of_inodes().then(|| {
        format!(
            "inodes are scarcer than bytes: {} left, {} of them, and {} of the bytes",
            usage.free_inodes,
            percent(inodes),
            percent(bytes)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_are_scarce_when_few_are_left_and_fewer_than_of_bytes() {
        let check = |free_inodes, total_inodes, free_bytes, total_bytes| {
            let mut usage = StoreUsage::default();
            (usage.free_inodes, usage.total_inodes) = (free_inodes, total_inodes);
            (usage.free_bytes, usage.total_bytes) = (free_bytes, total_bytes);
            scarce_inodes(&usage)
        };
        assert_eq!(check(500, 1000, 900, 1000), None, "half of them is plenty");
        assert_eq!(check(50, 1000, 10, 1000), None, "bytes run out first");
        assert_eq!(check(0, 0, 10, 1000), None, "a file system without a number of them");
        let warning = check(52, 1000, u64::MAX / 2, u64::MAX).expect("scarce");
        assert_eq!(warning, "inodes are scarcer than bytes: 52 left, 5.2 % of them, and 49.9 % of the bytes");
    }
}
