//! `ls`, `cat`, `stat` and `find`: what a container, an image or a layer shows, read without mounting it.

use std::io;
use std::path::Path;

use plyfs::{FileKind, Inspected, View, ViewEntry};
use serde::Serialize;

use crate::cli::{Cat, Find, KindName, Ls, Stat};
use crate::exit::{Failure, Result};
use crate::glob;
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};

/// A view, and the ids of its layers, uppermost first.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) view: View,
    layers: Vec<String>,
}

impl Looked {
    /// The view of what a person named: a container, else an image, else a layer.
    pub(crate) fn at(session: &Session, what: &str) -> Result<Self> {
        let store = session.open()?;
        let (view, upper, top) = match session::inspect(&store, what)? {
            Inspected::Container(container) => (container.view()?, Some(container.id()), container.parent()),
            Inspected::Image(image) => (image.view()?, None, image.top()),
            Inspected::Layer(layer) => (layer.view()?, None, Some(layer.id())),
        };
        let chain = top.map(|top| store.layer(&top.to_string())?.chain()).transpose()?.unwrap_or_default();
        let ids = upper.into_iter().chain(chain.iter().map(plyfs::Layer::id));
        let layers: Vec<_> = ids.map(|id| id.to_string()).collect();
        // A container whose directories a crash took has none to show.
        let missing = layers.len().saturating_sub(view.layers().len());
        Ok(Self { view, layers: layers.into_iter().skip(missing).collect() })
    }
}

/// One path of a view.
#[derive(Debug, Serialize)]
struct EntryShape {
    path: String,
    /// The path's bytes, where they are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Permission bits in octal.
    mode: String,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    links: u64,
    modified: String,
    modified_nanoseconds: u32,
    /// Major and minor number.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The id of the layer that shows it.
    layer: Option<String>,
    #[serde(skip)]
    letter: char,
    #[serde(skip)]
    bits: u32,
}

impl EntryShape {
    fn of(entry: &ViewEntry, looked: &Looked) -> Result<Self> {
        let metadata = entry.metadata()?;
        let is_link = metadata.kind == FileKind::Symlink;
        let path = entry.path();
        Ok(Self {
            path_hex: human::hex_unless_text(path.as_os_str()),
            path: path.to_string_lossy().into_owned(),
            kind: metadata.kind.name(),
            mode: format!("{:04o}", metadata.mode),
            uid: metadata.uid,
            gid: metadata.gid,
            size_bytes: metadata.size,
            links: metadata.links,
            modified: human::moment(metadata.modified.0),
            modified_nanoseconds: metadata.modified.1,
            device: metadata.device,
            target: is_link.then(|| entry.read_link()).transpose()?.map(|target| target.to_string_lossy().into_owned()),
            layer: looked.layers.get(metadata.layer).cloned(),
            letter: metadata.kind.letter(),
            bits: metadata.mode,
        })
    }

    /// The last part of the path; the root's is a slash.
    fn name(&self) -> String {
        let name = self.path.rsplit('/').next().filter(|name| !name.is_empty());
        name.unwrap_or("/").to_owned()
    }

    fn row(&self, name: String) -> [String; 5] {
        let name = match &self.target {
            Some(target) => format!("{name} -> {target}"),
            None => name,
        };
        let size = match self.device {
            Some((major, minor)) => format!("{major}, {minor}"),
            // What a directory takes is its file system's business.
            None if self.letter == 'd' => "-".to_owned(),
            None => human::bytes(self.size_bytes),
        };
        [human::mode(self.letter, self.bits), format!("{}:{}", self.uid, self.gid), size, self.modified.clone(), name]
    }
}

const HEADERS: [&str; 5] = ["MODE", "OWNER", "SIZE>", "MODIFIED", "NAME"];

/// Lists a directory, or shows one file.
pub(crate) fn ls(session: &mut Session, args: &Ls) -> Result<()> {
    let looked = Looked::at(session, &args.what)?;
    let start = looked.view.entry_resolved(&args.path)?;
    let mut shapes = Vec::new();
    if start.is_directory() {
        for name in start.read_dir()? {
            // A name that went since is not there.
            if let Some(entry) = start.lookup(&name)? {
                shapes.push(EntryShape::of(&entry, &looked)?);
            }
        }
    } else {
        shapes.push(EntryShape::of(&start, &looked)?);
    }
    session.out.listing(&shapes, EntryShape::name, |shapes| {
        let mut columns = Columns::new(HEADERS);
        shapes.iter().for_each(|shape| columns.row(shape.row(shape.name())));
        columns
    })
}

/// Writes the content of files to standard output.
pub(crate) fn cat(session: &mut Session, args: &Cat) -> Result<()> {
    let looked = Looked::at(session, &args.what)?;
    // All are opened first: a name that is wrong prints nothing.
    let open = |path| Ok((path, looked.view.entry_resolved(path)?.open()?));
    let files = args.paths.iter().map(open).collect::<Result<Vec<(&std::path::PathBuf, _)>>>()?;
    for (path, mut file) in files {
        let copied = io::copy(&mut file, &mut session.out.bytes()?);
        copied.map_err(|error| Failure::stream(format!("write the content of {}", path.display()), error))?;
    }
    Ok(())
}

/// An attribute of a path.
#[derive(Debug, Serialize)]
struct AttributeShape {
    name: String,
    /// The value, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    hex: String,
}

#[derive(Debug, Serialize)]
struct StatShape {
    #[serde(flatten)]
    entry: EntryShape,
    inode: u64,
    xattrs: Vec<AttributeShape>,
}

impl StatShape {
    fn of(entry: &ViewEntry, looked: &Looked) -> Result<Self> {
        let attribute = |(name, value): (std::ffi::OsString, Vec<u8>)| AttributeShape {
            name: name.to_string_lossy().into_owned(),
            hex: human::hex(&value),
            text: String::from_utf8(value).ok(),
        };
        let xattrs = entry.xattrs()?.into_iter().map(attribute).collect();
        Ok(Self { entry: EntryShape::of(entry, looked)?, inode: entry.metadata()?.inode, xattrs })
    }

    fn columns(&self) -> Columns {
        let entry = &self.entry;
        let mut columns = Columns::new(["", ""]);
        let mut row = |name: &str, value: String| columns.row([name.to_owned(), value]);
        row("path", entry.path.clone());
        row("type", entry.kind.to_owned());
        if let Some(target) = &entry.target {
            row("target", target.clone());
        }
        row("mode", format!("{} {}", entry.mode, human::mode(entry.letter, entry.bits)));
        row("owner", format!("{}:{}", entry.uid, entry.gid));
        if entry.letter != 'd' {
            row("size", format!("{} bytes", entry.size_bytes));
        }
        if let Some((major, minor)) = entry.device {
            row("device", format!("{major}, {minor}"));
        }
        row("links", entry.links.to_string());
        row("modified", format!("{} +{} ns", entry.modified, entry.modified_nanoseconds));
        row("layer", entry.layer.clone().unwrap_or_else(|| "none".to_owned()));
        for attribute in &self.xattrs {
            row(&attribute.name, attribute.text.clone().unwrap_or_else(|| format!("0x{}", attribute.hex)));
        }
        columns
    }
}

/// Shows all that is known of a path, a symbolic link itself.
pub(crate) fn stat(session: &mut Session, args: &Stat) -> Result<()> {
    let looked = Looked::at(session, &args.what)?;
    let shape = StatShape::of(&looked.view.entry(&args.path)?, &looked)?;
    if session.out.is_json() { session.out.json(&shape) } else { session.out.table(shape.columns()) }
}

/// Lists everything at and below a path.
pub(crate) fn find(session: &mut Session, args: &Find) -> Result<()> {
    let looked = Looked::at(session, &args.what)?;
    let start = looked.view.resolve(&args.path)?;
    let mut walk = looked.view.walk(start)?;
    let mut shapes = Vec::new();
    while let Some(entry) = walk.next() {
        let entry = entry?;
        if args.max_depth.is_some_and(|most| walk.depth() >= most) {
            walk.skip_below();
        }
        if !is_wanted(&entry, args)? {
            continue;
        }
        if session.out.is_json() {
            shapes.push(EntryShape::of(&entry, &looked)?);
        } else {
            session.out.line(human::one_line(&entry.path().to_string_lossy()))?;
        }
    }
    if session.out.is_json() { session.out.json(&shapes) } else { Ok(()) }
}

fn is_wanted(entry: &ViewEntry, args: &Find) -> Result<bool> {
    let path = entry.path();
    let name = path.file_name().unwrap_or(Path::new("/").as_os_str());
    if args.name.as_ref().is_some_and(|pattern| !glob::matches(pattern.as_encoded_bytes(), name.as_encoded_bytes())) {
        return Ok(false);
    }
    Ok(match args.kind {
        Some(kind) => kind.is(entry.metadata()?.kind),
        None => true,
    })
}

impl KindName {
    fn is(self, kind: FileKind) -> bool {
        kind == match self {
            Self::F => FileKind::File,
            Self::D => FileKind::Directory,
            Self::L => FileKind::Symlink,
            Self::C => FileKind::CharacterDevice,
            Self::B => FileKind::BlockDevice,
            Self::P => FileKind::Fifo,
            Self::S => FileKind::Socket,
        }
    }
}
