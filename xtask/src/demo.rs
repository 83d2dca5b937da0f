//! `cargo xtask demo`: the whole job of overlay2 on an image of real software, and nothing left afterwards.
//!
//! Two processes: one plays, in a process group of its own; the other watches it, and cleans up however it ends.

mod containers;
mod image;
mod plyfs;
mod rootfs;
mod scratch;
mod table;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use self::containers::{Added, Fleet};
use self::image::Image;
use self::plyfs::Plyfs;
use self::scratch::Scratch;
use self::table::{bytes, duration};
use crate::run::{cargo, check};
use crate::{setup, tree};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many containers to make
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    containers: u32,
    /// Use this plyfs instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Play, watched by the process that started this one
    #[arg(long, hide = true)]
    watched: bool,
}

/// Runs the demo.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !geteuid().is_root() {
        bail!("not root: the demo mounts file systems; run it as root");
    }
    let scratch = Scratch::new();
    if args.watched {
        watch::be_watched()?;
        return play(&scratch, args);
    }
    // Before anything that an interruption would have to clean up.
    setup::java()?;
    watch::watch(&scratch)
}

fn act(title: &str) {
    println!("\n==> {title}");
}

fn play(scratch: &Scratch, args: &Args) -> Result<()> {
    let count = args.containers;
    let binary = args.binary.clone().map_or_else(build, Ok)?;

    act("make an image of three layers from the software of this machine");
    let archive = scratch.path().join("app.tar");
    let image = Image::make(&Plyfs::new(&binary, &scratch.path().join("build")), scratch, &archive)?;

    act("load it into a fresh store");
    let store = Plyfs::new(&binary, &scratch.path().join("store"));
    let started = Instant::now();
    store.say(&["load", path(&archive)?])?;
    println!("    {} in {}", bytes(file_size(&archive)?), duration(started.elapsed()));
    let original = image.original(&store)?;

    act(&format!("make {count} containers and mount them"));
    let fleet = Fleet::make(&store, image::NAME, count)?;

    act("change /app/config.properties in each, by chroot in a mount namespace of its own");
    fleet.change_config()?;
    println!("    {count} files changed, each seen by its own container only");
    println!("{}", indent(&fleet.first().java_version(&image.java)?));
    original.check_untouched()?;
    println!("    the image's own file is untouched: {}", original.digest());

    let shown = fleet.last();
    act(&format!("what {} changed", shown.name));
    let changes = store.ask(&["changes", &shown.name])?;
    println!("{}", indent(changes.trim_end()));
    if !changes.lines().any(|line| line == "C /app/config.properties") {
        bail!("changes {}: says nothing of /app/config.properties", shown.name);
    }

    act(&format!("commit {} and save the new image", shown.name));
    let committed = "demo/app:2";
    store.say(&["commit", &shown.name, committed, "--message", "another instance"])?;
    let saved = scratch.path().join("committed.tar");
    store.quiet(&["save", committed, "--format", "oci-archive", "-o", path(&saved)?])?;
    println!("    {} saved: {}", committed, bytes(file_size(&saved)?));

    act("what it costs");
    let added = Added::measure(&store)?;
    let copy = fleet.first().copy(&scratch.path().join("copy"))?;
    println!("{}", table::costs(&added, &fleet.timings(), copy, count));

    act("clean up");
    fleet.end()?;
    store.quiet(&["rmi", image::NAME, committed])?;
    let reclaimed = store.ask(&["prune", "--all"])?;
    println!("    prune reclaimed {}", reclaimed.trim());
    let left = Added::measure(&store)?;
    if !left.is_zero() {
        bail!("df is not zero: {left:?}");
    }
    println!("    df: no image, no layer, no container, 0 bytes");
    Ok(())
}

/// Builds the command as it is shipped.
fn build() -> Result<PathBuf> {
    act("build plyfs");
    check(cargo().args(["build", "--quiet", "--release", "--locked", "-p", "plyfs-cli"]))?;
    Ok(tree::target().join("release/plyfs"))
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))
}

fn file_size(file: &Path) -> Result<u64> {
    Ok(std::fs::metadata(file).with_context(|| format!("stat {}", file.display()))?.len())
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
