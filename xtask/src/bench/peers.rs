//! The peers' stores under the same question: one more container on so many layers.
//!
//! Each peer is asked by its own command, so what plyfs takes is its command's time too. Chains are five layers deep. Only
//! plyfs is durable on return.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::harness::{Series, Variant, alternate, samples};
use crate::run::{command, output};

/// Layers of one chain.
const DEPTH: usize = 5;

/// How long a daemon may take to answer first.
const PATIENCE: Duration = Duration::from_secs(20);

/// Times one more container in stores of that many layers, each command in turn: plyfs, containerd, containers-storage.
pub(super) fn containers(plyfs: &Path, bench: &Path, dir: &Path, layers: usize, rounds: u32) -> Result<Vec<Series>> {
    let dir = dir.join(format!("peers-{layers}"));
    std::fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let own = dir.join("plyfs");
    std::fs::create_dir_all(&own).with_context(|| format!("create {}", own.display()))?;
    samples(bench, &["prepare", text(&own)?, "0", &layers.to_string()])?;
    let containerd = Containerd::start(&dir.join("containerd"))?;
    let parent = containerd.fill(layers)?;
    let storage = Storage::new(&dir.join("containers-storage"));
    let image = storage.fill(layers)?;
    let (mut a, mut b, mut c) = (0, 0, 0);
    let next = |number: &mut u32| {
        *number += 1;
        format!("c{number}")
    };
    let ask = |arguments: &[&str]| output(command(plyfs).arg("--root").arg(own.join("many")).args(arguments));
    alternate(
        rounds,
        vec![
            Variant::timed("plyfs create, mount", || {
                let name = next(&mut a);
                ask(&["create", "bench:1", &name])?;
                ask(&["mount", &name]).map(drop)
            }),
            Variant::timed("ctr snapshot prepare", || {
                b += 1;
                containerd.ask(&["prepare", &format!("c{b}"), &parent]).map(drop)
            }),
            Variant::timed("containers-storage create-container, mount", || {
                c += 1;
                let container = storage.ask(&["create-container", &image])?;
                storage.ask(&["mount", container.lines().next().unwrap_or_default()]).map(drop)
            }),
        ],
    )
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: not UTF-8", path.display()))
}

/// containerd with its state and socket in a directory of its own; ends with this value.
pub(super) struct Containerd {
    daemon: Child,
    socket: PathBuf,
}

impl Containerd {
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let socket = dir.join("sock");
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let log = std::fs::File::create(dir.join("log")).context("create the daemon's log")?;
        let mut daemon = command("containerd");
        daemon.arg("--root").arg(dir.join("root")).arg("--state").arg(dir.join("state")).arg("--address").arg(&socket);
        let daemon = daemon.stdout(std::process::Stdio::null()).stderr(log).spawn().context("containerd")?;
        let it = Self { daemon, socket };
        let started = Instant::now();
        while it.ask(&["ls"]).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("containerd does not answer; its log is in {}", dir.display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(it)
    }

    /// The socket it listens at.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut ctr = command("ctr");
        ctr.arg("--address").arg(&self.socket).args(["snapshots", "--snapshotter", "overlayfs"]);
        output(ctr.args(arguments))
    }

    /// Commits that many snapshots; the answer is the uppermost of one chain.
    fn fill(&self, layers: usize) -> Result<String> {
        for number in 0..layers {
            let (active, committed) = (format!("a{number}"), format!("l{number}"));
            let below = format!("l{}", number.wrapping_sub(1));
            let parent = if number % DEPTH == 0 { vec![] } else { vec![below.as_str()] };
            self.ask(&[&["prepare", &active], parent.as_slice()].concat())?;
            self.ask(&["commit", &committed, &active])?;
        }
        Ok(format!("l{}", DEPTH - 1))
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A store of containers-storage in a directory of its own; what it leaves mounted goes with the disk it is on.
///
/// Its own `shutdown --force` never ends where a mount point is gone.
struct Storage {
    dir: PathBuf,
}

impl Storage {
    fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut storage = command("containers-storage");
        storage.arg("--graph").arg(self.dir.join("graph")).arg("--run").arg(self.dir.join("run"));
        output(storage.args(["--storage-driver", "overlay"]).args(arguments))
    }

    /// Makes that many layers; the answer is an image of one chain.
    fn fill(&self, layers: usize) -> Result<String> {
        let mut top = String::new();
        let mut image = None;
        for number in 0..layers {
            let parent = if number % DEPTH == 0 { vec![] } else { vec![top.as_str()] };
            let made = self.ask(&[&["create-layer"], parent.as_slice()].concat())?;
            top = made.lines().next().unwrap_or_default().to_owned();
            if number + 1 == DEPTH {
                let made = self.ask(&["create-image", &top])?;
                image = made.lines().next().map(str::to_owned);
            }
        }
        image.context("a store of fewer layers than a chain has")
    }
}
