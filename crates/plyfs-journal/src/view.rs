//! Reading through the layers of a journal: changes in memory over runs, newest first.

use std::sync::Arc;

use crate::Result;
use crate::batch::{Table, range};
use crate::run::{Cursor, Run};

/// A key and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// A key and what became of it.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The state of a journal at one moment.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// What the log holds.
    pub(crate) table: Arc<Table>,
    /// The runs, oldest first.
    pub(crate) runs: Vec<Arc<Run>>,
}

impl View {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(value) = self.table.get(key) {
            return Ok(value.clone());
        }
        for run in self.runs.iter().rev() {
            if let Some(value) = run.get(key)? {
                return Ok(value.map(<[u8]>::to_vec));
            }
        }
        Ok(None)
    }

    /// All keys that begin with `prefix`, ascending; `over` overrules everything.
    pub(crate) fn scan(&self, prefix: &[u8], over: Option<&Table>) -> Scan {
        let tables = [over, Some(&*self.table)].into_iter().flatten();
        let mut sources: Vec<_> = tables.map(|table| Source::table(table, prefix)).collect();
        let mut failed = None;
        for run in self.runs.iter().rev() {
            match run.seek(prefix) {
                Ok(cursor) => sources.push(Source::Run(cursor)),
                Err(error) => failed = Some(error),
            }
        }
        Scan { prefix: prefix.to_vec(), merge: Merge { sources }, failed }
    }
}

/// One sorted input of a merge.
#[derive(Debug)]
enum Source {
    Table(std::iter::Peekable<std::vec::IntoIter<Change>>),
    Run(Cursor),
}

impl Source {
    fn table(table: &Table, prefix: &[u8]) -> Self {
        let entries: Vec<_> = range(table, prefix).map(|(key, value)| (key.clone(), value.clone())).collect();
        Self::Table(entries.into_iter().peekable())
    }

    fn key(&mut self) -> Result<Option<&[u8]>> {
        match self {
            Self::Table(entries) => Ok(entries.peek().map(|(key, _)| key.as_slice())),
            Self::Run(cursor) => Ok(cursor.peek()?.map(|(key, _)| key)),
        }
    }

    fn take(&mut self) -> Result<Option<Change>> {
        match self {
            Self::Table(entries) => Ok(entries.next()),
            Self::Run(cursor) => {
                let entry = cursor.peek()?.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)));
                if entry.is_some() {
                    cursor.advance()?;
                }
                Ok(entry)
            }
        }
    }
}

/// Sorted inputs as one; of equal keys the first input's entry counts.
#[derive(Debug)]
pub(crate) struct Merge {
    sources: Vec<Source>,
}

impl Merge {
    /// A table over runs, of which the later ones in the list overrule the earlier.
    pub(crate) fn of_table(table: &Table, runs: &[Arc<Run>]) -> Result<Self> {
        let cursors = runs.iter().rev().map(|run| Ok(Source::Run(run.seek(&[])?)));
        let sources = std::iter::once(Ok(Source::table(table, &[]))).chain(cursors);
        Ok(Self { sources: sources.collect::<Result<_>>()? })
    }

    pub(crate) fn next_entry(&mut self) -> Result<Option<Change>> {
        let mut lowest: Option<(usize, Vec<u8>)> = None;
        for (index, source) in self.sources.iter_mut().enumerate() {
            if let Some(key) = source.key()?
                && lowest.as_ref().is_none_or(|(_, lowest)| key < lowest.as_slice())
            {
                lowest = Some((index, key.to_vec()));
            }
        }
        let Some((winner, key)) = lowest else { return Ok(None) };
        let entry = self.sources[winner].take()?;
        for source in &mut self.sources {
            while source.key()? == Some(key.as_slice()) {
                source.take()?;
            }
        }
        Ok(entry)
    }
}

/// The items whose keys begin with a prefix, ascending by key.
#[derive(Debug)]
pub struct Scan {
    prefix: Vec<u8>,
    merge: Merge,
    failed: Option<crate::Error>,
}

impl Iterator for Scan {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            self.merge.sources.clear();
            return Some(Err(error));
        }
        loop {
            match self.merge.next_entry() {
                Err(error) => {
                    self.merge.sources.clear();
                    return Some(Err(error));
                }
                Ok(None) => return None,
                Ok(Some((key, _))) if !key.starts_with(&self.prefix) => return None,
                Ok(Some((_, None))) => {}
                Ok(Some((key, Some(value)))) => return Some(Ok((key, value))),
            }
        }
    }
}
