//! What the store takes for its own work, in process; run by `cargo xtask bench store`.
//!
//! `store SCENARIO DIR ROUNDS LAYERS` works in the existing directory DIR (`containers`: on the first image of the store there,
//! of which it makes LAYERS containers at a time), on a file system nobody else uses, and prints every
//! sample as a line `name<TAB>seconds`. Whatever is measured beside plyfs takes its turn with it, round by round.
#![allow(clippy::print_stdout, reason = "a bench's output is its samples")]

mod life;
mod many;
mod raw;
mod scale;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// What a scenario returns: any error ends the bench with its text.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [scenario, dir, rounds, layers] = arguments.as_slice() else {
        return Err("usage: store life|scale|find|commit|prepare|memory|check|containers DIR ROUNDS LAYERS".into());
    };
    let (dir, rounds) = (Path::new(dir), rounds.parse()?);
    match scenario.as_str() {
        "life" => life::run(dir, rounds),
        "scale" => scale::run(dir, rounds, layers.parse()?),
        "commit" => scale::commit(dir, rounds),
        "find" => scale::find(dir, rounds),
        "prepare" => many::Many::new(&dir.join("many"), layers.parse()?).map(drop),
        "containers" => life::containers(dir, rounds, layers.parse()?),
        "memory" => scale::memory(dir),
        "check" => scale::check(dir, rounds, layers.parse()?),
        other => Err(format!("no scenario {other:?}").into()),
    }
}

/// Runs `work` and prints what it took.
fn timed<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let done = work()?;
    sample(name, started.elapsed().as_secs_f64());
    Ok(done)
}

fn sample(name: &str, value: f64) {
    println!("{name}\t{value:.9}");
}
