//! The `plyfs` command: parses, calls the facade, prints.
//!
//! It decides nothing about layers. Data goes to standard output through [`output`], words to standard error through
//! [`words`], and the exit code is that of the error's kind.

mod cli;
mod commands;
mod exit;
mod filter;
mod glob;
mod human;
mod interrupt;
mod outfile;
mod output;
mod progress;
mod session;
mod words;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use exit::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use session::Session;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help is printed here too; a reader that went away is a quiet end.
            let _ = error.print();
            let is_fsck = std::env::args_os().any(|argument| argument == "fsck");
            return ExitCode::from(match u8::try_from(error.exit_code()).unwrap_or(exit::USAGE) {
                exit::USAGE if is_fsck => commands::fsck::USAGE,
                code => code,
            });
        }
    };
    allow_open_files();
    let is_fsck = matches!(cli.command, cli::Command::Fsck(_));
    let code = match Session::new(cli.common) {
        Ok(mut session) => {
            // Told before what is left is deleted, which can take longer than what failed.
            let code = told(run(&mut session, cli.command), is_fsck);
            if let Err(failure) = session.reap() {
                words::warning(&format!("what was removed still takes space: {failure}"));
            }
            code
        }
        Err(failure) => told(Err(failure), is_fsck),
    };
    // A check has a code of its own for it.
    if !is_fsck {
        interrupt::end_if_asked();
    }
    ExitCode::from(code)
}

/// Raises the soft limit of open files to the hard one: a look into an image takes a descriptor for each of its layers.
///
/// The soft one is low for the sake of programs that use select(2), which this one does not, nor any it starts.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Says what went wrong; the exit code.
fn told(done: Result<u8>, is_fsck: bool) -> u8 {
    let failure = match done {
        Ok(code) => return code,
        Err(failure) => failure,
    };
    words::failure(&failure);
    match failure.code() {
        0 => 0,
        _ if is_fsck => commands::fsck::code_of(&failure),
        code => code,
    }
}

/// Runs the command and writes out what it printed; the exit code of what went wrong on the way, or 0.
fn run(session: &mut Session, command: cli::Command) -> Result<u8> {
    let done = commands::run(session, command);
    let flushed = session.out.flush();
    // A failure to write out what the library had to say is only news when nothing else is.
    match done {
        Err(failure) if session.out.reader_is_gone() && !failure.is_quiet() => Err(session.out.reader_gone()),
        Err(failure) => Err(failure),
        Ok(code) => flushed.map(|()| code),
    }
}
