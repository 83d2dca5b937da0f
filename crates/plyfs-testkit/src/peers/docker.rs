//! A real dockerd over its own containerd, driver overlay2, with no network and no trace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{remove_cgroup, tool, unique_name};
use crate::process::{Process, Ran, kill_naming, output, run, wait_until};
use crate::temp::TempDir;

/// How long a daemon may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Docker daemon; dropping it ends its containers, both daemons, every mount and every file.
///
/// Start one per test binary or test as its second or so of start-up allows. A test binary killed from outside leaves
/// its daemons running: only a drop ends them.
#[derive(Debug)]
#[must_use = "the daemon ends when this is dropped"]
pub struct Docker {
    daemon: Process,
    containerd: Process,
    // Last: removed after the daemons have ended.
    dir: TempDir,
}

impl Docker {
    /// Starts containerd and dockerd and waits until they answer.
    #[track_caller]
    pub fn start() -> Self {
        let dir = TempDir::new();
        // dockerd would rather share a containerd the machine runs; this one is nobody else's.
        let config = dir.join("containerd.toml");
        let settings = dir.join("daemon.json"); // nothing of the machine's own /etc/docker
        std::fs::write(&settings, "{}").expect("the temp dir takes a file");
        let lines =
            "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n";
        std::fs::write(&config, lines).expect("the temp dir takes a file");
        let socket = dir.join("containerd.sock");
        let mut containerd = Process::spawn(
            tool("containerd")
                .arg("--config")
                .arg(&config)
                .arg("--root")
                .arg(dir.join("containerd"))
                .arg("--state")
                .arg(dir.join("containerd-run"))
                .arg("--address")
                .arg(&socket),
        );
        await_daemon("containerd", &mut containerd, || socket.exists());
        let mut daemon = Process::spawn(
            tool("dockerd")
                .arg("--data-root")
                .arg(dir.join("data"))
                .arg("--exec-root")
                .arg(dir.join("run"))
                .arg("--pidfile")
                .arg(dir.join("docker.pid"))
                .arg("--containerd")
                .arg(&socket)
                .arg("--host")
                .arg(format!("unix://{}", dir.join("docker.sock").display()))
                .arg("--cgroup-parent")
                .arg(format!("/{}", unique_name(dir.path())))
                .arg("--config-file")
                .arg(&settings)
                .args(["--storage-driver", "overlay2", "--iptables=false", "--ip6tables=false", "--bridge=none"])
                .args(["--exec-opt", "native.cgroupdriver=cgroupfs"]),
        );
        let command = || client(dir.path());
        await_daemon("dockerd", &mut daemon, || {
            dir.join("docker.sock").exists() && run(command().arg("version")).status.success()
        });
        Self { daemon, containerd, dir }
    }

    /// Makes a command of the docker client that talks to this daemon.
    #[must_use]
    #[track_caller]
    pub fn command(&self) -> Command {
        client(self.dir.path())
    }

    /// The data root; `overlay2/` in it is the storage driver's home.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Loads an archive; returns what it is called afterwards: a name, or an id where it has no name.
    #[track_caller]
    pub fn load(&self, archive: &Path) -> String {
        let said = output(self.command().args(["load", "-q", "-i"]).arg(archive));
        let name = said.rsplit_once("Loaded image: ").or_else(|| said.rsplit_once("Loaded image ID: "));
        name.unwrap_or_else(|| panic!("docker load said {said:?}")).1.to_owned()
    }

    /// Saves images as a docker-archive.
    #[track_caller]
    pub fn save(&self, images: &[&str], to: &Path) {
        output(self.command().arg("save").arg("-o").arg(to).args(images));
    }

    /// Makes a container without starting it; returns its id.
    #[track_caller]
    pub fn create(&self, image: &str) -> String {
        output(self.command().args(["create", "--network=none", image, "/bin/sh"]))
    }

    /// Runs `script` with the image's shell in a new container called `name`, which is kept.
    #[must_use = "a program's failure is only seen by asking for it"]
    #[track_caller]
    pub fn run_in(&self, image: &str, name: &str, script: &str) -> Ran {
        run(self.command().args(["run", "--network=none", "--name", name, image, "/bin/sh", "-euc", script]))
    }

    /// Lists a container's changes as `docker diff` prints them, sorted bytewise by path.
    #[track_caller]
    #[must_use]
    pub fn changes(&self, container: &str) -> Vec<String> {
        let mut lines: Vec<_> =
            output(self.command().args(["diff", container])).lines().map(ToOwned::to_owned).collect();
        lines.sort_by(|a, b| a.as_bytes()[2..].cmp(&b.as_bytes()[2..]));
        lines
    }

    /// Asks the daemon for a field: `docker inspect -f`.
    #[track_caller]
    #[must_use]
    pub fn inspect(&self, object: &str, format: &str) -> String {
        output(self.command().args(["inspect", "-f", format, object]))
    }

    /// What the daemon has logged, for a test's message.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.words()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let containers = run(self.command().args(["ps", "-q"])).text();
        if !containers.is_empty() {
            let _ = run(self.command().arg("kill").args(containers.lines()));
        }
        for daemon in [&mut self.daemon, &mut self.containerd] {
            daemon.terminate();
            daemon.ends_within(PATIENCE);
        }
        kill_naming(self.dir.path()); // a shim, or a daemon that would not end
        remove_cgroup(&unique_name(self.dir.path()));
    }
}

/// The client of the daemon whose directory is `dir`.
fn client(dir: &Path) -> Command {
    // The distribution's client beside the distribution's daemon: a newer one may refuse its protocol.
    let packaged = Path::new("/usr/bin/docker");
    let mut command = if packaged.exists() { Command::new(packaged) } else { tool("docker") };
    command.env("DOCKER_HOST", format!("unix://{}", dir.join("docker.sock").display()));
    command.env("DOCKER_CONFIG", dir.join("client")).env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
    command
}

#[track_caller]
fn await_daemon(name: &str, daemon: &mut Process, mut ready: impl FnMut() -> bool) {
    let ended = wait_until(PATIENCE, || !daemon.is_running() || ready());
    assert!(ended && daemon.is_running(), "{name} does not start:\n{}", daemon.words());
}
