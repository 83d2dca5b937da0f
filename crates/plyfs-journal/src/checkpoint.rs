//! Starting a generation: what is in the log becomes a sorted run, and an empty log follows.
//!
//! 1. The run, written and synced. It holds the log alone, so that this takes no longer than a log is long.
//! 2. The new log, zeros, synced.
//! 3. The new head, aside, synced; then the directory: all names are there.
//! 4. The head renamed, the directory synced: the moment the generation exists.
//! 5. The `synced` file.
//! 6. Files that the head does not name are removed, but for what a merge is writing.
//!
//! No step changes what the journal says. A crash before 4 leaves the old generation and files that no head
//! names, which the next checkpoint removes or writes anew; after 4, the new one.

use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{Error, Named, Result};
use crate::generation::{Files, Generation};
use crate::head::{self, Head, HeadFile, RunRef};
use crate::layout::{HEAD_NEW, MERGED, is_log_or_run, log_name, run_name, run_number};
use crate::log;
use crate::merge::{Merge, Source};
use crate::run;
use crate::slice::Item;
use crate::snapshot::{Snapshot, table_source};
use crate::synced::{Marks, Synced, SyncedFile};
use crate::view::View;

/// A head lists no more runs than these; merging keeps the list far shorter.
const MOST_RUNS: usize = 256;

/// A generation whose files are durable and which no head names yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    head: Head,
}

/// Steps 1 to 3. After an error the journal and its log are as they were, and the space is given back.
pub(crate) fn prepare(disk: &Arc<dyn Disk>, view: &View, log_blocks: u64) -> Result<Prepared> {
    let before = &view.generation.head;
    before.require_writable()?;
    let (run, log) = (before.next_run, before.generation + 1);
    let steps = || {
        let runs = write_run(disk, view)?;
        log::create(disk, log, log_blocks)?;
        let head =
            Head { generation: log, commits: view.commits, next_run: run + 1, log_blocks, runs, ..before.clone() };
        head.stage(disk)?;
        disk.sync().named(&log_name(log))?;
        Ok(Prepared { head })
    };
    steps().inspect_err(|_: &Error| {
        // Best effort: the next attempt replaces them.
        for name in [&run_name(run), &log_name(log), HEAD_NEW] {
            let _ = disk.remove(name);
        }
    })
}

/// Steps 4 to 6. After an error either head may be there.
pub(crate) fn publish(files: &Files, prepared: &Prepared, before: &Generation) -> Result<View> {
    let head = &prepared.head;
    head::publish(&files.disk)?;
    let generation = Generation::open(files, HeadFile::published(&files.disk, head), Some(before))?;
    mark(files, &Synced { generation: head.generation, blocks: 0, marks: Marks::empty(), merges: head.next_merge })?;
    remove_unnamed(&files.disk, head);
    Ok(View::at_start(generation))
}

/// Overwrites the `synced` file; visible on return, durable never. The caller holds the journal's lock.
///
/// Where somebody removed the file it is made anew: whoever writes without it has believed nothing beyond a synced head.
pub(crate) fn mark(files: &Files, synced: &Synced) -> Result<()> {
    if let Some(file) = files.synced.get() {
        return file.write(synced);
    }
    let file = match SyncedFile::open(&*files.disk, files.access, files.reading)? {
        // By another process, since this one began.
        Some(file) => file,
        None => SyncedFile::create(&*files.disk, files.reading)?,
    };
    let written = file.write(synced);
    let _ = files.synced.set(file); // nobody else sets it without the lock
    written
}

/// Writes the tail as the newest run.
///
/// Should nobody ever get around to merging, all runs become this one: then it takes as long as they are large.
fn write_run(disk: &Arc<dyn Disk>, view: &View) -> Result<Vec<RunRef>> {
    let View { generation, snapshot: Snapshot { tail, .. }, .. } = view;
    let table = tail.table();
    let mut references = generation.head.runs.clone();
    if table.is_empty() {
        return Ok(references);
    }
    let mut merged = &generation.runs[..];
    if merged.len() < MOST_RUNS {
        merged = &[];
    }
    let kept = references.split_off(merged.len());
    let first = merged.last().map_or(generation.head.commits + 1, |run| *run.commits().start());
    let runs = merged.iter().filter_map(|run| run.from(b"", None)).map(|run| Box::new(run) as Source<'_>);
    let items = Merge::new(std::iter::once(table_source(table, b"")).chain(runs));
    let written = run::write(disk, generation.head.next_run, &(first..=view.commits), needed(items, kept.is_empty()))?;
    Ok(written.into_iter().chain(kept).collect())
}

/// Leaves out deletions where no older run is left that may hold what they delete.
pub(crate) fn needed<'a>(
    items: impl Iterator<Item = Result<Item<'a>>>,
    is_oldest: bool,
) -> impl Iterator<Item = Result<Item<'a>>> {
    items.filter(move |item| !is_oldest || item.as_ref().map_or(true, |item| item.value.is_some()))
}

/// Removes logs and runs of other heads, and a head that never became one; what cannot be removed is left for
/// the next time. The run that the next merge makes is its own: it may be writing it.
fn remove_unnamed(disk: &Arc<dyn Disk>, head: &Head) {
    let named =
        |name: &str| name == log_name(head.generation) || head.runs.iter().any(|run| name == run_name(run.number));
    for name in disk.list().unwrap_or_default() {
        let is_being_merged = run_number(&name).is_some_and(|number| number >= MERGED | head.next_merge);
        if name == HEAD_NEW || is_log_or_run(&name) && !named(&name) && !is_being_merged {
            let _ = head::remove_if_there(disk, &name);
        }
    }
}
