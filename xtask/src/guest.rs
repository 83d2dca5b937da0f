//! `cargo xtask guest`: the tests of mounts and of the store under Debian's own kernel, in a virtual machine.
//!
//! What a kernel lacks can be refused on a newer one; what an older one does in its own way can not. And the machines that tests
//! run on seldom have a network file system to mount: the guest serves itself one. It has the test programs as they were built
//! here, nothing of them is compiled anew.

mod kernel;
mod root;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::kernel::Kernel;
use self::root::Root;
use crate::run::{self, check, command, stream};
use crate::suites::{self, WORKSPACE};
use crate::tally::{Tally, libtest};
use crate::{setup, tree};

/// Programs on this side, and the one that is a whole user space on the other.
const PACKAGES: [&str; 5] = ["binutils", "busybox-static", "e2fsprogs", "kmod", "qemu-system-x86"];

/// The crates whose integration tests the guest runs, and which of them where not all are asked for: those that mount.
const TESTED: [(&str, &[&str]); 2] =
    [("plyfs-mount", &[]), ("plyfs-store", &["apart::", "create::", "life::", "mount_cuts::", "mounts::"])];

/// What a guest has for disk and memory.
const DISK: u64 = 4 << 30;
const MEMORY: &str = "1536M";

/// Longest life of a guest; without the help of the processor it is some ten times slower than this machine.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What the guest says last when it got through.
const END: &str = "guest: done";

/// Options of `cargo xtask guest`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run those tests alone that mount
    #[arg(long)]
    sample: bool,
}

/// Runs the tests and says how many passed.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut tally = Tally::default();
    tests(&mut tally, args.sample, &tree::target().join("xtask/logs/guest"))?;
    println!("{tally}");
    ensure!(tally.failed == 0 && tally.passed > 0, "{tally}");
    Ok(())
}

/// The part that `cargo xtask test` runs.
pub(crate) fn suite(tally: &mut Tally, log: &Path) -> Result<()> {
    tests(tally, true, log)
}

fn tests(tally: &mut Tally, is_sample: bool, log: &Path) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        println!("skipped: the guest is an x86-64 machine");
        *tally += Tally { skipped: 1, ..Tally::default() };
        return Ok(());
    }
    setup::also(&PACKAGES)?;
    suites::build_command()?;
    let dir = tree::target().join("xtask/guest");
    let kernel = Kernel::ensure(&dir)?;
    let guest = Guest::make(&dir, &kernel, is_sample)?;
    guest.run(tally, log)
}

/// A virtual machine, ready to be started.
struct Guest<'a> {
    kernel: &'a Kernel,
    initial: PathBuf,
    disk: PathBuf,
}

impl<'a> Guest<'a> {
    fn make(dir: &Path, kernel: &'a Kernel, is_sample: bool) -> Result<Self> {
        let root = Root::new(dir.join("root"))?;
        root.modules(kernel)?;
        root.program(&tree::target().join("debug/plyfs"), "plyfs")?;
        // Of busybox' own, the first and the last lack an option that tests use.
        for name in ["cp", "chattr", "unshare"] {
            root.program(&run::find(name).with_context(|| format!("no {name}"))?, name)?;
        }
        let (built, mut lines) = (built_tests()?, String::new());
        for (package, filters) in TESTED {
            let program = program_in(&built, package);
            root.program(&program.with_context(|| format!("cargo names no integration tests of {package}"))?, package)?;
            let filters = if is_sample { filters.join(" ") } else { String::new() };
            lines.push_str(&format!("{package} --test-threads 2 {filters}\n"));
        }
        root.file("tests", lines.as_bytes())?;
        root.file("init", include_bytes!("guest/init.sh"))?;
        let initial = root.pack(&dir.join("initramfs"))?;
        Ok(Self { kernel, initial, disk: disk(dir)? })
    }

    /// Starts it, reads what it prints, and adds up what it counted.
    fn run(&self, tally: &mut Tally, log: &Path) -> Result<()> {
        let counted = Arc::new(Mutex::new((Tally::default(), false)));
        let seen = Arc::clone(&counted);
        let each = move |line: &str| {
            let (tally, is_through) = &mut *seen.lock().unwrap_or_else(PoisonError::into_inner);
            *tally += counts(line).unwrap_or_default();
            *is_through |= line == END;
        };
        let mut qemu = command("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-smp", "2", "-m", MEMORY, "-nodefaults", "-display", "none", "-no-reboot"]);
        qemu.args(["-serial", "stdio", "-append", "console=ttyS0 loglevel=1 panic=-1"]);
        qemu.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(&self.initial);
        qemu.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", self.disk.display()));
        let status = stream(&mut qemu, log, LIMIT, each);
        let (sum, is_through) = *counted.lock().unwrap_or_else(PoisonError::into_inner);
        *tally += sum;
        let status = status?;
        if !is_through {
            bail!("the guest did not get to its end: {status}");
        }
        Ok(())
    }
}

/// What one line counts: the end of a test program, or one thing that the guest looked at by itself.
fn counts(line: &str) -> Option<Tally> {
    if line.starts_with("guest: ok: ") {
        return Some(Tally::PASS);
    }
    if line.starts_with("guest: FAILED: ") {
        return Some(Tally::FAIL);
    }
    libtest(line)
}

/// What cargo says of all tests, as they were built last or are now.
fn built_tests() -> Result<String> {
    run::output(run::cargo().args(["test", "--quiet", "--no-run", "--message-format=json"]).args(WORKSPACE))
}

/// The integration tests of a package.
fn program_in(messages: &str, package: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let of_package = |message: &serde_json::Value| {
        let manifest = message["manifest_path"].as_str().map(Path::new);
        manifest.is_some_and(|path| path.parent().is_some_and(|dir| dir.ends_with(package)))
    };
    let mut tests = messages.filter(|message| of_package(message) && message["target"]["kind"][0] == "test");
    tests.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// A disk with a file system, on which there is a store with one image.
fn disk(dir: &Path) -> Result<PathBuf> {
    let (tree, disk) = (dir.join("tree"), dir.join("disk"));
    root::empty(&tree)?;
    let layer = dir.join("layer");
    root::empty(&layer)?;
    std::fs::write(layer.join("motd"), "hello").context("write a file of the image")?;
    let plyfs = tree::target().join("debug/plyfs");
    check(command(plyfs).arg("--quiet").arg("--root").arg(tree.join("store")).arg("import").arg(&layer).arg("base:1"))?;
    let named = || format!("create {}", disk.display());
    std::fs::File::create(&disk).and_then(|file| file.set_len(DISK)).with_context(named)?;
    check(command("mkfs.ext4").args(["-q", "-F", "-d"]).arg(&tree).arg(&disk))?;
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guest_counts_is_added_and_other_lines_are_not() {
        assert_eq!(counts("guest: ok: a store is read"), Some(Tally::PASS));
        assert_eq!(counts("guest: FAILED: a store is read"), Some(Tally::FAIL));
        let line = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s";
        assert_eq!(counts(line), Some(Tally { passed: 5, failed: 0, skipped: 0 }));
        assert_eq!(counts(END), None);
    }

    #[test]
    fn the_integration_tests_of_a_package_are_found_among_all() {
        let message = |package: &str, kind: &str, program: &str| {
            let target = format!(r#"{{"kind":["{kind}"],"name":"it"}}"#);
            format!(
                r#"{{"manifest_path":"/w/crates/{package}/Cargo.toml","target":{target},"executable":"{program}"}}"#
            )
        };
        let all =
            [message("a", "test", "/t/a"), message("b", "lib", "/t/unit"), message("b", "test", "/t/b")].join("\n");
        assert_eq!(program_in(&all, "b"), Some(PathBuf::from("/t/b")));
        assert_eq!(program_in(&all, "c"), None);
    }
}
