//! One verb of the crate as a program, to be timed from outside beside other people's; run by `cargo xtask bench diff`.
//!
//! What was asked for goes nowhere: archives are digested and counted. Standard output has lines `name<TAB>value`: the
//! seconds the verb took, the most memory that was resident, and what the verb counts.
#![allow(clippy::print_stdout, reason = "a bench's output is its samples")]

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use plyfs_diff::{
    ApplyOptions, Chain, CompareOptions, Dialect, ExportOptions, Style, apply, changes, compare, export, export_between,
};

/// What a verb returns: any error ends the bench with its text.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    let (name, value) = run(&arguments)?;
    println!("seconds\t{:.9}", started.elapsed().as_secs_f64());
    println!("{name}\t{value}");
    println!("resident\t{}", resident()?);
    Ok(())
}

fn run(arguments: &[&str]) -> Result<(&'static str, u64)> {
    match arguments {
        ["export", upper, lowers @ ..] => {
            let exported = export(open(upper)?, &chain(lowers)?, io::sink(), &ExportOptions::new())?;
            Ok(("archive", exported.size))
        }
        ["changes", upper, lowers @ ..] => {
            let changes = changes(open(upper)?, &chain(lowers)?)?;
            Ok(("changes", changes.collect::<Result<Vec<_>, _>>()?.len() as u64))
        }
        ["apply", archive, layer, lowers @ ..] => {
            let mut record = zstd::Encoder::new(Counted(0), 1)?;
            let (archive, layer) = (File::open(archive)?, open(layer)?);
            apply(archive, layer, &chain(lowers)?, &ApplyOptions::new(), Some(&mut record))?;
            Ok(("record", record.finish()?.0))
        }
        ["compare", lower, upper] => {
            let mut count = 0;
            compare(&chain(&[lower])?, &chain(&[upper])?, &CompareOptions::new(), |_| {
                count += 1;
                Ok(())
            })?;
            Ok(("changes", count))
        }
        ["between", lower, upper] => {
            let options = ExportOptions::new().style(Style::Containerd);
            let exported = export_between(&chain(&[lower])?, &chain(&[upper])?, io::sink(), &options)?;
            Ok(("archive", exported.size))
        }
        _ => Err(
            "usage: diff export|changes UPPER LOWER... | apply ARCHIVE LAYER LOWER... | compare|between LOWER UPPER"
                .into(),
        ),
    }
}

fn open(path: &str) -> Result<OwnedFd> {
    Ok(plyfs_sys::fs::open_dir(Path::new(path))?)
}

fn chain(lowers: &[&str]) -> Result<Chain> {
    Ok(Chain::new(lowers.iter().map(|path| open(path)).collect::<Result<_>>()?, Dialect::Trusted))
}

/// The most memory that was resident, in bytes.
fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
