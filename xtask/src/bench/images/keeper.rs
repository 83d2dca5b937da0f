//! Those who are measured, behind the same few verbs; each on the disk of the bench and nothing else of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::corpus::Form;
use super::layout::NAME;
use crate::powercut::peer;
use crate::run::{check, command, output};

/// What a commit is called.
const COMMITTED: &str = "localhost/committed:1";

/// Someone who keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Plyfs,
    Docker,
    Containerd,
    Podman,
    Umoci,
}

impl Who {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plyfs => "plyfs",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
            Self::Umoci => "umoci",
        }
    }
}

/// A directory for sockets and what else need not last.
#[derive(Debug)]
struct Run(PathBuf);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // Gone with the last of them.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// One of them at work; dropping it ends its daemons.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) who: Who,
    dir: PathBuf,
    plyfs: PathBuf,
    // Before the directory of its sockets, which goes after it.
    peer: Option<peer::Keeper>,
    _run: Run,
}

impl Keeper {
    /// Starts what it needs, with all its data below `disk`.
    pub(super) fn start(who: Who, disk: &Path, plyfs: &Path) -> Result<Self> {
        let dir = disk.join(who.name());
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let peer = match who {
            Who::Plyfs | Who::Umoci => None,
            Who::Docker => Some(peer::Peer::Docker),
            Who::Containerd => Some(peer::Peer::Containerd),
            Who::Podman => Some(peer::Peer::Podman),
        };
        // podman takes no longer path for it than 50 bytes.
        let run = Run(PathBuf::from(format!("/run/plyfs-bench-{}/{}", std::process::id(), who.name())));
        let peer = peer.map(|peer| peer::Keeper::start(peer, &dir, &run.0)).transpose()?;
        Ok(Self { who, dir, plyfs: plyfs.to_path_buf(), peer, _run: run })
    }

    /// Processes that work when it is asked.
    pub(super) fn daemons(&self) -> Vec<u32> {
        self.peer.as_ref().map(peer::Keeper::daemons).unwrap_or_default()
    }

    /// Where everything lies that it keeps.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join(if self.peer.is_some() { "kept" } else { "data" })
    }

    fn ask(&self, words: &[&str]) -> Command {
        let mut it = match &self.peer {
            Some(peer) => {
                let mut it = peer.client();
                // Where podman unpacks archives: on the disk like all else, and never in memory.
                it.env("TMPDIR", &self.dir);
                it
            }
            None => {
                let mut it = command(&self.plyfs);
                it.arg("--root").arg(self.data());
                it
            }
        };
        it.args(words);
        it
    }

    /// Takes an image in; it can be used when this returns.
    pub(super) fn load(&self, form: Form, archive: &Path, layout: &Path) -> Result<()> {
        let file = archive.display();
        let mut it = match (self.who, form) {
            (Who::Plyfs, _) => self.ask(&["--quiet", "load"]),
            (Who::Umoci, _) => {
                let mut umoci = command("umoci");
                umoci.args(["unpack", "--image"]).arg(format!("{}:{NAME}", layout.display()));
                return output(umoci.arg(self.data())).map(drop);
            }
            (Who::Podman, Form::Docker) => {
                return output(self.ask(&["load", "--quiet", "--input"]).arg(archive)).map(drop);
            }
            (Who::Podman, _) => {
                return output(&mut self.ask(&["pull", "--quiet", &format!("oci-archive:{file}")])).map(drop);
            }
            (Who::Docker, _) => self.ask(&["load", "--quiet", "--input"]),
            (Who::Containerd, _) => self.ask(&["images", "import", "--snapshotter", "overlayfs"]),
        };
        output(it.arg(archive)).map(drop)
    }

    /// Drops every image that is not named `except`, with the layers nobody else needs.
    pub(super) fn drop_images(&self, except: Option<&str>) -> Result<()> {
        let names = |text: &str| -> Vec<String> {
            let other = |name: &&str| except.is_none_or(|except| !name.ends_with(except));
            text.lines().filter(other).map(str::to_owned).collect()
        };
        match (self.who, except) {
            (Who::Umoci, _) | (Who::Plyfs, None) => check(command("rm").args(["-rf", "--"]).arg(self.data())),
            (Who::Plyfs, _) => output(&mut self.ask(&["rmi", NAME])).map(drop),
            (Who::Docker | Who::Podman, _) => {
                let said = output(&mut self.ask(&["images", "--format", "{{.Repository}}:{{.Tag}}"]))?;
                let names = names(&said);
                if names.is_empty() { Ok(()) } else { output(self.ask(&["rmi", "--force"]).args(names)).map(drop) }
            }
            (Who::Containerd, _) => {
                let names = names(&output(&mut self.ask(&["images", "list", "--quiet"]))?);
                if names.is_empty() {
                    Ok(())
                } else {
                    output(self.ask(&["images", "rm", "--sync"]).args(names)).map(drop)
                }
            }
        }
    }

    /// Writes the image into a new file.
    pub(super) fn save(&self, format: &str, file: &Path) -> Result<()> {
        let mut it = match self.who {
            Who::Docker => self.ask(&["save", NAME, "--output"]),
            _ => self.ask(&["save", NAME, "--format", format, "--output"]),
        };
        output(it.arg(file)).map(drop)
    }

    /// Makes a container whose upper directory is a copy of `tree`, not mounted; the answer is that directory.
    pub(super) fn fill(&self, container: &str, tree: &Path) -> Result<PathBuf> {
        let copy = |root: &str| check(command("cp").arg("-a").arg(tree).arg(format!("{}/filled", root.trim())));
        match self.who {
            Who::Docker => {
                output(&mut self.ask(&["create", "--name", container, NAME, "true"]))?;
                let format = "{{.GraphDriver.Data.UpperDir}}";
                let upper = output(&mut self.ask(&["inspect", "--format", format, container]))?;
                copy(&upper)?;
                Ok(upper.trim().into())
            }
            Who::Podman => {
                output(&mut self.ask(&["create", "--name", container, NAME, "true"]))?;
                copy(&output(&mut self.ask(&["mount", container]))?)?;
                output(&mut self.ask(&["unmount", container]))?;
                let format = "{{.GraphDriver.Data.UpperDir}}";
                Ok(output(&mut self.ask(&["inspect", "--format", format, container]))?.trim().into())
            }
            Who::Plyfs => {
                output(&mut self.ask(&["create", NAME, container]))?;
                copy(&output(&mut self.ask(&["mount", container]))?)?;
                output(&mut self.ask(&["umount", container]))?;
                Ok(self.data())
            }
            Who::Containerd | Who::Umoci => bail!("{} commits no containers", self.who.name()),
        }
    }

    /// Makes an image of a container.
    pub(super) fn commit(&self, container: &str) -> Result<()> {
        output(&mut self.ask(&["commit", container, COMMITTED])).map(drop)
    }

    /// Drops the image that a commit made.
    pub(super) fn drop_commit(&self) -> Result<()> {
        output(&mut self.ask(&["rmi", COMMITTED])).map(drop)
    }

    /// What one more container stands on, where that is not the image's name.
    pub(super) fn parent(&self) -> Result<String> {
        if self.who != Who::Containerd {
            return Ok(NAME.to_owned());
        }
        let listed = output(&mut self.ask(&["snapshots", "--snapshotter", "overlayfs", "list"]))?;
        let rows: Vec<Vec<&str>> = listed.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        let parents: Vec<&str> = rows.iter().filter(|row| row.len() == 3).map(|row| row[1]).collect();
        let top = rows.iter().map(|row| row[0]).find(|key| !parents.contains(key));
        top.map(str::to_owned).context("containerd lists no snapshot")
    }

    /// One more container as far as it goes without starting it: mounted by plyfs, to be mounted by the others.
    pub(super) fn create(&self, parent: &str, container: &str) -> Result<()> {
        match self.who {
            Who::Plyfs => self.create_all(parent, &[container.to_owned()]),
            Who::Containerd => {
                let words = ["snapshots", "--snapshotter", "overlayfs", "prepare", container, parent];
                output(&mut self.ask(&words)).map(drop)
            }
            _ => output(&mut self.ask(&["create", "--name", container, parent, "true"])).map(drop),
        }
    }

    /// Containers by one command, mounted; only plyfs has one.
    pub(super) fn create_all(&self, parent: &str, containers: &[String]) -> Result<()> {
        output(self.ask(&["create", "--mount", parent]).args(containers)).map(drop)
    }

    /// Removes containers.
    pub(super) fn remove(&self, containers: &[String]) -> Result<()> {
        let mut it = match self.who {
            Who::Containerd => self.ask(&["snapshots", "--snapshotter", "overlayfs", "remove"]),
            _ => self.ask(&["rm", "--force"]),
        };
        output(it.args(containers)).map(drop)
    }
}
