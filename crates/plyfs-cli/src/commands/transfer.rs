//! `load`, `save` and `import`: images in and out.

use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use plyfs::prelude::*;
use plyfs::{
    Archive, Compression, ErrorKind, Format, Image, ImportOptions, Instruction, Loaded, Reference, Source, Store,
};
use serde::Serialize;

use crate::cli::{Import, Load, Reading, Save};
use crate::commands::shapes::ImageShape;
use crate::commands::whole::say_skipped;
use crate::exit::{Failure, Hinted, Result};
use crate::filter::duration;
use crate::outfile::OutFile;
use crate::progress::with_bar;
use crate::session::{self, Session, is_dash};
use crate::words;

/// The windows of zstd streams, as powers of two, that are offered where one is refused: of `zstd --long`, and the largest.
const LARGER_WINDOWS: [u32; 2] = [27, 31];

#[derive(Debug, Serialize)]
struct LoadedShape {
    #[serde(flatten)]
    image: ImageShape,
    /// The names it came with.
    loaded_names: Vec<String>,
    /// What could not be taken over, in words.
    skipped: Vec<String>,
}

impl LoadedShape {
    fn of(loaded: &Loaded) -> Result<Self> {
        Ok(Self {
            image: ImageShape::of(&loaded.image)?,
            loaded_names: loaded.names.iter().map(ToString::to_string).collect(),
            skipped: loaded.skipped.clone(),
        })
    }
}

/// Loads all images of an archive and prints their names.
pub(crate) fn load(session: &mut Session, args: &Load) -> Result<()> {
    // Opened first: a file that is not there makes no store.
    let platform = args.platform.as_deref().map(str::parse).transpose()?;
    let source = source(args.input.as_ref().unwrap_or(&args.source), &args.reading)?;
    let source = platform.into_iter().fold(source, Source::platform).keep_blobs(args.keep_blobs);
    let store = session.ensure()?;
    let loaded = with_bar(session.out.is_quiet(), |progress| store.load(source, progress));
    let loaded = loaded.map_err(|error| hint_window(error.into(), &args.reading))?;
    let shapes = loaded.iter().map(LoadedShape::of).collect::<Result<Vec<_>>>()?;
    for shape in &shapes {
        let name = shape.loaded_names.first().unwrap_or(&shape.image.id);
        shape.skipped.iter().for_each(|skipped| words::warning(&format!("{name}: {skipped}")));
    }
    if session.out.is_json() {
        return session.out.json(&shapes);
    }
    shapes.iter().try_for_each(|shape| match &shape.loaded_names[..] {
        [] => session.out.line(&shape.image.id),
        names => names.iter().try_for_each(|name| session.out.line(name)),
    })
}

/// Makes an image of a tree and prints its id.
pub(crate) fn import(session: &mut Session, args: &Import) -> Result<()> {
    let name: Reference = args.image.parse()?;
    let changes: Vec<Instruction> =
        args.changes.iter().map(|change| change.parse()).collect::<plyfs::Result<_, _>>()?;
    let source = source(&args.source, &args.reading)?;
    let store = session.ensure()?;
    let parent = args.parent.as_deref().map(|parent| session::image(&store, parent)).transpose()?;
    let options = ImportOptions::new().name(name).parent(parent.as_ref());
    let options = args.message.iter().fold(options, ImportOptions::message);
    let options = changes.into_iter().fold(options, ImportOptions::change);
    let built = with_bar(session.out.is_quiet(), |progress| store.import_telling(source, options, progress));
    let built = built.map_err(|error| hint_window(error.into(), &args.reading))?;
    say_skipped(&built.skipped, built.skipped_more);
    let shape = ImageShape::of(&built.image)?;
    session.out.answer(&shape.id, &shape)
}

/// A file, a directory or standard input, and how it is read.
fn source(path: &Path, reading: &Reading) -> Result<Source<'static>> {
    let timeout = reading.timeout.as_deref().map(timeout).transpose()?;
    let source = match is_dash(path) {
        true => Source::descriptor(standard_input()?, "standard input")?,
        false => Source::path(path)?,
    };
    Ok(timeout.into_iter().fold(source.zstd_window(reading.zstd_window), Source::timeout))
}

/// Says how a zstd stream is read whose window is larger than what was allowed.
fn hint_window(failure: Failure, reading: &Reading) -> Failure {
    // It has no kind of its own.
    let is_window = failure.kind() == Some(ErrorKind::InvalidInput)
        && failure.to_string().contains("the zstd stream asks for a window of");
    let larger = LARGER_WINDOWS.into_iter().find(|log| *log > reading.zstd_window);
    match larger.filter(|_| is_window) {
        Some(log) => failure
            .hint(format!("--zstd-window {log} allows windows of 2 to the power of {log} bytes, and as much memory")),
        None => failure,
    }
}

/// Standard input, which brings an archive.
pub(crate) fn standard_input() -> Result<OwnedFd> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage("no archive comes from a terminal").hint("name a FILE, or redirect standard input"));
    }
    stdin.as_fd().try_clone_to_owned().map_err(|error| Failure::stream("standard input", error))
}

/// A duration that is not nothing: waiting for no time gives everybody up.
fn timeout(text: &str) -> Result<Duration> {
    let timeout = duration(text).filter(|timeout| !timeout.is_zero());
    timeout.ok_or_else(|| Failure::usage(format!("--timeout {text:?} is no duration")).hint("30s, 5m, 1h30m"))
}

/// Saves images in one archive or layout.
pub(crate) fn save(session: &mut Session, args: &Save) -> Result<()> {
    let format = Format::from(args.format);
    if format == Format::OciLayout && is_dash(&args.output) {
        let failure = Failure::usage("a layout is a directory and cannot be written to standard output");
        return Err(failure.hint("--format oci-archive is a layout in one file"));
    }
    args.level.map_or(Ok(()), |level| check_level(format, args.compression.map(Compression::from), level))?;
    let store = session.open()?;
    let images = args.images.iter().map(|name| session::image(&store, name)).collect::<Result<Vec<_>>>()?;
    // As with docker: an image asked for by one name goes out with that one, and by its id with none.
    let names = args.images.iter().zip(&images).filter_map(|(text, image)| image.name_meant(text).cloned()).collect();
    let images: Vec<_> = images.iter().collect();
    let packing = (args.compression.map(Compression::from), args.level);
    let to = Sink { store: &store, images: &images, names, packing, quiet: session.out.is_quiet() };
    if format == Format::OciLayout {
        return to.save(Archive::layout(&args.output));
    }
    if is_dash(&args.output) {
        let stdout = session.out.archive()?;
        return to.save(archive(format, stdout));
    }
    let out = OutFile::create(&args.output).map_err(|failure| match args.output.is_dir() {
        true => failure.hint("--format oci writes a layout into a directory"),
        false => failure,
    })?;
    to.save(archive(format, out.file()))?;
    out.finish()
}

/// Refuses a level that the compression does not have.
fn check_level(format: Format, compression: Option<Compression>, level: u32) -> Result<()> {
    let compression = compression.unwrap_or_else(|| format.compression());
    match compression.levels() {
        None => {
            Err(Failure::usage(format!("--level {level} without a compression")).hint("--compression gzip or zstd"))
        }
        Some(levels) if !levels.contains(&level) => {
            let message = format!("--level {level}: {compression} has {} to {}", levels.start(), levels.end());
            Err(Failure::usage(message))
        }
        Some(_) => Ok(()),
    }
}

/// One archive file in a format that has one.
fn archive<'a>(format: Format, out: impl std::io::Write + Send + 'a) -> Archive<'a> {
    match format {
        Format::OciArchive => Archive::oci(out),
        _ => Archive::docker(out),
    }
}

/// What is saved, however it is written.
struct Sink<'a> {
    store: &'a Store,
    images: &'a [&'a Image],
    /// Those of their names that they were asked for by.
    names: Vec<Reference>,
    /// Compression and level, where they are not the format's own.
    packing: (Option<Compression>, Option<u32>),
    quiet: bool,
}

impl Sink<'_> {
    fn save(&self, archive: Archive<'_>) -> Result<()> {
        let (compression, level) = self.packing;
        let archive = archive.names(self.names.iter().cloned());
        let archive = compression.into_iter().fold(archive, Archive::compression);
        let archive = level.into_iter().fold(archive, Archive::level);
        with_bar(self.quiet, |progress| self.store.save(self.images, archive, progress)).hint_no_room()
    }
}
