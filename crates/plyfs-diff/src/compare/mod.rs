//! What turns one tree into another, whatever the two are: layers, whole images, containers, plain directories.
//!
//! A tree is what a [`Chain`] shows. Both are walked side by side; nothing is mounted, nothing waits for a clock to go on.
//! Where both show one directory of one layer, what is below it is the same and is not looked at.

mod archive;
mod same;
mod walk;

use std::io::Write;
use std::path::Path;

use walk::{Difference, Kind, Visit};

use crate::export::{ExportOptions, Exported, Style};
use crate::{Chain, Change, ChangeKind, Result};

/// Lists what turns the tree `lower` into the tree `upper`, each change when it is found.
///
/// A directory is followed by what is below it; siblings are sorted bytewise. The comparison is that of
/// [`changes`](crate::changes()) (rules 30 to 33), except that equal times of regular files settle that they are equal if
/// either has a fraction of a second; where neither has, their content decides. Parents of a change are listed as
/// modified (rule 32), the root is not listed.
///
/// An error of `each` ends the walk and is returned.
pub fn compare(lower: &Chain, upper: &Chain, mut each: impl FnMut(Change) -> Result<()>) -> Result<()> {
    let mut listed = Listed { each: &mut each, open: Vec::new() };
    walk::walk(lower, upper, Style::Native, &mut listed)
}

/// Writes the changeset that turns the tree `lower` into the tree `upper`.
///
/// What is gone is a whiteout of its own (rule 14), parents of a change are written before it (rule 32). The rest is as for
/// [`export`](crate::export()), which is faster where `upper` is one layer over `lower`.
///
/// With [`Style::Containerd`] the bytes are those that containerd's differ writes for mounts of the two.
pub fn export_between(lower: &Chain, upper: &Chain, out: impl Write, options: &ExportOptions) -> Result<Exported> {
    let mut changeset = archive::Changeset::new(upper, out, options)?;
    changeset.root(lower)?;
    walk::walk(lower, upper, options.style, &mut changeset)?;
    changeset.finish()
}

/// Changes as a list, with the directories they lie in.
struct Listed<'a> {
    each: &'a mut dyn FnMut(Change) -> Result<()>,
    /// For each directory above the current one, whether it was listed.
    open: Vec<bool>,
}

impl Listed<'_> {
    fn list(&mut self, path: &Path, kind: ChangeKind) -> Result<()> {
        (self.each)(Change { path: Path::new("/").join(path), kind })
    }
}

impl Visit for Listed<'_> {
    fn visit(&mut self, path: &Path, difference: &Difference<'_>) -> Result<()> {
        let kind = match difference.kind {
            Kind::Added => ChangeKind::Added,
            Kind::Modified => ChangeKind::Modified,
            Kind::Deleted => ChangeKind::Deleted,
            Kind::Unmodified => return Ok(()),
        };
        let above: Vec<_> = path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        for (depth, parent) in above.into_iter().rev().enumerate() {
            if !std::mem::replace(&mut self.open[depth], true) {
                self.list(parent, ChangeKind::Modified)?;
            }
        }
        self.list(path, kind)
    }

    fn enter(&mut self, is_changed: bool) {
        self.open.push(is_changed);
    }

    fn leave(&mut self) {
        self.open.pop();
    }
}
