//! A temporary directory with a store in it, the binary to run on it, and outputs made comparable.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use plyfs_testkit::oci::{LayerTar, Plain};
use plyfs_testkit::process::{Ran, run};
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::tree::{Field, Options, Tree, assert_same_trees};

/// The binary under test.
pub(crate) const PLYFS: &str = env!("CARGO_BIN_EXE_plyfs");

/// A directory of one test; its mounts and files go when it is dropped, after a panic too.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) temp: TempDir,
}

impl Bench {
    /// A bench without a store.
    pub(crate) fn new() -> Self {
        Self { temp: TempDir::new() }
    }

    /// A bench whose store holds [`two_layers`] as `localhost/app:1`.
    pub(crate) fn with_image() -> Self {
        let bench = Self::new();
        two_layers().write_docker_archive(&bench.temp.join("app.tar"));
        assert_eq!(bench.ok(["load", "app.tar"]), "localhost/app:1");
        bench
    }

    /// The store's directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.temp.join("store")
    }

    /// The command on this bench's store, from the bench's directory, with nothing of the caller's environment.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = clean(PLYFS);
        command.current_dir(self.temp.path()).arg("--root").arg(self.store()).args(args);
        command
    }

    /// The same command with every signal as a terminal has it: where tests run behind a shell's `&`, Ctrl-C is ignored.
    pub(crate) fn foreground<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = clean("env");
        command.current_dir(self.temp.path()).args(["--default-signal", PLYFS, "--root"]).arg(self.store()).args(args);
        command
    }

    /// Runs the command.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        run(&mut self.command(args))
    }

    /// Runs a command that must succeed without a word, and returns what it printed.
    #[track_caller]
    pub(crate) fn ok<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        let ran = self.run(args).success();
        assert_eq!(ran.words(), "", "{}", ran.command);
        ran.text()
    }

    /// Runs a command that must fail: with this code, nothing printed, one line of words and its hints, no trace.
    #[track_caller]
    pub(crate) fn refused<A: AsRef<OsStr>>(&self, code: i32, args: impl IntoIterator<Item = A>) -> String {
        let before = self.tree();
        let ran = self.run(args).code(code);
        assert_eq!(ran.text(), "", "{}", ran.command);
        let words = ran.words();
        let (said, hints): (Vec<&str>, Vec<&str>) = words.lines().partition(|line| line.starts_with("plyfs: "));
        assert_eq!(said.len(), 1, "one line says it: {words}");
        assert!(hints.iter().all(|line| line.starts_with("hint: ")), "{words}");
        // A directory's time tells that something was in it for a while; that is no trace of it.
        assert_same_trees(&before, &self.tree(), &Options::new().ignoring(Field::Mtime));
        self.plain(&words)
    }

    /// Everything in the bench's directory: the store, and what a command may have left beside it.
    fn tree(&self) -> Tree {
        Tree::of(self.temp.path())
    }

    /// The text with what differs from run to run taken out.
    pub(crate) fn plain(&self, text: &str) -> String {
        redacted(&text.replace(&self.temp.path().display().to_string(), "[TEMP]"))
    }
}

/// A command with an environment in which nothing points to a store.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in ["PLYFS_ROOT", "SOURCE_DATE_EPOCH", "XDG_DATA_HOME", "COLUMNS", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command
}

/// A base layer with a file to change and one to remove, and a layer above it.
pub(crate) fn two_layers() -> Plain {
    let base = LayerTar::new().dir("etc").file("etc/motd", "hello\n").file("etc/gone", "x").dir("bin").finish();
    let app = LayerTar::new().dir("app").file("app/config", "port=80\n").finish();
    Plain::new("localhost/app:1", vec![base, app])
}

/// Takes ids, times and sizes that depend on the file system out of a text.
fn redacted(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).len();
        if word == 0 {
            let next = rest.chars().next().expect("not empty");
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        let (first, after) = rest.split_at(word);
        out.push_str(match first {
            _ if is_hex(first) && first.len() == 64 => "[ID]",
            _ if is_hex(first) && first.len() == 12 => "[SHORT-ID]",
            _ if first.len() == 26 && first.bytes().all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7')) => "[LINK]",
            _ => first,
        });
        rest = after;
    }
    out
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// The path of a file below a directory that must be there.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))
}
