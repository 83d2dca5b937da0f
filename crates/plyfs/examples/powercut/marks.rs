//! Lines in the disk's record: what is about to be done, and that it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::Result;

/// Keys and what they shall be afterwards; `-` for not there, `*` for not known beforehand.
pub(crate) type Effects = BTreeMap<String, String>;

/// What a cut in the middle of an operation may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// All its keys or none.
    Whole,
    /// Anything, until it has returned.
    Loose,
}

/// One worker's way to the record.
#[derive(Debug)]
pub(crate) struct Marks {
    file: File,
    who: String,
    next: u64,
}

impl Marks {
    pub(crate) fn open(path: &Path, who: String) -> Result<Self> {
        let file = File::options().append(true).open(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self { file, who, next: 0 })
    }

    /// Says what will be done; the number that `done` or `fail` refers to.
    pub(crate) fn begin(&mut self, promise: Promise, effects: &Effects) -> Result<u64> {
        self.next += 1;
        let word = if promise == Promise::Whole { "whole" } else { "loose" };
        self.line(&format!("begin {} {} {word}{}", self.who, self.next, spell(effects)))?;
        Ok(self.next)
    }

    pub(crate) fn done(&mut self, number: u64, known: &Effects) -> Result<()> {
        self.line(&format!("done {} {number}{}", self.who, spell(known)))
    }

    pub(crate) fn fail(&mut self, number: u64) -> Result<()> {
        self.line(&format!("fail {} {number}", self.who))
    }

    /// Says that everything was looked at: from now on nothing may be decided otherwise.
    pub(crate) fn observed(&mut self) -> Result<()> {
        self.line("observed")
    }

    fn line(&mut self, line: &str) -> Result<()> {
        // One write, one request to the disk: that is what makes its place exact.
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(|e| format!("mark: {e}").into())
    }
}

fn spell(effects: &Effects) -> String {
    effects.iter().map(|(key, value)| format!(" {key}={value}")).collect()
}
