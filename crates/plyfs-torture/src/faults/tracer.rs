//! Runs a program under ptrace and makes one of its system calls fail.
//!
//! The subject says `ready` on its standard output and reads a byte; what it calls from then until it writes to
//! standard output again is counted, over all its threads. The rest runs at full speed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::c_long;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{self, How};
use crate::turn;

/// Longer than any operation; what still runs then hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Which call fails how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The call's name.
    pub(super) call: String,
    /// Which of the calls of that name, counted from 1.
    pub(super) nth: u64,
    /// What it answers.
    pub(super) errno: Errno,
}

/// What a traced run did.
#[derive(Debug)]
pub(super) struct Traced {
    /// Calls by name, in order, those that are left alone aside.
    pub(super) calls: Vec<String>,
    /// Those left alone, with how often.
    pub(super) spared: HashMap<String, (u64, &'static str)>,
    /// Whether the fault's call was reached.
    pub(super) injected: bool,
    /// What the subject wrote after the operation.
    pub(super) stdout: String,
    /// What it said.
    pub(super) stderr: String,
    /// How it ended.
    pub(super) end: End,
}

/// How a subject ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(Signal),
}

/// Starts the command and traces its operation; with a fault, makes that call fail.
pub(super) fn run(command: &mut Command, fault: Option<&Fault>) -> Result<Traced> {
    let mut child = turn::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
    let (alive, watched) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let hangs = watched.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
        }
        hangs
    });
    let done = trace(&mut child, pid, fault);
    drop(alive);
    let hangs = watch.join().expect("it does not panic");
    if done.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    if hangs {
        bail!("it hangs: killed after {LIMIT:?}");
    }
    done
}

fn trace(child: &mut Child, pid: Pid, fault: Option<&Fault>) -> Result<Traced> {
    let mut stdin = child.stdin.take().context("a pipe")?;
    let mut stdout = BufReader::new(child.stdout.take().context("a pipe")?);
    let mut stderr = child.stderr.take().context("a pipe")?;
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    if line != "ready\n" {
        stderr.read_to_string(&mut line)?;
        bail!("it could not prepare: {line}");
    }
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).context("seize")?;
    ptrace::interrupt(pid).context("interrupt")?;
    waitpid(pid, Some(WaitPidFlag::__WALL)).context("wait")?;
    ptrace::syscall(pid, None).context("resume")?;
    stdin.write_all(b"g")?;
    let mut tracer = Tracer::new(fault);
    let end = tracer.follow(pid)?;
    let mut text = String::new();
    stdout.read_to_string(&mut text)?;
    let mut words = String::new();
    stderr.read_to_string(&mut words)?;
    let injected = tracer.state == State::Injected;
    Ok(Traced { calls: tracer.calls, spared: tracer.spared, injected, stdout: text, stderr: words, end })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Every call stops the subject.
    Counting,
    /// The fault is done, nothing more is looked at.
    Injected,
    /// The operation ended.
    Over,
}

/// What a thread is inside of.
#[derive(Clone, Copy, Debug)]
enum Inside {
    /// A call that takes its course.
    Call,
    /// A call that is to answer this.
    Doomed(Errno),
}

struct Tracer<'a> {
    fault: Option<&'a Fault>,
    calls: Vec<String>,
    spared: HashMap<String, (u64, &'static str)>,
    /// Threads that are within a call; one that is not here is between calls.
    inside: HashMap<Pid, Inside>,
    state: State,
    seen: u64,
}

impl<'a> Tracer<'a> {
    fn new(fault: Option<&'a Fault>) -> Self {
        let (calls, spared, inside) = (Vec::new(), HashMap::new(), HashMap::new());
        Self { fault, calls, spared, inside, state: State::Counting, seen: 0 }
    }

    /// Follows all threads until the process `main` has ended.
    fn follow(&mut self, main: Pid) -> Result<End> {
        // Other threads of this process trace subjects of their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(flags)).context("wait")? {
                WaitStatus::PtraceSyscall(pid) => {
                    self.at_call(pid)?;
                    self.resume(pid, None);
                }
                WaitStatus::PtraceEvent(pid, ..) => self.resume(pid, None),
                WaitStatus::Stopped(pid, signal) => self.resume(pid, Some(signal)),
                WaitStatus::Exited(pid, code) if pid == main => return Ok(End::Code(code)),
                WaitStatus::Signaled(pid, signal, _) if pid == main => return Ok(End::Signal(signal)),
                _ => {}
            }
        }
    }

    /// A thread that is killed meanwhile cannot be resumed; the wait tells of it.
    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        let _ = match self.state {
            State::Counting => ptrace::syscall(pid, signal),
            // The exit of the call that fails has to be seen.
            State::Injected if self.inside.contains_key(&pid) => ptrace::syscall(pid, signal),
            State::Injected | State::Over => ptrace::cont(pid, signal),
        };
    }

    fn at_call(&mut self, pid: Pid) -> Result<()> {
        match self.inside.remove(&pid) {
            Some(Inside::Call) => Ok(()),
            Some(Inside::Doomed(errno)) => {
                let mut registers = ptrace::getregs(pid)?;
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                Ok(ptrace::setregs(pid, registers)?)
            }
            None if self.state == State::Counting => {
                let inside = self.enter(pid)?;
                self.inside.insert(pid, inside);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn enter(&mut self, pid: Pid) -> Result<Inside> {
        let mut registers = ptrace::getregs(pid)?;
        let number: c_long = registers.orig_rax.cast_signed();
        // The byte that starts the operation, and the line that ends it.
        if number == libc::SYS_read && registers.rdi == 0 {
            return Ok(Inside::Call);
        }
        if number == libc::SYS_write && registers.rdi == 1 {
            self.state = State::Over;
            return Ok(Inside::Call);
        }
        let name = calls::name(number);
        let how = calls::how(number, registers.r8 as i32);
        if let How::Never(reason) = how {
            self.spared.entry(name).or_insert((0, reason)).0 += 1;
            return Ok(Inside::Call);
        }
        self.calls.push(name);
        let Some(fault) = self.fault.filter(|fault| Some(&fault.call) == self.calls.last()) else {
            return Ok(Inside::Call);
        };
        self.seen += 1;
        if self.seen != fault.nth {
            return Ok(Inside::Call);
        }
        self.state = State::Injected;
        if how == How::Instead {
            registers.orig_rax = u64::MAX;
            ptrace::setregs(pid, registers)?;
        }
        Ok(Inside::Doomed(fault.errno))
    }
}
