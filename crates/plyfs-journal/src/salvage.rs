//! All that is sound in a journal, however damaged, and what is not.
//!
//! Nothing is written and no lock is taken. Runs are applied from the oldest to the newest and each commit of the log
//! after them; a block or a commit that is broken is left out and named. Without a head the runs are found by
//! their names and ordered by the commits they say they hold; one that another covers was merged into it.

use std::sync::Arc;

use crate::disk::{Access, Disk};
use crate::entry::entries;
use crate::error::{Error, ErrorKind, Named, Result};
use crate::generation::{Files, Reading};
use crate::head::{self, Head};
use crate::layout::{BLOCK, is_log_or_run, log_name, run_number, wide};
use crate::log;
use crate::options::Options;
use crate::run::Run;
use crate::snapshot::{Snapshot, Table};
use crate::survey::Survey;
use crate::synced::Marks;

/// What could be read of a journal, and why the rest could not.
///
/// A value that is found may be older than one that is lost, or one whose deletion is lost.
#[derive(Debug)]
pub struct Salvage {
    table: Table,
    damage: Vec<Error>,
    /// How many of the damaged places cost no entry.
    harmless: usize,
}

impl Salvage {
    /// Reads all of the journal of a directory, as it is now.
    ///
    /// It is an error only where nothing can be read at all: there is no file of a journal, or it has a newer format.
    /// All entries are in memory on return. Writers may go on meanwhile; what they write may be there or not.
    pub fn read(disk: &Arc<dyn Disk>) -> Result<Self> {
        let mut salvage = Self { table: Table::new(), damage: Vec::new(), harmless: 0 };
        let files = Files::open(Arc::clone(disk), &Options::default().read_only(true).mapped(false))?;
        let head = head::read(disk).and_then(|bytes| Head::decode(&bytes));
        match head {
            Ok(head) => salvage.read_head(&files, &head),
            Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
            Err(error) => salvage.read_files(disk, error)?,
        }
        Ok(salvage)
    }

    /// Each damaged place: the file, the offset, what is wrong there and what is given up for it.
    #[must_use]
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// Says whether every entry could be read; what is damaged, if anything, then only helps to find them.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damage.len() == self.harmless
    }

    /// What is sound, to be read as any state of a journal.
    #[must_use]
    pub fn into_snapshot(self) -> Snapshot {
        let tail = self.table.into_iter().filter(|(_, value)| value.is_some()).collect();
        Snapshot { runs: Arc::default(), tail: Arc::new(tail) }
    }

    fn read_head(&mut self, files: &Files, head: &Head) {
        for reference in head.runs.iter().rev() {
            match Run::open(&*files.disk, *reference, Reading::Copied) {
                Ok(run) => self.take_run(&run),
                Err(error) => self.give_up(&error, &format!("its {} entries are given up", reference.entries)),
            }
        }
        let synced = files.synced().filter(|synced| synced.generation == head.generation);
        let must_reach = synced.filter(|synced| !synced.marks.contains(Marks::RELAXED)).map_or(0, |s| s.blocks);
        self.take_log(&files.disk, head, must_reach);
    }

    /// What is left of a journal whose head is missing or damaged.
    fn read_files(&mut self, disk: &Arc<dyn Disk>, error: Error) -> Result<()> {
        let names: Vec<_> = disk.list().named(".")?.into_iter().filter(|name| is_log_or_run(name)).collect();
        if names.is_empty() {
            return Err(error);
        }
        self.damage.push(error);
        let mut runs = Vec::new();
        for number in names.iter().filter_map(|name| run_number(name)) {
            match Run::open_unnamed(&**disk, number) {
                Ok(run) => runs.push(run),
                Err(error) => self.give_up(&error, "the whole run is given up"),
            }
        }
        // The newest first, and of those the one that covers most.
        runs.sort_by_key(|run| (std::cmp::Reverse(*run.commits().end()), *run.commits().start()));
        let mut uncovered: Vec<Run> = Vec::new();
        for run in runs {
            let is_covered = |by: &Run| by.commits().start() <= run.commits().start();
            if !uncovered.iter().any(is_covered) {
                uncovered.push(run);
            }
        }
        uncovered.into_iter().rev().for_each(|run| self.take_run(&run));
        let mut generations: Vec<u64> = names
            .iter()
            .filter(|name| run_number(name).is_none())
            .filter_map(|name| u64::from_str_radix(name.get(..16)?, 16).ok())
            .collect();
        generations.sort_unstable();
        for generation in generations {
            let head = Head { generation, ..Head::first(0) };
            self.take_log(disk, &head, 0);
        }
        Ok(())
    }

    fn take_run(&mut self, run: &Run) {
        // A broken page of the index takes many blocks with it: one place.
        let mut broken: Option<(Error, u64)> = None;
        for block in run.each_block() {
            let items = match block {
                Ok(items) => items,
                Err(error) => {
                    match &mut broken {
                        Some((first, blocks)) if first.to_string() == error.to_string() => *blocks += 1,
                        _ => self.give_up_blocks(broken.replace((error, 1))),
                    }
                    continue;
                }
            };
            for item in items.flatten() {
                self.table.insert((*item.key).into(), item.value.as_deref().map(Into::into));
            }
        }
        self.give_up_blocks(broken);
        for error in run.table_damage() {
            self.give_up(&error, "keys are found more slowly, and nothing is given up");
            self.harmless += 1;
        }
        for error in run.misleading() {
            self.give_up(&error, "nothing is given up");
            self.harmless += 1;
        }
    }

    fn give_up_blocks(&mut self, broken: Option<(Error, u64)>) {
        match broken {
            Some((error, 1)) => self.give_up(&error, "one block of entries is given up"),
            Some((error, blocks)) => self.give_up(&error, &format!("{blocks} blocks of entries are given up")),
            None => {}
        }
    }

    fn take_log(&mut self, disk: &Arc<dyn Disk>, head: &Head, must_reach: u64) {
        let name = log_name(head.generation);
        let bytes = disk.open(&name, Access::Read).and_then(|file| log::read(&*file, 0, None)).named(&name);
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return self.give_up(&error, "the whole log is given up"),
        };
        let is_named = head.log_blocks > 0;
        let survey = Survey::new(&bytes, head.generation, is_named.then_some(head.commits), must_reach);
        self.damage.extend(survey.damage.iter().map(|(offset, what)| Error::damage(&name, *offset, what)));
        if wide(bytes.len() / BLOCK) < head.log_blocks {
            self.damage.push(Error::damage(&name, wide(bytes.len()), "shorter than it was created"));
        }
        for payload in &survey.commits {
            for entry in entries(payload).flatten() {
                self.table.insert(entry.key.into(), entry.value.map(Into::into));
            }
        }
    }

    /// Notes that what an error kept from being read is left out.
    fn give_up(&mut self, error: &Error, what: &str) {
        self.damage.push(Error::new(error.kind(), format!("{}; {what}", plyfs_sys::report(error))));
    }
}
