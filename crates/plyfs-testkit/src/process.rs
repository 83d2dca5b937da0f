//! Running other programs: output captured, time bounded, failures readable, nothing left running.
//!
//! Output goes to unlinked files rather than pipes, so a daemon that inherits the descriptor cannot hold a test up.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long [`run`] waits before it kills the program: longer than any healthy step on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// What a program left behind: how it ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// The program and its arguments, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// Standard error, whole.
    pub stderr: Vec<u8>,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// Claims that the program succeeded; the panic shows the command and both outputs.
    #[track_caller]
    pub fn success(self) -> Self {
        assert!(self.status.success(), "{}", self.story("should succeed"));
        self
    }

    /// Claims that the program ended with an exit code other than zero, neither by success nor by a signal.
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "{}", self.story("should fail"));
        self
    }

    /// Claims that the program ended with exactly this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}", self.story("should end otherwise"));
        self
    }

    /// Standard output as text, without the white space at its end.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without the white space at its end.
    #[must_use]
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }

    fn story(&self, claim: &str) -> String {
        let Self { command, status, .. } = self;
        format!("{command}\n{claim}: {status}\n--- stdout\n{}\n--- stderr\n{}\n", self.text(), self.words())
    }
}

/// Runs a program to its end, at most [`LIMIT`], with nothing on standard input.
#[must_use = "a program's failure is only seen by asking for it"]
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    Process::spawn(command).wait_within(LIMIT)
}

/// Runs a program to its end, at most [`LIMIT`], reading `input` (a file, or a pipe's end).
#[must_use = "a program's failure is only seen by asking for it"]
#[track_caller]
pub fn run_reading(command: &mut Command, input: impl Into<Stdio>) -> Ran {
    Process::spawn_reading(command, input).wait_within(LIMIT)
}

/// Runs a program that must succeed and returns its standard output as text.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    run(command).success().text()
}

/// A running program in a process group of its own; dropping it kills the group.
#[derive(Debug)]
#[must_use = "dropping a process kills it"]
pub struct Process {
    command: String,
    child: Child,
    stdout: File,
    stderr: File,
    started: Instant,
    ended: bool,
}

impl Process {
    /// Starts a program with nothing on standard input.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_reading(command, Stdio::null())
    }

    /// Starts a program that reads `input`.
    #[track_caller]
    pub fn spawn_reading(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let story = format!("{command:?}");
        let file = || tempfile::tempfile().expect("the temp dir takes a file");
        let share = |file: &File| file.try_clone().expect("a descriptor can be duplicated");
        let (stdout, stderr) = (file(), file());
        command.stdin(input).stdout(share(&stdout)).stderr(share(&stderr)).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("{story}: {e}"));
        Self { command: story, child, stdout, stderr, started: Instant::now(), ended: false }
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the program has written to standard error until now.
    #[must_use]
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&read_whole(&self.stderr)).trim_end().to_owned()
    }

    /// Whether the program still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.ended |= self.child.try_wait().expect("the child is ours").is_some();
        !self.ended
    }

    /// Waits for the end; a program that takes longer than `limit` is killed with its group, and the test panics.
    #[must_use = "a program's failure is only seen by asking for it"]
    #[track_caller]
    pub fn wait_within(mut self, limit: Duration) -> Ran {
        if !self.ends_within(limit) {
            self.kill_group();
            let words = self.words();
            panic!("{}\nstill running after {limit:?}\n--- stderr\n{words}\n", self.command);
        }
        self.finish()
    }

    /// Kills the program with SIGKILL, which it cannot catch, as a power cut would end it; returns how it ended.
    ///
    /// A program that had ended before is no error: the kill came too late, as [`Ran::status`] tells.
    pub fn kill(mut self) -> Ran {
        let _ = self.child.kill();
        self.finish()
    }

    /// Asks the program to end with SIGTERM.
    pub fn terminate(&self) {
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Interrupts the program with SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        let _ = kill_process(self.pid(), Signal::INT);
    }

    /// Waits until the program ends or `limit` has passed; `true` if it ended.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        wait_until(limit, || !self.is_running())
    }

    fn finish(mut self) -> Ran {
        let status = self.child.wait().expect("the child is ours");
        self.ended = true;
        Ran {
            command: std::mem::take(&mut self.command),
            status,
            stdout: read_whole(&self.stdout),
            stderr: read_whole(&self.stderr),
            took: self.started.elapsed(),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn kill_group(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            self.kill_group();
        }
    }
}

/// Asks `done` again and again, ever more patiently, until it is true or `limit` has passed.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if done() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Kills every process whose command line names `dir`; for a directory whose name is unique to one test.
///
/// A daemon's helpers (shims, monitors) leave their group and outlive it. Their arguments still name the directory
/// their daemon was started with.
pub fn kill_naming(dir: &Path) {
    let needle = dir.as_os_str().as_encoded_bytes();
    // A short needle would hit strangers.
    assert!(needle.len() > 8, "{} is not unique enough to kill by", dir.display());
    let own = rustix::process::getpid();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != own && line.windows(needle.len()).any(|part| part == needle) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Whether the program was ended by SIGKILL.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

/// Reads from the start by position: the offset is shared with a program that may still be writing.
fn read_whole(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().expect("an open file").len()).expect("fits memory")];
    file.read_exact_at(&mut bytes, 0).expect("nobody truncates it");
    bytes
}
