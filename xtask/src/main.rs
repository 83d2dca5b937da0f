//! Chores of the plyfs workspace, run as `cargo xtask COMMAND`; one file per command.
//!
//! Nothing links this crate. It reads the tree as text and starts other people's programs, and everything it makes
//! lies in the target directory, except the header, which is committed, and what is installed elsewhere.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who started it")]

mod bench;
mod demo;
mod faults;
mod fuzz;
mod guest;
mod header;
mod install;
mod model;
mod powercut;
mod run;
mod setup;
mod soak;
mod suites;
mod tally;
mod test;
mod tidy;
mod torture;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the plyfs workspace
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need, build, and run every suite
    Test(test::Args),
    /// Show the whole job on an image of real software: load, 100 containers, changes, commit, save
    Demo(demo::Args),
    /// Measure, beside those who do the same
    Bench(bench::Args),
    /// Let processes work at random on one store and kill them at random instants
    Torture(torture::Args),
    /// Let each system call of each operation fail once, and judge the store afterwards
    Faults(faults::Args),
    /// Make random edits on real mounts and hold every reader, and other tools, to what the kernel shows
    Model(model::Args),
    /// Run what needs hours, part by part
    Soak(soak::Args),
    /// Fuzz everything that reads bytes from outside
    Fuzz(fuzz::Args),
    /// Cut the power under a working store, on real file systems, and look at what is left
    Powercut(powercut::Args),
    /// Run the tests of mounts and of the store under Debian's kernel, in a virtual machine
    Guest(guest::Args),
    /// Write include/plyfs.h from the C door
    Header(header::Args),
    /// Build libplyfs and install it with its header and plyfs.pc, for programs in C and Go
    Install(install::Args),
    /// Check what no compiler checks: first lines, stray words, dependency arrows
    Tidy,
    /// Install what the tests need and stop
    Setup,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Model(args) => model::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Powercut(args) => powercut::run(&args),
        Command::Guest(args) => guest::run(&args),
        Command::Header(args) => header::run(&args),
        Command::Install(args) => install::run(&args),
        Command::Tidy => tidy::run(),
        Command::Setup => setup::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the environment says about backtraces.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
