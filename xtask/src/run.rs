//! Starting other people's programs: with a clean environment, with their output kept, within a time limit.
//!
//! A program that fails becomes one error naming its command line; nothing here decides what a failure means.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long the output of an ended program may still be held open by what it left running.
const LINGER: Duration = Duration::from_secs(5);

/// How often a program within a time limit is looked at.
const POLL: Duration = Duration::from_millis(50);

/// A command without what `cargo run` added to the environment of this process.
///
/// The package variables would make build scripts of other packages look changed, and the library path would hide
/// that an example does not find libplyfs by itself.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "LD_LIBRARY_PATH" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The cargo that started this process.
pub(crate) fn cargo() -> Command {
    let mut cargo = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::tree::root());
    cargo
}

/// Runs to the end with the output going where ours goes.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command.status().with_context(|| line.clone())?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs to the end and returns what went to standard output; the error carries standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let out = command.output().with_context(|| line.clone())?;
    if !out.status.success() {
        bail!("{line}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("{line}: output is not UTF-8"))
}

/// Whether `PATH` holds a program of this name.
pub(crate) fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// The first file of this name on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs to the end, copying every line of both outputs to ours, to `log` and to `each`.
///
/// Past `limit` the program and everything below it is killed, which is an error.
pub(crate) fn stream(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    each: impl FnMut(&str) + Send + 'static,
) -> Result<ExitStatus> {
    let line = describe(command);
    let mut log = open_log(log)?;
    writeln!(log, "$ {line}").context("write the log")?;
    println!("$ {line}");
    let (reader, writer) = io::pipe().context("pipe")?;
    command.stdout(writer.try_clone().context("pipe")?).stderr(writer);
    let child = command.spawn().with_context(|| line.clone())?;
    // The command keeps the write ends, and the reader sees no end while one is open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        copy_lines(reader, log, each);
        let _ = done.send(());
    });
    let status = wait(child, limit).with_context(|| line)?;
    if finished.recv_timeout(LINGER).is_err() {
        println!("note: a program that this command started still holds its output");
    }
    Ok(status)
}

fn open_log(log: &Path) -> Result<File> {
    let dir = log.parent().context("a log needs a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    File::options().create(true).append(true).open(log).with_context(|| format!("open {}", log.display()))
}

fn copy_lines(reader: PipeReader, mut log: File, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes), Ok(1..)) {
        let line = String::from_utf8_lossy(&bytes);
        // The macro and not the stream itself: within a test of ours libtest keeps it to itself.
        print!("{line}");
        let _ = log.write_all(&bytes);
        each(line.trim_end());
        bytes.clear();
    }
}

fn wait(mut child: Child, limit: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("wait")? {
            return Ok(status);
        }
        if started.elapsed() > limit {
            kill_with_descendants(child.id());
            child.wait().context("wait")?;
            bail!("killed after {} s", limit.as_secs());
        }
        thread::sleep(POLL);
    }
}

/// Kills a process and all it started; best effort, since they may end or start meanwhile.
fn kill_with_descendants(root: u32) {
    let parents = parents();
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(&parent) = doomed.get(next) {
        doomed.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    for id in doomed {
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, parent_in(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// The parent in the text of proc_pid_stat(5), whose second field, the name, may hold blanks and parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The command line as a person would type it.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| shorten(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A path of the work tree is shown from its root.
fn shorten(word: &str) -> String {
    word.replace(&format!("{}/", crate::tree::root().display()), "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_failing_program_is_named_with_what_it_said() {
        let error = output(command("sh").args(["-c", "echo broken >&2; exit 3"])).expect_err("it exits with 3");
        assert_eq!(error.to_string(), "sh -c echo broken >&2; exit 3: exit status: 3: broken");
    }

    #[test]
    fn both_outputs_are_kept_in_order_and_seen_line_by_line() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let log = dir.path().join("logs/it");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&seen);
        let each = move |line: &str| lines.lock().expect("nobody panics with it").push(line.to_owned());
        let mut it = command("sh");
        it.args(["-c", "echo one; echo two >&2; printf three; exit 4"]);
        let status = stream(&mut it, &log, Duration::from_secs(20), each).expect("sh starts");
        assert_eq!(status.code(), Some(4));
        assert_eq!(*seen.lock().expect("nobody panics with it"), ["one", "two", "three"]);
        let kept = fs::read_to_string(log).expect("the log is there");
        assert!(kept.ends_with("one\ntwo\nthree"), "{kept}");
    }

    #[test]
    fn a_program_past_its_limit_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let mut it = command("sh");
        it.args(["-c", "sleep 600 & sleep 600"]);
        let started = Instant::now();
        let error = stream(&mut it, &dir.path().join("log"), Duration::from_millis(200), |_| ())
            .expect_err("it runs past its limit");
        assert!(format!("{error:#}").ends_with("killed after 0 s"), "{error:#}");
        assert!(started.elapsed() < LINGER, "the sleeping grandchild held the output: it was not killed");
    }

    #[test]
    fn a_process_name_with_parentheses_does_not_hide_its_parent() {
        assert_eq!(parent_in("77 (a) b (c) S 12 77 77 0"), Some(12));
        assert_eq!(parent_in("77 cut"), None);
    }
}
