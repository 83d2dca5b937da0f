//! Those who keep images too, each driven by its own tools: load an archive, list, show an image's tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::{command, output};
use crate::tree;

/// How long a daemon may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// A program that keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Peer {
    Plyfs,
    Podman,
    Docker,
    Containerd,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Plyfs, Self::Podman, Self::Docker, Self::Containerd];

    /// How a person would load an archive with it.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Plyfs => "plyfs load",
            Self::Podman => "podman load",
            Self::Docker => "docker load",
            Self::Containerd => "ctr images import",
        }
    }

    /// What it says of itself.
    pub(crate) fn version(self) -> Result<String> {
        let (program, words) = match self {
            Self::Plyfs => (tree::target().join("debug/plyfs"), "--version"),
            Self::Podman => ("podman".into(), "--version"),
            Self::Docker => ("dockerd".into(), "--version"),
            Self::Containerd => ("containerd".into(), "--version"),
        };
        let said = output(command(program).arg(words))?;
        let version = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(version.unwrap_or(said.trim()).trim_end_matches(',').to_owned())
    }
}

/// A peer at work on a disk; dropping it ends its daemons.
#[derive(Debug)]
pub(crate) struct Keeper {
    peer: Peer,
    /// On the disk: everything that must survive.
    root: PathBuf,
    /// Beside the disk, new each time as after a boot.
    run: PathBuf,
    daemons: Vec<(&'static str, Child)>,
}

impl Keeper {
    /// Starts what the peer needs and waits until it answers.
    pub(crate) fn start(peer: Peer, disk: &Path, run: &Path) -> Result<Self> {
        let run = run.to_path_buf();
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("empty {}", run.display()))?;
        }
        let root = disk.join("kept");
        output(command("mkdir").arg("-p").args([&root, &run.join("view")]))?;
        let mut keeper = Self { peer, root, run, daemons: Vec::new() };
        match peer {
            Peer::Plyfs | Peer::Podman => {}
            Peer::Docker => {
                keeper.containerd(&keeper.run.join("containerd-root"))?;
                keeper.dockerd()?;
            }
            Peer::Containerd => keeper.containerd(&keeper.root.clone())?,
        }
        Ok(keeper)
    }

    /// Loads an archive; it is acknowledged when this returns.
    pub(crate) fn load(&self, archive: &Path) -> Result<()> {
        let words: &[&str] = match self.peer {
            Peer::Plyfs => &["load", "--quiet"],
            Peer::Podman | Peer::Docker => &["load", "--quiet", "--input"],
            Peer::Containerd => &["images", "import"],
        };
        output(self.client().args(words).arg(archive)).map(drop)
    }

    /// Every image it lists by name, and a digest of its tree or why there is none.
    pub(crate) fn look(&self, digest: impl Fn(&Path) -> Result<String>) -> Result<BTreeMap<String, Result<String>>> {
        let words: &[&str] = match self.peer {
            Peer::Plyfs => &["images", "--json"],
            Peer::Podman | Peer::Docker => &["images", "--format", "{{.Repository}}:{{.Tag}}"],
            Peer::Containerd => &["images", "list", "--quiet"],
        };
        let said = output(self.client().args(words))?;
        let names = if self.peer == Peer::Plyfs { names_in(&said)? } else { said.lines().map(str::to_owned).collect() };
        // What lost its name and is still listed is no image anybody could ask for.
        let names = names.into_iter().filter(|name| !name.starts_with("<none>"));
        Ok(names.map(|name| (name.clone(), self.tree(&name, &digest))).collect())
    }

    /// The digest of what an image mounts to.
    fn tree(&self, image: &str, digest: &impl Fn(&Path) -> Result<String>) -> Result<String> {
        let view = self.run.join("view");
        match self.peer {
            Peer::Plyfs => {
                output(self.client().args(["create", image, "for-a-look"]))?;
                let root = output(self.client().args(["mount", "for-a-look"]))?;
                let found = digest(Path::new(root.trim()));
                output(self.client().args(["rm", "--force", "for-a-look"]))?;
                found
            }
            Peer::Podman => {
                let root = output(self.client().args(["image", "mount", image]))?;
                let found = digest(Path::new(root.trim()));
                output(self.client().args(["image", "unmount", image]))?;
                found
            }
            Peer::Docker => {
                let format = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}";
                let stack = output(self.client().args(["image", "inspect", "--format", format, image]))?;
                let options = format!("ro,lowerdir={}", stack.trim().trim_end_matches(":<no value>"));
                output(command("mount").args(["-t", "overlay", "-o", &options, "overlay"]).arg(&view))?;
                let found = digest(&view);
                output(command("umount").arg(&view))?;
                found
            }
            Peer::Containerd => {
                output(self.client().args(["images", "mount", image]).arg(&view))?;
                let found = digest(&view);
                output(self.client().args(["images", "unmount", "--rm"]).arg(&view))?;
                found
            }
        }
    }

    /// The processes that work for those who ask.
    pub(crate) fn daemons(&self) -> Vec<u32> {
        self.daemons.iter().map(|(_, child)| child.id()).collect()
    }

    /// The peer's own command, on this disk and nothing else of the machine.
    pub(crate) fn client(&self) -> Command {
        let run = &self.run;
        let mut it = match self.peer {
            Peer::Plyfs => command(tree::target().join("debug/plyfs")),
            Peer::Podman => command("podman"),
            Peer::Docker => command("docker"),
            Peer::Containerd => command("ctr"),
        };
        match self.peer {
            Peer::Plyfs => it.arg("--root").arg(&self.root),
            Peer::Podman => {
                it.arg("--root").arg(&self.root).arg("--runroot").arg(run.join("podman"));
                it.arg("--tmpdir").arg(run.join("tmp")).args(["--storage-driver=overlay", "--cgroup-manager=cgroupfs"]);
                it.env("TMPDIR", run).env_remove("CONTAINERS_STORAGE_CONF")
            }
            Peer::Docker => it
                .arg("--host")
                .arg(format!("unix://{}", run.join("docker.sock").display()))
                .env("DOCKER_CONFIG", run.join("client"))
                .env_remove("DOCKER_CONTEXT"),
            Peer::Containerd => it.arg("--address").arg(run.join("containerd.sock")),
        };
        it
    }

    fn containerd(&mut self, root: &Path) -> Result<()> {
        let config = self.run.join("containerd.toml");
        let lines =
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
        fs::write(&config, lines).context("write containerd's settings")?;
        let mut daemon = ends_with_us("containerd");
        daemon.arg("--config").arg(config).arg("--root").arg(root);
        daemon.arg("--state").arg(self.run.join("containerd-state"));
        daemon.arg("--address").arg(self.run.join("containerd.sock"));
        let mut ready = command("ctr");
        // Not `version`: a cut can leave the file of its own UUID empty, and then that alone fails.
        ready.arg("--address").arg(self.run.join("containerd.sock")).args(["images", "list", "--quiet"]);
        self.spawn("containerd", daemon, ready)
    }

    fn dockerd(&mut self) -> Result<()> {
        let run = &self.run;
        let settings = run.join("daemon.json");
        fs::write(&settings, "{}").context("write dockerd's settings")?;
        let mut daemon = ends_with_us("dockerd");
        daemon.arg("--data-root").arg(&self.root).arg("--exec-root").arg(run.join("exec"));
        daemon.arg("--pidfile").arg(run.join("docker.pid")).arg("--containerd").arg(run.join("containerd.sock"));
        daemon.arg("--host").arg(format!("unix://{}", run.join("docker.sock").display()));
        daemon.arg("--config-file").arg(settings);
        daemon.args(["--storage-driver=overlay2", "--iptables=false", "--ip6tables=false", "--bridge=none"]);
        let mut ready = self.client();
        ready.arg("version");
        self.spawn("dockerd", daemon, ready)
    }

    fn spawn(&mut self, name: &'static str, mut daemon: Command, mut ready: Command) -> Result<()> {
        let log = fs::File::create(self.run.join(format!("{name}.log"))).context("create a log")?;
        daemon.stdout(log.try_clone().context("share a log")?).stderr(log);
        let child = daemon.spawn().with_context(|| format!("start {name}"))?;
        self.daemons.push((name, child));
        let started = Instant::now();
        loop {
            let Err(silence) = output(&mut ready) else { return Ok(()) };
            let (_, child) = self.daemons.last_mut().context("it was started")?;
            if let Some(status) = child.try_wait().context("wait")? {
                bail!("{name} ended: {status}: {}", self.last_words(name));
            }
            if started.elapsed() > PATIENCE {
                bail!("{name} does not answer: {silence:#}; {}", self.last_words(name));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn last_words(&self, name: &str) -> String {
        let log = fs::read_to_string(self.run.join(format!("{name}.log"))).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        for (_, child) in self.daemons.iter_mut().rev() {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let started = Instant::now();
            while matches!(child.try_wait(), Ok(None)) {
                if started.elapsed() > PATIENCE {
                    let _ = child.kill();
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// A daemon that ends when this process does, however that ends.
fn ends_with_us(daemon: &str) -> Command {
    let mut it = command("setpriv");
    it.args(["--pdeathsig", "TERM", "--", daemon]);
    it
}

/// The names in what `plyfs images --json` says.
fn names_in(json: &str) -> Result<Vec<String>> {
    let images: serde_json::Value = serde_json::from_str(json).context("plyfs images --json")?;
    let names = images.as_array().into_iter().flatten().flat_map(|image| image["names"].as_array());
    Ok(names.flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}
