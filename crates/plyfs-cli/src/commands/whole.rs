//! `export` and `unpack`: everything a container, an image or a layer shows, as an archive or as files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use plyfs::{CopyOptions, ErrorKind, Exported, Unpacked, changeset};
use serde::Serialize;

use crate::cli::{Export, Unpack};
use crate::commands::look::Looked;
use crate::exit::{Failure, Hinted, Result, WRITTEN};
use crate::interrupt;
use crate::outfile::OutFile;
use crate::session::{Session, is_dash};
use crate::words;

#[derive(Debug, Serialize)]
struct ExportedShape {
    diff_id: String,
    size_bytes: u64,
    /// What no archive can hold, in words.
    skipped: Vec<String>,
    /// How much more that is than is listed.
    skipped_more: u64,
}

/// Writes one archive of everything.
pub(crate) fn export(session: &mut Session, args: &Export) -> Result<()> {
    let (view, options) = (Looked::at(session, &args.what)?.view, args.epoch.options());
    deliver(session, &args.output, |out| {
        buffered(out, |out| view.export(out, &options)).hint_on(ErrorKind::Conflict, WRITTEN)
    })
}

/// Lets `export` write an archive to where it was asked for, and says what the archive does not hold.
pub(crate) fn deliver(
    session: &mut Session,
    output: &Path,
    export: impl FnOnce(&mut (dyn Write + Send)) -> Result<Exported>,
) -> Result<()> {
    if is_dash(output) {
        let exported = export(&mut session.out.archive()?)?;
        say_skipped(&exported.skipped, exported.skipped_more);
        return Ok(());
    }
    let out = OutFile::create(output)?;
    let exported = export(&mut out.file())?;
    out.finish()?;
    say_skipped(&exported.skipped, exported.skipped_more);
    if !session.out.is_json() {
        return Ok(());
    }
    let skipped = exported.skipped.iter().map(ToString::to_string).collect();
    let (size_bytes, skipped_more) = (exported.size, exported.skipped_more);
    let shape = ExportedShape { diff_id: exported.diff_id.to_string(), size_bytes, skipped, skipped_more };
    session.out.json(&shape)
}

/// Lets `export` write an archive by large calls, each of which a signal that asks the program to end makes the last.
pub(crate) fn buffered<W: Write>(
    out: W,
    export: impl FnOnce(&mut BufWriter<interrupt::Ending<W>>) -> changeset::Result<Exported>,
) -> Result<Exported> {
    interrupt::watch();
    let mut out = BufWriter::with_capacity(1 << 16, interrupt::Ending(out));
    let exported = export(&mut out).hint_no_room()?;
    out.flush().map_err(|error| Failure::stream("write the archive", error))?;
    Ok(exported)
}

#[derive(Debug, Serialize)]
struct UnpackedShape {
    entries: u64,
    size_bytes: u64,
    owners_kept: bool,
    /// What could not be written, in words.
    skipped: Vec<String>,
    skipped_more: u64,
}

/// Writes everything as files; a directory that cannot be filled is left as it was.
pub(crate) fn unpack(session: &mut Session, args: &Unpack) -> Result<()> {
    let view = Looked::at(session, &args.what)?.view;
    let is_new = match fs::create_dir(&args.dir) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(Failure::stream(format!("make {}", args.dir.display()), error)),
    };
    let dir = File::open(&args.dir).map_err(|error| Failure::stream(format!("open {}", args.dir.display()), error))?;
    let into = |error| Failure::stream(format!("unpack into {}", args.dir.display()), error);
    if fs::read_dir(&args.dir).map_err(into)?.next().is_some() {
        return Err(into(rustix::io::Errno::NOTEMPTY.into()));
    }
    interrupt::watch();
    let unpacked = view.unpack_with(&dir, &CopyOptions::new().stop_when(interrupt::is_asked));
    let unpacked = unpacked.inspect_err(|_| clean_up(&args.dir, is_new)).hint_no_room()?;
    say_unpacked(&unpacked);
    if session.out.is_json() {
        return session.out.json(&UnpackedShape {
            entries: unpacked.entries,
            size_bytes: unpacked.bytes,
            owners_kept: unpacked.has_owners,
            skipped: unpacked.skipped.iter().map(ToString::to_string).collect(),
            skipped_more: unpacked.skipped_more,
        });
    }
    Ok(())
}

/// Removes what an unpacking that failed left in a directory that was empty before.
fn clean_up(dir: &Path, is_new: bool) {
    if is_new {
        let _ = fs::remove_dir_all(dir);
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let _ = if is_directory { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
    }
}

/// Says what writing files lost.
pub(crate) fn say_unpacked(unpacked: &Unpacked) {
    if !unpacked.has_owners {
        words::warning("owners are not kept: only root gives files away");
    }
    say_skipped(&unpacked.skipped, unpacked.skipped_more);
}

/// Says what was left out, path by path; of very many only how many more.
pub(crate) fn say_skipped(skipped: &[plyfs::Skipped], more: u64) {
    const SHOWN: usize = 20;
    skipped.iter().take(SHOWN).for_each(|skipped| words::warning(&skipped.to_string()));
    let more = more + skipped.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        words::warning(&format!("{more} more were left out"));
    }
}
