//! How long a load takes to end once its caller asks it to, and what is left then; run by `cargo xtask bench images`.
//!
//! `cancel DIR ARCHIVE PERCENT` makes a store in the directory DIR, which has none, loads ARCHIVE into it, and asks to
//! stop once that part of it was unpacked, or with 100 when all is to be made durable. It prints `returned<TAB>seconds`
//! from the asking to the return, and how many names are left then in `staging/` and in `trash/`.
#![allow(clippy::print_stdout, reason = "a bench's output is its samples")]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use plyfs_image::{ErrorKind, Source, load};
use plyfs_store::{Progress, Stage, Step, Store};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [dir, archive, percent] = arguments.as_slice() else { return Err("usage: cancel DIR ARCHIVE PERCENT".into()) };
    let (store, percent) = (Store::ensure(dir)?, percent.parse::<u64>()?);
    let enough = fs::metadata(archive)?.len() / 100 * percent;
    let (unpacked, asked) = (Mutex::new(HashMap::new()), OnceLock::new());
    let progress = |step: &Step<'_>| {
        let is_enough = match step.stage {
            Stage::Publish => percent == 100,
            Stage::Unpack => {
                let mut unpacked = unpacked.lock().unwrap_or_else(PoisonError::into_inner);
                unpacked.insert(step.item.to_owned(), step.done);
                percent < 100 && unpacked.values().sum::<u64>() >= enough
            }
            _ => false,
        };
        if !is_enough {
            return ControlFlow::Continue(());
        }
        asked.get_or_init(Instant::now);
        ControlFlow::Break(())
    };
    match load(&store, Source::path(archive)?, Progress::new(&progress)) {
        Err(error) if error.kind() == ErrorKind::Cancelled => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("the load was not stopped".into()),
    }
    let returned = asked.get().ok_or("the load was cancelled by nobody")?.elapsed();
    println!("returned\t{:.9}", returned.as_secs_f64());
    for name in ["staging", "trash"] {
        println!("left in {name}\t{}", fs::read_dir(Path::new(dir).join(name))?.count());
    }
    Ok(())
}
