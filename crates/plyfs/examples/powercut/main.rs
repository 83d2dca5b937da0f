//! What `cargo xtask powercut` runs on a disk that it cuts: a workload, and a look at what a cut left.
//!
//! ```text
//! powercut prepare ARCHIVES [docker]                         writes the archives that are loaded, all in docker's format
//! powercut list ARCHIVES                                     names each image and its archive
//! powercut tree DIRECTORY                                    a digest of everything in a mounted image
//! powercut work STORE ARCHIVES MARKS WORKERS STEPS SEED filesystem|files|none
//!                                                            the workload; WORKERS is `0,1,2`, one thread each
//! powercut look STORE ARCHIVES MARKS                         says what is there, then uses it
//! ```
//!
//! MARKS is a file of the recording disk: each line written to it gets a place in the record, before `write(2)` returns.
//! The lines say what an operation is about to make true, and that it returned:
//!
//! ```text
//! begin WHO SEQ whole|loose KEY=VALUE...     `*` is a value not known beforehand, `-` means: not there
//! done WHO SEQ KEY=VALUE...                  the values that were not known
//! fail WHO SEQ                               it was refused: nothing has changed
//! ```
//!
//! A `whole` operation is there with all its keys or with none; of a `loose` one nothing is promised before it returned.

#![allow(clippy::print_stderr, clippy::print_stdout)]

mod archives;
mod containers;
mod look;
mod marks;
mod work;

use std::env;
use std::path::Path;
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["prepare", archives] => {
            archives::write(Path::new(archives), &archives::FORMATS);
            Ok(())
        }
        ["prepare", archives, "docker"] => {
            archives::write(Path::new(archives), &archives::FORMATS[..1]);
            Ok(())
        }
        ["list", archives] => {
            archives::list(Path::new(archives));
            Ok(())
        }
        ["tree", directory] => {
            println!("{}", look::digest(Path::new(directory)));
            Ok(())
        }
        ["work", store, archives, marks, workers, steps, seed, durability] => {
            work::run([store, archives, marks], workers, [steps, seed], durability)
        }
        ["look", store, archives, marks] => look::run([store, archives, marks].map(Path::new)),
        _ => Err("usage: powercut prepare|work|look STORE ARCHIVES MARKS ...".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("powercut: {}", plyfs::report(&*error));
            ExitCode::FAILURE
        }
    }
}
