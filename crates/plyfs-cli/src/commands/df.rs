//! `df`: what is stored once, what is shared, and what copies would have cost, by the records alone unless asked to measure.

use plyfs::{Container, ErrorKind, Store, StoreUsage, Usage};
use serde::Serialize;

use crate::cli::Df;
use crate::commands::shapes::{Takes, stands_on};
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
    kept_blobs: Takes,
    /// `null` unless measured, here and in each row.
    containers_own: Option<Takes>,
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
    own: Option<Takes>,
    as_copy: Takes,
    #[serde(skip)]
    sizes: (Option<Usage>, Usage),
}

impl Row {
    fn of(store: &Store, container: &Container, measure: bool) -> Result<Self> {
        let own = measure.then(|| counted(container)).transpose()?;
        let parent = container.parent().map(|parent| store.layer(&parent.to_string())).transpose()?;
        let copy = own.unwrap_or_default() + parent.map(|parent| parent.chain_usage()).unwrap_or_default();
        let (name, stands_on) = (container.name().to_string(), stands_on(container));
        Ok(Self { name, stands_on, own: own.map(Takes::from), as_copy: copy.into(), sizes: (own, copy) })
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
pub(crate) fn df(session: &mut Session, args: &Df) -> Result<()> {
    let store = session.open()?;
    let mut usage = store.usage()?;
    let containers = store.containers()?;
    let rows = containers.iter().map(|it| Row::of(&store, it, args.measure)).collect::<Result<Vec<_>>>()?;
    if args.measure {
        // Each container is walked once, for its row and for the sum.
        let own = rows.iter().filter_map(|row| row.sizes.0).sum();
        usage.containers_own = Some(own);
        usage.as_copies += own;
    }
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
            kept_blobs: usage.kept_blobs.into(),
            containers_own: usage.containers_own.map(Takes::from),
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
    session.out.table(table(&rows))
}

fn summary(usage: &StoreUsage) -> Columns {
    let mut columns = Columns::new(["", "SIZE>", "INODES>", ""]);
    let stored = format!("{} of {}", human::count(usage.layers, "layer"), human::count(usage.images, "image"));
    let mut row = |what: &str, usage: Option<Usage>, note: String| {
        let [bytes, inodes] = cells(usage);
        columns.row([what.to_owned(), bytes, inodes, note]);
    };
    row("stored once", Some(usage.stored), stored);
    row("shared", Some(usage.shared), "layers that two or more images or containers stand on".to_owned());
    let containers = human::count(usage.containers, "container");
    let added = usage.containers_own.map_or_else(|| format!("{containers}, not measured"), |_| containers.clone());
    row("added by containers", usage.containers_own, added);
    row("as copies", Some(usage.as_copies), "if each container were a full copy".to_owned());
    row("reclaimable", Some(usage.reclaimable), "layers that nothing needs".to_owned());
    if usage.kept_blobs.inodes > 0 {
        row("kept blobs", Some(usage.kept_blobs), "layers compressed as they came".to_owned());
    }
    let inodes = if usage.total_inodes == 0 { "-".to_owned() } else { usage.free_inodes.to_string() };
    let note = "on the file system".to_owned();
    columns.row(["free".to_owned(), human::bytes(usage.free_bytes), inodes, note]);
    columns
}

fn table(rows: &[Row]) -> Columns {
    let mut columns = Columns::new(["CONTAINER", "IMAGE", "ADDS>", "INODES>", "AS A COPY>"]);
    for row in rows {
        let (own, copy) = row.sizes;
        let [bytes, inodes] = cells(own);
        columns.row([row.name.clone(), row.stands_on.clone(), bytes, inodes, human::bytes(copy.allocated)]);
    }
    columns
}

/// Bytes and inodes; dashes where nobody measured.
fn cells(usage: Option<Usage>) -> [String; 2] {
    usage.map_or_else(
        || ["-".to_owned(), "-".to_owned()],
        |usage| [human::bytes(usage.allocated), usage.inodes.to_string()],
    )
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
