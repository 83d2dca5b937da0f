//! What turns one tree into another, whatever the two are: layers, whole images, containers, plain directories.
//!
//! A tree is what a [`Chain`] shows. Both are walked side by side; nothing is mounted, nothing waits for a clock to go on.
//! Where both show one directory of one layer, what is below it is the same and is not looked at.

mod archive;
mod same;
mod share;
mod walk;

use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use walk::{Difference, Kind, Trees};

use crate::export::{BufferSink, ExportOptions, Exported, Style};
use crate::stop::Stop;
use crate::{Chain, Change, ChangeKind, DigestWriter, Result};

/// How many threads a comparison has at most, unless it is told otherwise.
const THREADS: usize = 4;

/// How to compare two trees.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CompareOptions {
    pub(crate) threads: Option<NonZero<usize>>,
    stop: Stop,
}

impl CompareOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many threads walk the trees; the default is as many as the process has processors, at most four.
    ///
    /// They are started for the call and gone when it returns. With one, none is started: the caller's does everything.
    /// What is found, and in which order, does not depend on it.
    #[must_use]
    pub fn threads(mut self, threads: NonZero<usize>) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Asks this before each name, on any of the threads; `true` ends the work, which is then [`ErrorKind::Cancelled`].
    ///
    /// [`ErrorKind::Cancelled`]: crate::ErrorKind::Cancelled
    #[must_use]
    pub fn stop_when(mut self, is_asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.stop = Stop::when(is_asked);
        self
    }

    fn thread_count(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
        self.threads.map_or_else(processors, NonZero::get)
    }
}

/// Lists what turns the tree `lower` into the tree `upper`, each change when it is found.
///
/// A directory is followed by what is below it; siblings are sorted bytewise. The comparison is that of
/// [`changes`](crate::changes()) (rules 30 to 33), except that equal times of regular files settle that they are equal if
/// either has a fraction of a second; where neither has, their content decides. Parents of a change are listed as
/// modified (rule 32), the root is not listed.
///
/// `each` is called on the caller's thread; an error of it ends the walk and is returned.
pub fn compare(
    lower: &Chain,
    upper: &Chain,
    options: &CompareOptions,
    each: impl FnMut(Change) -> Result<()>,
) -> Result<()> {
    let mut listed = Listed { each, last: PathBuf::new() };
    let trees = Trees { lower, upper, style: Style::Native, stop: &options.stop };
    share::run(&trees, options.thread_count(), change, |change| listed.list(change))
}

/// Writes the changeset that turns the tree `lower` into the tree `upper`.
///
/// What is gone is a whiteout of its own (rule 14), parents of a change are written before it (rule 32). The rest is as for
/// [`export`](crate::export()), which is faster where `upper` is one layer over `lower`.
///
/// With [`Style::Containerd`] the bytes are those that containerd's differ writes for mounts of the two.
pub fn export_between(lower: &Chain, upper: &Chain, out: impl Write, options: &ExportOptions) -> Result<Exported> {
    between(lower, upper, DigestWriter::new(out), options)
}

/// Writes the changeset wherever it goes.
pub(crate) fn between(lower: &Chain, upper: &Chain, out: impl BufferSink, options: &ExportOptions) -> Result<Exported> {
    let trees = Trees { lower, upper, style: options.style, stop: &options.compare.stop };
    let mut changeset = archive::Changeset::new(upper, out, options)?;
    changeset.root(lower)?;
    let (threads, holding) = (options.compare.thread_count(), archive::Holding::default());
    let item = |difference| Some(holding.item(difference));
    share::run(&trees, threads, item, |item| changeset.write_difference(item))?;
    changeset.finish()
}

/// A difference as a list has it.
fn change(difference: Difference) -> Option<Change> {
    let kind = match difference.kind {
        Kind::Added => ChangeKind::Added,
        Kind::Modified => ChangeKind::Modified,
        Kind::Deleted => ChangeKind::Deleted,
        Kind::Unmodified => return None,
    };
    Some(Change { path: Path::new("/").join(difference.path), kind })
}

/// Changes as a list, with the directories they lie in.
struct Listed<F> {
    each: F,
    /// The change listed last; everything above it was listed.
    last: PathBuf,
}

impl<F: FnMut(Change) -> Result<()>> Listed<F> {
    fn list(&mut self, change: Change) -> Result<()> {
        // Of the directories above, those that are not above the last change too, or are that change.
        let new = change.path.ancestors().skip(1).take_while(|above| !self.last.starts_with(above));
        let new: Vec<_> = new.map(Path::to_owned).collect();
        self.last.clone_from(&change.path);
        for path in new.into_iter().rev().filter(|path| path.parent().is_some()) {
            (self.each)(Change { path, kind: ChangeKind::Modified })?;
        }
        (self.each)(change)
    }
}
