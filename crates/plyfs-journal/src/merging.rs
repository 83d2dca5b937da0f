//! Merging runs, outside the writers' lock: by whoever has just committed and finds that runs have grown.
//!
//! 1. The lock `merging` is taken without waiting: one merges at a time, the others go on.
//! 2. The newest runs that are at most twice as large as those before them become one, written and synced, and the
//!    directory synced. So runs grow geometrically, and each entry is rewritten a logarithmic number of times.
//! 3. Under the writers' lock the head is read again. Generations that began meanwhile have put their runs before these;
//!    when these are not what they were, nothing is done.
//! 4. The new head, aside, synced, renamed, the directory synced. Either head says the same.
//! 5. `synced` counts the merge, so that readers let go of the old runs.
//! 6. Outside the lock, the old runs are removed. Who has them open keeps them.
//!
//! A crash before 4 leaves a run that no head names, which the next merge writes anew: it has the same number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checkpoint::{mark, needed};
use crate::disk::Disk;
use crate::error::{Named, Result};
use crate::generation::{Files, Reading};
use crate::head::{self, Head, RunRef, remove_if_there};
use crate::journal::Journal;
use crate::layout::{LOCK, MERGED, MERGING, run_name};
use crate::merge::{Merge, Source};
use crate::run::{self, Run};
use crate::synced::Synced;

/// Runs up to this size are always merged: a file costs more than rewriting it.
const SMALL: u64 = 32 << 10;

/// The generation in which this handle last looked for runs to merge.
#[derive(Debug, Default)]
pub(crate) struct Looked(AtomicU64);

impl Journal {
    /// Merges runs when they have grown and nobody else does; once a generation.
    ///
    /// What was committed is durable by now, so an error here is nobody's: runs stay as they are, or a head that says the
    /// same has replaced another. The next generation is the next chance.
    pub(crate) fn merge_if_due(&self, head: &Head) {
        if due(&head.runs) > 1 && self.looked.0.swap(head.generation, Ordering::Relaxed) < head.generation {
            let _ = merge_due(&self.files);
        }
    }

    /// Writes all runs anew as one, with index and table of its own; durable on return.
    ///
    /// For runs whose index or table is wrong, which [`Snapshot::misleading`](crate::Snapshot::misleading) tells: they are
    /// read from end to end, without either. Waits for a merge that goes on. A run with a damaged block is an
    /// error; then, and after a crash, the runs are as they were.
    pub fn rewrite_runs(&self) -> Result<()> {
        let _merging = self.files.disk.lock(MERGING).named(MERGING)?;
        merge(&self.files, |runs| runs.len())
    }
}

/// How many of the newest runs are to become one; merging fewer than two is nothing to do.
fn due(runs: &[RunRef]) -> usize {
    let mut size = 0_u64;
    let is_outgrown = |run: &&RunRef| {
        let is_outgrown = size == 0 || run.length <= size.saturating_mul(2).max(SMALL);
        size = size.saturating_add(run.length);
        is_outgrown
    };
    runs.iter().take_while(is_outgrown).count()
}

fn merge_due(files: &Files) -> Result<()> {
    let Some(_merging) = files.disk.try_lock(MERGING).named(MERGING)? else { return Ok(()) };
    merge(files, |runs| Some(due(runs)).filter(|count| *count > 1).unwrap_or_default())
}

/// Makes one of the newest runs, as many as are `wanted`; the caller holds the lock.
fn merge(files: &Files, wanted: impl Fn(&[RunRef]) -> usize) -> Result<()> {
    let head = Head::decode(&head::read(&files.disk)?)?;
    head.require_writable()?;
    let count = wanted(&head.runs);
    if count == 0 {
        return Ok(());
    }
    let (inputs, is_oldest) = (&head.runs[..count], count == head.runs.len());
    let number = MERGED | head.next_merge;
    let result = write(&files.disk, inputs, is_oldest, number).and_then(|output| publish(files, inputs, output));
    match result {
        Ok(true) => inputs.iter().for_each(|run| {
            let _ = remove_if_there(&files.disk, &run_name(run.number));
        }),
        // Named by no head, unless renaming it has failed half way: then either is there, and nothing is removed.
        Ok(false) => drop(remove_if_there(&files.disk, &run_name(number))),
        Err(_) => {}
    }
    result.map(drop)
}

/// Step 2. Read by `pread`: mapped, all of the runs would count as memory of this process.
fn write(disk: &Arc<dyn Disk>, inputs: &[RunRef], is_oldest: bool, number: u64) -> Result<Option<RunRef>> {
    let open = |run: &RunRef| Run::open(&**disk, *run, Reading::Copied);
    let runs = inputs.iter().map(open).collect::<Result<Vec<_>>>()?;
    let first = runs.iter().map(|run| *run.commits().start()).min().unwrap_or_default();
    let last = runs.iter().map(|run| *run.commits().end()).max().unwrap_or_default();
    let sources = runs.iter().filter_map(|run| run.from(b"", None)).map(|run| Box::new(run) as Source<'_>);
    let output = run::write(disk, number, &(first..=last), needed(Merge::new(sources), is_oldest));
    let output = output.inspect_err(|_| drop(remove_if_there(disk, &run_name(number))))?;
    disk.sync().named(&run_name(number))?;
    Ok(output)
}

/// Steps 3 to 5; says whether the head names the output now.
fn publish(files: &Files, inputs: &[RunRef], output: Option<RunRef>) -> Result<bool> {
    let _lock = files.disk.lock(LOCK).named(LOCK)?;
    let mut head = Head::decode(&head::read(&files.disk)?)?;
    let Some(at) = head.runs.windows(inputs.len()).position(|runs| runs == inputs) else { return Ok(false) };
    head.runs.splice(at..at + inputs.len(), output);
    head.next_merge += 1;
    head.stage(&files.disk)?;
    head::publish(&files.disk)?;
    if let Some(synced) = files.synced() {
        mark(files, &Synced { merges: head.next_merge, ..synced })?;
    }
    Ok(true)
}
