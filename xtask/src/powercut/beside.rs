//! The same images, loaded by several programs onto the same disk, and what each has after the same number of cuts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::cut::{BLOCK, Builder, Cut, choose};
use super::device::Recorder;
use super::filesystem::FileSystem;
use super::lab::Tools;
use super::peer::{Keeper, Peer};

/// Bytes of a disk on which each of them has room.
const SIZE: u64 = 512 << 20;

/// What one program's cuts left.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) cuts: usize,
    /// Something acknowledged was not listed.
    pub(super) lost: usize,
    /// Something acknowledged was listed, and not its tree.
    pub(super) damaged: usize,
    /// Something never acknowledged was listed, and not its tree.
    pub(super) half: usize,
    /// The program did not start or could not list, with something acknowledged.
    pub(super) dead: usize,
    /// Cuts of any of the first, second and fourth kind.
    pub(super) unkept: usize,
}

/// Records one row of loads and cuts it `count` times.
pub(super) fn cut(peer: Peer, filesystem: FileSystem, tools: &Tools, dir: &Path, count: usize) -> Result<Outcome> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let recorder = Recorder::new(filesystem, SIZE, dir)?;
    let run = Run::new();
    let digest = |root: &Path| Ok(tools.ask("tree", root, &[])?.trim().to_owned());
    let mounted = recorder.mount()?;
    let keeper = Keeper::start(peer, mounted.path(), &run.0)?;
    let from = recorder.position();
    for (name, archive) in archives(tools)? {
        recorder.mark(&format!("begin {name}"));
        keeper.load(&archive)?;
        recorder.mark(&format!("done {name}"));
    }
    let end = recorder.position();
    drop(keeper);
    mounted.unmount()?;
    // What each image is after a boot without a cut.
    let mounted = recorder.mount()?;
    let keeper = Keeper::start(peer, mounted.path(), &run.0)?;
    let whole = keeper.look(digest)?.into_iter().map(|(name, tree)| Ok((name, tree?))).collect::<Result<_>>()?;
    drop(keeper);
    mounted.unmount()?;
    let mut record = recorder.restart();
    record.events.truncate(end);
    record.marks.retain(|mark| mark.at <= end);

    let mut outcome = Outcome::default();
    let mut builder = Builder::new(&record, filesystem.superblocks());
    for cut in choose(&record, from, count, &mut fastrand::Rng::with_seed(1)) {
        let mut image = builder.build(&cut);
        recorder.begin(image.clone());
        let mounted = match recorder.mount() {
            Ok(mounted) => mounted,
            // The file system itself did not survive being torn at sectors.
            Err(_) => {
                image = builder.build(&Cut { unit: BLOCK, ..cut });
                recorder.begin(image);
                recorder.mount()?
            }
        };
        let acknowledged: Vec<_> = record
            .marks
            .iter()
            .filter(|mark| mark.at <= cut.at)
            .filter_map(|mark| mark.line.strip_prefix("done "))
            .collect();
        let found = Keeper::start(peer, mounted.path(), &run.0).and_then(|keeper| keeper.look(digest));
        outcome.count(&acknowledged, &whole, found, &format!("{}, cut {cut}", peer.verb()));
        mounted.unmount()?;
    }
    Ok(outcome)
}

/// What a boot empties: sockets, locks, logs. podman takes no more than 50 characters for it.
struct Run(PathBuf);

impl Run {
    fn new() -> Self {
        Self(PathBuf::from(format!("/run/powercut-{}", std::process::id())))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The images' names and archives.
fn archives(tools: &Tools) -> Result<Vec<(String, PathBuf)>> {
    let listed = tools.ask("list", tools.archives(), &[])?;
    listed
        .lines()
        .map(|line| {
            let (name, path) = line.split_once(' ').context("a name and a path")?;
            Ok((name.to_owned(), PathBuf::from(path)))
        })
        .collect()
}

impl Outcome {
    /// Takes in one cut, and says what is wrong with it.
    fn count(
        &mut self,
        acknowledged: &[&str],
        whole: &BTreeMap<String, String>,
        found: Result<BTreeMap<String, Result<String>>>,
        cut: &str,
    ) {
        self.cuts += 1;
        let found = match found {
            Ok(found) => found,
            // A store that was not yet made when the power went.
            Err(_) if acknowledged.is_empty() => return,
            Err(error) => {
                println!("{cut}: {error:#}");
                self.dead += 1;
                self.unkept += 1;
                return;
            }
        };
        let is_whole = |name: &str| match found.get(name) {
            Some(Ok(tree)) => whole.get(name) == Some(tree),
            _ => false,
        };
        let (mut lost, mut damaged) = (Vec::new(), Vec::new());
        for name in acknowledged.iter().copied().filter(|name| !is_whole(name)) {
            if found.contains_key(name) { damaged.push(name) } else { lost.push(name) }
        }
        let half = found.keys().filter(|name| !acknowledged.contains(&name.as_str()) && !is_whole(name)).count();
        if !lost.is_empty() || !damaged.is_empty() || half > 0 {
            let (all, lost, damaged) = (acknowledged.len(), lost.len(), damaged.len());
            println!(
                "{cut}: of {all} acknowledged images {lost} are gone and {damaged} damaged, {half} others are in half"
            );
            if let Some(Err(error)) = found.values().find(|tree| tree.is_err()) {
                println!("  {error:#}");
            }
        }
        self.lost += usize::from(!lost.is_empty());
        self.damaged += usize::from(!damaged.is_empty());
        self.half += usize::from(half > 0);
        self.unkept += usize::from(!lost.is_empty() || !damaged.is_empty());
    }
}
