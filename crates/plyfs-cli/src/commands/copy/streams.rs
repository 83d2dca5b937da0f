//! `cp` with an archive on one side: a part of a container to standard output, standard input into a container.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use plyfs::changeset::{ApplyOptions, apply};
use plyfs::{Chain, CopyOptions, Dialect, ErrorKind, ExportOptions, View};
use rustix::fs::OFlags;

use super::{Source, cannot_copy, container, open_inside, within};
use crate::commands::look::Looked;
use crate::commands::transfer::standard_input;
use crate::commands::whole::{buffered, say_skipped, say_unpacked};
use crate::exit::{Hinted, Result, WRITTEN};
use crate::interrupt;
use crate::session::Session;

/// Writes what is at a path as an archive, with the owners it has there.
pub(super) fn copy_out(session: &mut Session, name: &str, from: &Path) -> Result<()> {
    let source = Source::inside(Looked::at(session, name)?.view, from)?;
    let (name, options) = (source.name.as_deref(), ExportOptions::new());
    let exported = buffered(session.out.archive()?, |out| source.view.export_at(&source.path, name, out, &options));
    let exported = exported.hint_on(ErrorKind::Conflict, WRITTEN)?;
    say_skipped(&exported.skipped, exported.skipped_more);
    Ok(())
}

/// Writes what an archive has into a directory of a container, with the owners the archive says.
///
/// The archive is unpacked aside, in the store, and copied when it has come whole: one that breaks off changes nothing, and
/// a process that is killed leaves nothing.
pub(super) fn copy_in(session: &Session, name: &str, to: &Path) -> Result<()> {
    let container = container(session, name)?;
    let archive = BufReader::with_capacity(1 << 16, File::from(standard_input()?));
    let operation = container.store().operation()?;
    let aside = operation.spool()?;
    let applied = apply(archive, &aside, &Chain::empty(), &ApplyOptions::default(), None)?;
    say_skipped(&applied.skipped, applied.skipped_more);
    let view = View::new(Chain::new(vec![aside], Dialect::Trusted))?;
    within(&container, to, |root| {
        let directory = OFlags::PATH | OFlags::DIRECTORY;
        let dir = open_inside(root, to, directory).map_err(|errno| cannot_copy(to, errno))?;
        let copied = view.copy_to("/", &dir, None, &CopyOptions::new().stop_when(interrupt::is_asked))?;
        say_unpacked(&copied);
        Ok(())
    })
}
