//! Builds the image that is measured, of real software: a base, Java, deletions, node modules, an application.
//!
//! About 1 GB in 31,000 files and five layers. What servers have today decides the details, so figures of two machines compare
//! by their ratios only.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::diff;
use crate::run::{check, command, output};
use crate::setup;

/// The release of Debian the base is of.
const SUITE: &str = "bookworm";

/// Where a machine that names no other mirror gets it.
const MIRROR: &str = "http://deb.debian.org/debian";

/// What is said to the chroots that install.
const INSTALL: &str = "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y -o DPkg::Options::=--force-unsafe-io \
                       --no-install-recommends openjdk-17-jre-headless >/dev/null 2>&1";

/// Deletions that become whiteouts, and a directory made anew that becomes opaque.
const SLIM: &str = "apt-get clean; rm -rf /var/lib/apt/lists /usr/share/doc/* /usr/share/locale; \
                    mkdir -p /var/lib/apt/lists/partial";

/// Builds the image below `dir` and leaves it as the layout `layout`.
pub(super) fn image(dir: &Path, layout: &Path) -> Result<()> {
    println!("building an image of about 1 GB, once; it takes some minutes");
    setup::also(&["buildah", "debootstrap"])?;
    let base = base(dir)?;
    let modules = diff::packages()?;
    let builder = Builder { storage: dir.join("buildah") };
    builder.forget()?;
    builder.step("scratch", "debian", |root| copy(&base, root))?;
    builder.step("debian", "java", |root| {
        // Its post-install script links manual pages into a directory that minimal systems leave out.
        let pages = root.join("usr/share/man/man1");
        fs::create_dir_all(&pages).with_context(|| format!("create {}", pages.display()))?;
        inside(root, INSTALL)
    })?;
    builder.step("java", "slim", |root| inside(root, SLIM))?;
    builder.step("slim", "web", |root| {
        let served = root.join("srv/web");
        fs::create_dir_all(&served).with_context(|| format!("create {}", served.display()))?;
        check(command("cp").arg("-a").arg(&modules).arg(served))
    })?;
    builder.step("web", "svc", |root| {
        let application = root.join("app");
        fs::create_dir_all(&application).with_context(|| format!("create {}", application.display()))?;
        let jar = root.join("usr/lib/jvm/java-17-openjdk-amd64/lib/jrt-fs.jar");
        check(command("cp").arg(jar).arg(application.join("app.jar")))?;
        fs::write(application.join("config.properties"), "a=1\n").context("write the application's file")
    })?;
    let made = dir.join("built.new");
    check(command("rm").args(["-rf", "--"]).arg(&made).arg(layout))?;
    check(builder.ask().args(["push", "--quiet", "localhost/svc"]).arg(format!("oci:{}:1", made.display())))?;
    fs::rename(&made, layout).with_context(|| format!("rename {}", made.display()))?;
    builder.forget()
}

/// A base system, installed once.
fn base(dir: &Path) -> Result<PathBuf> {
    let base = dir.join("base");
    if !base.exists() {
        let new = dir.join("base.new");
        check(command("rm").args(["-rf", "--"]).arg(&new))?;
        let log = fs::File::create(dir.join("debootstrap.log")).context("create a log")?;
        let mut install = command("debootstrap");
        install.args(["--variant=minbase", SUITE]).arg(&new).arg(mirror()).stdout(log);
        check(&mut install)?;
        fs::rename(&new, &base).with_context(|| format!("rename {}", new.display()))?;
    }
    Ok(base)
}

/// The mirror this machine installs from.
fn mirror() -> String {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let uri = sources.lines().find_map(|line| line.strip_prefix("URIs:"));
    uri.map_or(MIRROR, str::trim).to_owned()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    check(command("cp").arg("-a").arg(from.join(".")).arg(to))
}

/// Runs a line of shell in a root directory, with the devices and processes of this machine.
fn inside(root: &Path, line: &str) -> Result<()> {
    let (proc, dev) = (root.join("proc"), root.join("dev"));
    check(command("mount").args(["-t", "proc", "proc"]).arg(&proc))?;
    let bound = check(command("mount").args(["--bind", "/dev"]).arg(&dev));
    let ran = bound.and_then(|()| {
        let ran = check(command("chroot").arg(root).args(["sh", "-ec", line]));
        check(command("umount").arg(&dev)).and(ran)
    });
    check(command("umount").arg(&proc)).and(ran)
}

/// buildah with a storage of its own.
struct Builder {
    storage: PathBuf,
}

impl Builder {
    fn ask(&self) -> std::process::Command {
        let mut buildah = command("buildah");
        buildah.env("BUILDAH_ISOLATION", "chroot").env_remove("CONTAINERS_STORAGE_CONF");
        buildah.arg("--root").arg(self.storage.join("root")).arg("--runroot").arg(self.storage.join("run"));
        buildah.args(["--storage-driver", "overlay"]);
        buildah
    }

    /// One more layer: what `change` does to the mounted root.
    fn step(&self, from: &str, to: &str, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        println!("  {to}");
        let local = |name: &str| if name == "scratch" { name.to_owned() } else { format!("localhost/{name}") };
        let container = output(self.ask().args(["from", "--pull=never", &local(from)]))?;
        let container = container.trim();
        let root = output(self.ask().args(["mount", container]))?;
        change(Path::new(root.trim()))?;
        output(self.ask().args(["umount", container]))?;
        output(self.ask().args(["commit", "--quiet", "--rm", container, &local(to)])).map(drop)
    }

    /// Drops all it keeps, with what an interrupted build left mounted.
    fn forget(&self) -> Result<()> {
        if !self.storage.exists() {
            return Ok(());
        }
        output(self.ask().args(["rm", "--all"]))?;
        // Storage may itself be a mount point of its own.
        let _ = output(command("umount").arg(self.storage.join("root/overlay")));
        check(command("rm").args(["-rf", "--one-file-system", "--"]).arg(&self.storage))
    }
}
