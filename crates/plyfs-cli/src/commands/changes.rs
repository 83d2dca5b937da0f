//! `changes`, `diff` and `commit`: what a container changed.

use std::ffi::OsStr;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plyfs::prelude::*;
use plyfs::{
    Chain, Change, ChangeKind, CommitOptions, CompareOptions, Container, Dialect, ErrorKind, ExportOptions, Exported,
    Style, View,
};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::cli::{Changes, Commit as CommitArgs, Diff, StyleName};
use crate::commands::look::Looked;
use crate::commands::shapes::ImageShape;
use crate::commands::whole::{buffered, deliver, say_skipped};
use crate::exit::{Failure, Hinted, Result, WRITTEN};
use crate::human;
use crate::interrupt;
use crate::progress::with_bar;
use crate::session::{self, Session};

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
        let path_hex = human::hex_unless_text(change.path.as_os_str());
        Self { kind, path: change.path.to_string_lossy().into_owned(), path_hex }
    }
}

/// Lists what a container changed, or what turns one tree into another.
pub(crate) fn changes(session: &mut Session, args: &Changes) -> Result<()> {
    let Some(to) = &args.to else { return changes_of_container(session, &args.from) };
    let (older, newer) = (tree(session, &args.from)?, tree(session, to)?);
    let (mut shapes, mut printed) = (Vec::new(), Ok(()));
    let is_json = session.out.is_json();
    newer.changes_from(&older, |change| {
        if is_json {
            shapes.push(ChangeShape::from(change));
        } else {
            printed = session.out.line(change.to_string());
        }
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed?;
    if is_json { session.out.json(&shapes) } else { Ok(()) }
}

fn changes_of_container(session: &mut Session, name: &OsStr) -> Result<()> {
    let store = session.open()?;
    let mut changes = session::container(&store, text(name)?)?.changes()?;
    if session.out.is_json() {
        let shapes = changes.map(|change| Ok(change?.into())).collect::<Result<Vec<ChangeShape>>>()?;
        return session.out.json(&shapes);
    }
    changes.try_for_each(|change| session.out.line(change?.to_string()))
}

/// What a person means by a tree: a directory where it looks like one, else what the store has under that name.
fn tree(session: &Session, named: &OsStr) -> Result<View> {
    if !matches!(named.as_bytes().first(), Some(b'.' | b'/')) {
        let hint = "a directory begins with a dot or a slash";
        return Ok(Looked::at(session, text(named)?).hint_on(ErrorKind::NotFound, hint)?.view);
    }
    let dir = rustix::fs::open(named, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let dir = dir.map_err(|errno| Failure::stream(format!("open {}", named.display()), errno.into()))?;
    // A plain directory has no marks of OverlayFS that would mean anything.
    Ok(View::new(Chain::new(vec![dir], Dialect::User))?)
}

fn text(name: &OsStr) -> Result<&str> {
    name.to_str().ok_or_else(|| Failure::usage(format!("{name:?} is no name: it is no text")))
}

/// Writes what a container changed as a changeset.
pub(crate) fn diff(session: &mut Session, args: &Diff) -> Result<()> {
    let source = match &args.trees.to {
        Some(to) => Source::Trees(tree(session, &args.trees.from)?, tree(session, to)?),
        None => Source::Container(Box::new(session::container(&session.open()?, text(&args.trees.from)?)?)),
    };
    let style = match args.style {
        StyleName::Native => Style::Native,
        StyleName::Containerd => Style::Containerd,
    };
    let options = args.epoch.options().style(style);
    let quiet = session.out.is_quiet();
    deliver(session, &args.output, |out| source.export(out, &options, quiet))
}

/// Whose changes are written.
enum Source {
    Container(Box<Container>),
    Trees(View, View),
}

impl Source {
    fn export(&self, out: impl Write + Send, options: &ExportOptions, quiet: bool) -> Result<Exported> {
        match self {
            Self::Container(container) => {
                let mut out = BufWriter::with_capacity(1 << 16, out);
                let exported = with_bar(quiet, |progress| container.export_with(&mut out, options, progress));
                let exported = exported.hint_on(ErrorKind::Conflict, WRITTEN)?;
                out.flush().map_err(|error| Failure::stream("write the changeset", error))?;
                Ok(exported)
            }
            Self::Trees(older, newer) => {
                // Where the trees do not differ nothing is written for long.
                let options = options.clone().compare(CompareOptions::new().stop_when(interrupt::is_asked));
                buffered(out, |out| newer.export_from(older, out, &options))
            }
        }
    }
}

/// A time by its seconds from the epoch.
fn at(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.expect("a clock of 64 bits shows every such second")
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
    if let Some(seconds) = args.epoch.clamp_mtime {
        options = options.clamp_mtime(seconds).created(at(seconds))?;
    }
    for change in &args.changes {
        options = options.change(change.parse()?);
    }
    let container = session::container(&store, &args.name)?;
    let built = with_bar(session.out.is_quiet(), |progress| container.commit_telling(options, progress));
    let built = built.hint_on(ErrorKind::Conflict, WRITTEN)?;
    say_skipped(&built.skipped, built.skipped_more);
    let shape = ImageShape::of(&built.image)?;
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
