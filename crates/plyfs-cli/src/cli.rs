//! The command line: every command, argument and flag, and the words of `--help`.
//!
//! What an argument *means* is decided by the command that gets it: a malformed image name is an error of kind
//! `InvalidInput` with its own exit code, not a wrong command line.

mod archives;
mod naming;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use plyfs::ExportOptions;

pub(crate) use archives::{Import, Load, Reading, Save};
pub(crate) use naming::{History, Rename, Tag, Untag};

/// Keep, mount and build container layers on OverlayFS, without a daemon
///
/// Data goes to standard output, words to standard error. Sizes in tables are rounded; --json states bytes.
#[derive(Debug, Parser)]
#[command(name = "plyfs", version, args_override_self = true, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Common {
    /// Use the store in this directory [default: /var/lib/plyfs for root, else plyfs in the XDG data directory]
    // Any value is taken here, since clap would call an empty PLYFS_ROOT a --root without a value: `Session::root` tells them apart.
    #[arg(long, value_name = "DIR", global = true, env = "PLYFS_ROOT", hide_env_values = true)]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) root: Option<PathBuf>,
    /// Print JSON: an array of objects for a listing, else one object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only names and ids in listings, and no progress
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The table of exit codes, as `plyfs --help` prints it; a test holds it to the error kinds.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
   0  success
   1  any failure without a kind
   2  wrong command line
   3  not found                  11  no inodes left
   4  exists already             12  quota used up
   5  malformed input            13  permission
   6  in use                     14  cancelled
   7  busy                       15  timed out
   8  corrupt                    16  changed while it was read
   9  unsupported                17  read-only
  10  no space left              18  a sync failed earlier
                                 19  any other failed system call
 141  whoever read an archive or a file from standard output went away before its end
fsck has codes of its own, those of fsck(8). Long work that a signal interrupts is taken
back, and the program ends by that signal";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load images from an archive or a layout; print each name
    ///
    /// Takes a docker-archive, an OCI archive, an OCI layout or a directory of skopeo's form dir, compressed or not, and
    /// tells them apart by content.
    /// An image without a name is printed as its id.
    Load(Load),
    /// Save images to an archive or a layout
    ///
    /// A file appears under its name when it is complete.
    Save(Save),
    /// Make an image of a tar archive or a directory as one layer; print its id
    Import(Import),
    /// List images
    Images(Images),
    /// List layers
    Layers,
    /// List containers
    Containers,
    /// Create containers; print their names
    ///
    /// Several are all created, or none, at the price of one.
    Create(Create),
    /// Mount a container; print the path
    ///
    /// The mount stays when the command ends. A container that is mounted stays so, and its path is printed.
    Mount(Mount),
    /// Unmount a container; fine when it is not mounted
    Umount(Umount),
    /// List what a container changed: A added, C changed, D deleted
    ///
    /// With two arguments, list what turns the first tree into the second. Each is a container, an image, a layer, or a
    /// directory; a directory begins with a dot or a slash.
    Changes(Changes),
    /// Write what a container changed as a changeset, a plain tar archive
    ///
    /// With two arguments, write what turns the first tree into the second. Each is a container, an image, a layer, or a
    /// directory; a directory begins with a dot or a slash.
    Diff(Diff),
    /// Make an image of what a container changed; print its id
    Commit(Commit),
    /// List a directory of a container or an image, without a mount
    ///
    /// A symbolic link that PATH leads to is followed, as inside.
    Ls(Ls),
    /// Print files of a container or an image, without a mount
    ///
    /// Only regular files are read. Symbolic links are followed, as inside.
    Cat(Cat),
    /// Show all that is known of a path, without a mount
    ///
    /// Type, owner, times, attributes, and the layer that shows it. A symbolic link is shown itself.
    Stat(Stat),
    /// List everything at and below a path, sorted
    Find(Find),
    /// Copy files into or out of a container, or out of an image
    ///
    /// One of both is NAME:PATH, the other a path here; one that has a colon in its first part is written ./a:b. A directory
    /// is copied with all below it; with /. at the end, only what is in it. What is there is replaced; a directory merges
    /// with a directory. A symbolic link is copied itself unless its path ends in a slash. Inside, links lead where they lead
    /// a process of the container, never outside.
    ///
    /// With - in place of the path here, a tar archive is written to standard output, or read from standard input and its
    /// content copied into a directory that is there.
    Cp(Cp),
    /// Write everything a container or an image shows as one tar archive
    Export(Export),
    /// Write everything an image shows as files, without a mount
    ///
    /// Takes a container or a layer as well. The directory must not be there, or be empty. Owners are kept where the caller may
    /// give files away.
    Unpack(Unpack),
    /// Remove containers
    Rm(Rm),
    /// Remove images
    ///
    /// One of several names is only taken from its image. The last name, or an id, removes the image with the
    /// layers that nothing else stands on. An image that containers were made of is not removed.
    Rmi(Rmi),
    /// Remove layers that nothing uses; print the bytes reclaimed
    ///
    /// Filters: until=24h, until=2026-01-31 or until=UNIXTIME for what came into the store before then; label=KEY,
    /// label=KEY=VALUE and label!=… for images without a name whose labels are so, and the layers that only they stood on.
    Prune(Prune),
    /// Keep images or layers from prunes for a time; print the lease's id
    ///
    /// What a lease keeps stays when its names and users go; no prune takes it until the lease ends.
    Lease(Lease),
    /// List leases and what they keep
    Leases,
    /// End leases; print each id
    Release(Release),
    /// Show what is stored, what is shared, what can be reclaimed
    ///
    /// Adds up what was recorded when layers were made, so it takes no longer for large ones. What containers hold
    /// themselves changes all the time and is recorded nowhere: --measure walks their own trees and says what each adds.
    Df(Df),
    /// Show the store, its file system and what the kernel can do
    Info,
    /// Draw the layers and who uses them
    Tree(Tree),
    /// Show a container, an image or a layer in full, as JSON
    Inspect(Inspect),
    /// Give an image another name
    Tag(Tag),
    /// Take names from their images, which stay; print each name
    Untag(Untag),
    /// List how an image came to be: its instructions, newest first, and what each added
    History(History),
    /// Rename a container
    Rename(Rename),
    /// Compare the records with the directories, both ways
    ///
    /// Changes nothing unless asked to. Exit codes: 0 no errors, 1 errors repaired, 4 errors left, 8 the check itself
    /// failed, 16 wrong command line, 32 interrupted. Notes and warnings alone are no errors.
    Fsck(Fsck),
}

#[derive(Debug, Args)]
pub(crate) struct Lease {
    /// Names or ids of images, or ids of layers
    #[arg(value_name = "IMAGE|LAYER", required = true)]
    pub(crate) what: Vec<String>,
    /// How long, such as 90m or 36h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "24h")]
    pub(crate) lasts: Duration,
}

/// Reads how long a lease lasts, whose end is a whole second.
fn duration(text: &str) -> Result<Duration, String> {
    let lasts = crate::filter::duration(text).filter(|lasts| *lasts >= Duration::from_secs(1));
    lasts.ok_or_else(|| "numbers with h, m or s are needed, a second or more".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Ids of leases
    #[arg(value_name = "LEASE", required = true)]
    pub(crate) leases: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Df {
    /// Also walk what each container holds itself
    #[arg(long)]
    pub(crate) measure: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Also read every layer and compare all of it with the archive it came from
    #[arg(long)]
    pub(crate) data: bool,
    /// Repair what can be repaired without loss; what no record speaks of is moved into the store's directory aside
    #[arg(long)]
    pub(crate) repair: bool,
    /// Make a lost or damaged journal anew from the directories, then repair; names are lost and listed, so a sound one is refused
    #[arg(long)]
    pub(crate) rebuild: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Images {
    /// List only images of this name, with its tag or without; * stands for any part
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// List only images that this fits: reference=PATTERN, label=KEY[=VALUE], before=IMAGE, since=IMAGE,
    /// dangling=true|false; may be given several times
    #[arg(short, long = "filter", value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name or id of the image
    pub(crate) image: String,
    /// Names of the containers [default: one, made up]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Mount them too, and print the paths; they stay mounted when the command ends
    #[arg(long)]
    pub(crate) mount: bool,
    /// Mount them read-only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Attach a label; may be given several times
    #[arg(long = "label", value_name = "K=V", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
}

/// Reads `key=value`; a key alone has an empty value.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err("a label needs a key".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct Mount {
    /// Name of the container
    pub(crate) name: String,
    /// Mount at this existing directory [default: the container's own]
    #[arg(long, value_name = "DIR")]
    pub(crate) at: Option<PathBuf>,
    /// Print lower, upper, work and options instead, and mount nothing
    #[arg(long, conflicts_with = "at")]
    pub(crate) print: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Umount {
    /// Name of the container
    pub(crate) name: String,
    /// Unmount even while programs work inside; they keep what they have open
    #[arg(long)]
    pub(crate) detach: bool,
}

/// One container, or two trees.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Name of the container; with another, the tree to begin with
    #[arg(value_name = "NAME|TREE")]
    pub(crate) from: OsString,
    /// Tree to end with
    #[arg(value_name = "TREE")]
    pub(crate) to: Option<OsString>,
}

/// Times that are the same whenever something is made.
#[derive(Debug, Args)]
pub(crate) struct Epoch {
    /// Write times later than this many seconds after the epoch as this
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", hide_env_values = true)]
    pub(crate) clamp_mtime: Option<i64>,
}

impl Epoch {
    /// How an archive is written with them.
    pub(crate) fn options(&self) -> ExportOptions {
        self.clamp_mtime.into_iter().fold(ExportOptions::new(), ExportOptions::clamp_mtime)
    }
}

/// The styles of changesets by name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum StyleName {
    /// Opaque markers where they hide something, user attributes kept
    Native,
    /// The bytes that containerd's differ writes
    Containerd,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    #[command(flatten)]
    pub(crate) trees: Changes,
    #[command(flatten)]
    pub(crate) epoch: Epoch,
    /// Choose whose changesets it looks like; every reader of layers takes both
    #[arg(long, value_name = "STYLE", default_value = "native")]
    pub(crate) style: StyleName,
    /// Write to this file, or - for standard output
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Name of the container
    pub(crate) name: String,
    /// Name of the new image
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) epoch: Epoch,
    /// Say what changed, in the image's history
    #[arg(short, long, value_name = "M")]
    pub(crate) message: Option<String>,
    /// Say who changed it
    #[arg(short, long, value_name = "A")]
    pub(crate) author: Option<String>,
    /// Change the image's config by this Dockerfile instruction; may be given several times
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub(crate) changes: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
    /// Path inside
    #[arg(default_value = "/")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
    /// Paths inside
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
    /// Path inside
    #[arg(default_value = "/")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
    /// Path inside to begin at
    #[arg(default_value = "/")]
    pub(crate) path: PathBuf,
    /// List only names that fit this pattern, as a shell means it
    #[arg(long, value_name = "PATTERN")]
    pub(crate) name: Option<OsString>,
    /// List only what is of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<KindName>,
    /// Go no more than this many directories down
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<usize>,
}

/// A type of file as `find` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindName {
    /// Regular file
    F,
    /// Directory
    D,
    /// Symbolic link
    L,
    /// Character device
    C,
    /// Block device
    B,
    /// FIFO
    P,
    /// Socket
    S,
}

#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What to copy: PATH, NAME:PATH inside, or - for an archive from standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) from: OsString,
    /// Where to: PATH, NAME:PATH inside a container, or - for an archive to standard output
    #[arg(value_name = "TARGET")]
    pub(crate) to: OsString,
    /// Keep owners [default: root's inside, the caller's here, an archive's own]
    #[arg(short, long)]
    pub(crate) archive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) epoch: Epoch,
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
    /// Write to this file, or - for standard output
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "IMAGE|NAME|LAYER")]
    pub(crate) what: String,
    /// Directory to write into
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names of containers
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// Detach the mount of a mounted one first
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Names or ids of images
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<String>,
    /// Take the names also from an image that containers were made of; it stays until they are gone
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove also images without a name that no container uses
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Remove only what this fits; may be given several times
    #[arg(long = "filter", value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Remove nothing and say what would be
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Draw only the layers of this image and what stands on them
    pub(crate) image: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Name of a container or an image, or the id of an image or a layer
    #[arg(value_name = "NAME|IMAGE|LAYER")]
    pub(crate) what: String,
}

#[cfg(test)]
mod tests;
