//! A dockerd of its own, asked for what it does with the same trees.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::peers::Containerd;
use crate::bench::short::Short;
use crate::run::{command, output};

/// How long a daemon may take to answer first, or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// dockerd with driver overlay2, its state in a directory of its own; ends with this value.
pub(super) struct Docker {
    daemon: Child,
    dir: PathBuf,
    // Last: what the daemon stands on ends after it.
    _containerd: Containerd,
    run: Short,
}

impl Docker {
    pub(super) fn start(dir: &Path) -> Result<Self> {
        let run = Short::new("docker")?;
        let containerd = Containerd::start(&dir.join("containerd"))?;
        // Nothing of the machine's own /etc/docker.
        let settings = dir.join("daemon.json");
        fs::write(&settings, "{}").with_context(|| format!("write {}", settings.display()))?;
        let log = File::create(dir.join("log")).context("create the daemon's log")?;
        let mut daemon = command("dockerd");
        daemon.arg("--data-root").arg(dir.join("data")).arg("--exec-root").arg(run.path().join("run"));
        daemon.arg("--pidfile").arg(dir.join("pid")).arg("--config-file").arg(&settings);
        daemon.arg("--host").arg(host(&run)).arg("--containerd").arg(containerd.socket());
        daemon.args(["--storage-driver", "overlay2", "--iptables=false", "--ip6tables=false", "--bridge=none"]);
        let daemon = daemon.stdout(Stdio::null()).stderr(log).spawn().context("dockerd")?;
        let it = Self { daemon, dir: dir.to_owned(), _containerd: containerd, run };
        let started = Instant::now();
        while it.ask(&["version"]).is_err() {
            if started.elapsed() > PATIENCE {
                bail!("dockerd does not answer; its log is in {}", dir.display());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(it)
    }

    /// A command of the client.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        // The distribution's client beside the distribution's daemon: a newer one may refuse its protocol.
        let packaged = Path::new("/usr/bin/docker");
        let mut docker = command(if packaged.exists() { packaged } else { Path::new("docker") });
        docker.env("DOCKER_HOST", host(&self.run)).env("DOCKER_CONFIG", self.dir.join("client"));
        docker.env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY").args(arguments);
        docker
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        output(&mut self.command(arguments))
    }

    /// Makes a container that has added what is in `tree` to an empty image; the answer is its name.
    pub(super) fn container(&self, tree: &str, nothing: &str) -> Result<&'static str> {
        self.ask(&["import", nothing, "nothing"])?;
        self.ask(&["create", "--network=none", "--name", "changed", "nothing", "true"])?;
        self.ask(&["cp", &format!("{tree}/."), "changed:/"])?;
        Ok("changed")
    }

    /// Takes an archive in as a layer; the answer is how many bytes its record has as it is stored.
    pub(super) fn record(&self, archive: &str) -> Result<u64> {
        self.ask(&["import", archive, "layer"])?;
        let digest = output(command("sha256sum").arg(archive))?;
        let digest = digest.split_whitespace().next().unwrap_or_default();
        // The ChainID of a base layer is its DiffID.
        let record = self.dir.join("data/image/overlay2/layerdb/sha256").join(digest).join("tar-split.json.gz");
        Ok(fs::metadata(&record).with_context(|| format!("look at {}", record.display()))?.len())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Asked to end, it unmounts what it has mounted.
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok()) {
            let started = Instant::now();
            while started.elapsed() < PATIENCE && matches!(self.daemon.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(50));
            }
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn host(run: &Short) -> String {
    format!("unix://{}", run.path().join("sock").display())
}
