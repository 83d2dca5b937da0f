//! `changes`, `diff` and `commit`: what a container changed.

use std::io::{BufWriter, Write};

use plyfs::prelude::*;
use plyfs::{Change, ChangeKind, CommitOptions, Container, Exported, Progress};
use serde::Serialize;

use crate::cli::{Commit as CommitArgs, Diff, Named};
use crate::commands::shapes::ImageShape;
use crate::exit::{Failure, Result};
use crate::outfile::OutFile;
use crate::progress::with_bar;
use crate::session::{self, Session, is_dash};

#[derive(Debug, Serialize)]
struct ChangeShape {
    kind: &'static str,
    path: String,
    /// The path's bytes, where they are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl From<Change> for ChangeShape {
    fn from(change: Change) -> Self {
        let kind = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Modified => "modified",
            ChangeKind::Deleted => "deleted",
        };
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path_hex = change.path.to_str().is_none().then(|| hex(change.path.as_os_str().as_encoded_bytes()));
        Self { kind, path: change.path.to_string_lossy().into_owned(), path_hex }
    }
}

/// Lists what a container changed.
pub(crate) fn changes(session: &mut Session, args: &Named) -> Result<()> {
    let store = session.open()?;
    let mut changes = session::container(&store, &args.name)?.changes()?;
    if session.out.is_json() {
        let shapes = changes.map(|change| Ok(change?.into())).collect::<Result<Vec<ChangeShape>>>()?;
        return session.out.json(&shapes);
    }
    changes.try_for_each(|change| session.out.line(change?.to_string()))
}

#[derive(Debug, Serialize)]
struct ExportedShape {
    diff_id: String,
    size_bytes: u64,
}

/// Writes what a container changed as a changeset.
pub(crate) fn diff(session: &mut Session, args: &Diff) -> Result<()> {
    let store = session.open()?;
    let container = session::container(&store, &args.name)?;
    let quiet = session.out.is_quiet();
    if is_dash(&args.output) {
        let stdout = session.out.bytes()?;
        if stdout.is_terminal() {
            return Err(Failure::usage("an archive is no sight for a terminal").hint("-o FILE writes a file"));
        }
        return with_bar(quiet, |progress| export(&container, stdout, progress)).map(drop);
    }
    let out = OutFile::create(&args.output)?;
    let exported = with_bar(quiet, |progress| export(&container, out.file(), progress))?;
    out.finish()?;
    if session.out.is_json() {
        let shape = ExportedShape { diff_id: exported.diff_id.to_string(), size_bytes: exported.size };
        return session.out.json(&shape);
    }
    Ok(())
}

fn export(container: &Container, out: impl Write, progress: Progress<'_>) -> Result<Exported> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let exported = container.export(&mut out, progress)?;
    out.flush().map_err(|error| Failure::stream("write the changeset", error))?;
    Ok(exported)
}

/// Makes an image of what a container changed and prints its id.
pub(crate) fn commit(session: &mut Session, args: CommitArgs) -> Result<()> {
    let store = session.open()?;
    let mut options = CommitOptions::new().name(args.image.parse()?);
    if let Some(message) = args.message {
        options = options.message(message);
    }
    if let Some(author) = args.author {
        options = options.author(author);
    }
    for change in &args.changes {
        options = options.change(change.parse()?);
    }
    let container = session::container(&store, &args.name)?;
    let image = with_bar(session.out.is_quiet(), |progress| container.commit(options, progress))?;
    let shape = ImageShape::of(&image)?;
    session.out.answer(&shape.id, &shape)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_is_no_text_is_also_given_as_bytes() {
        let shape = |bytes| {
            let change = Change { path: OsStr::from_bytes(bytes).into(), kind: ChangeKind::Modified };
            serde_json::to_string(&ChangeShape::from(change)).expect("plain data")
        };
        assert_eq!(shape(b"/a\nb"), r#"{"kind":"modified","path":"/a\nb"}"#);
        assert_eq!(shape(b"/\xff"), "{\"kind\":\"modified\",\"path\":\"/\u{fffd}\",\"path_hex\":\"2fff\"}");
    }
}
