//! What a handle knows of the journal, and how it learns more.
//!
//! Readers take no lock. They believe the log as far as the `synced` file says it is durable: a look at 64 bytes
//! tells that nothing is new. Beyond that lies what is being written this moment, or what was acknowledged
//! before a power cut took the newest `synced`. Both read alike, so a reader that opens a generation and finds
//! complete commits there syncs the log itself and believes them after that; if that sync fails, or the file
//! says that one failed, it does not. Where the file is of another generation than the head, whoever gave the head its
//! name may not have synced that: so the reader syncs the directory before it says anything by that head.

use std::sync::Arc;
use std::time::Duration;

use crate::block::Block;
use crate::error::{Error, ErrorKind, Named, Result};
use crate::generation::{Files, Generation};
use crate::group::Ticket;
use crate::head::{self, Head, HeadFile};
use crate::layout::{BLOCK, BLOCK_PAYLOAD, HEAD, SYNCED_LEN, narrow, wide};
use crate::log::{self, Found, Place};
use crate::snapshot::{Snapshot, Table};
use crate::synced::{Marks, Synced};

/// How often a reader starts over when files vanish or change under it: a writer starts a generation once in
/// hundreds of commits, so twice in a row is rare already.
const ATTEMPTS: u32 = 100;

/// How often, a millisecond apart, a reader finds the same block neither blank nor whole before it says so: a
/// writer may be copying into it, which takes less than a microsecond unless the machine stops it right there.
const SAME_DAMAGE: u32 = 50;

/// Blocks a writer looks at to see whether others have appended.
const READ_ON: u64 = 8;

/// Bytes of a block's checksum, which it begins with.
const SEAL: usize = 4;

/// A state of the journal and where in the log it ends.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) generation: Arc<Generation>,
    pub(crate) snapshot: Snapshot,
    /// Blocks of the log that the state covers.
    pub(crate) end: u64,
    /// Number of the last commit in it.
    pub(crate) commits: u64,
    /// Blocks of the log known to be on the disk.
    pub(crate) durable: u64,
    /// Checksum of the block before the end, by which a writer knows it again; none where nothing was read.
    seal: Option<[u8; SEAL]>,
    /// What the `synced` file held when a reader had followed all it says.
    followed: Option<[u8; SYNCED_LEN]>,
}

/// A view read anew.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) view: View,
    /// Whether the log may be appended to: no torn tail, no failed sync, and a generation that was published.
    pub(crate) is_sound: bool,
    /// The blocks of the view beyond those known to be on the disk.
    pub(crate) in_doubt: Vec<u8>,
}

/// Who asks: it decides what is believed beyond what was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds no lock, so that the log may grow meanwhile.
    Reader,
    /// The same, and has had the `synced` file open since before the generation: what it says is no older than the log.
    Follower,
    /// Holds the lock, and waits for the sync of what it appends behind all that is whole.
    Writer,
}

impl View {
    /// The empty view of a generation whose log is empty.
    pub(crate) fn at_start(generation: Generation) -> Self {
        let commits = generation.head.commits;
        let snapshot = Snapshot { runs: Arc::clone(&generation.runs), tail: Arc::default() };
        Self { generation: Arc::new(generation), snapshot, end: 0, commits, durable: 0, seal: None, followed: None }
    }

    /// Where the next commit goes.
    pub(crate) fn place(&self) -> Place {
        Place { generation: self.generation.head.generation, end: self.end, commits: self.commits }
    }

    /// Reads the journal from its head.
    pub(crate) fn load(files: &Files, before: Option<&Generation>, role: Role) -> Result<Loaded> {
        let mut same_damage = 0;
        let mut last_damage = None;
        let mut attempts = 0;
        loop {
            match try_load(files, before, role)? {
                Attempt::Loaded(loaded) => return Ok(loaded),
                Attempt::Changed(error) if attempts == ATTEMPTS => return Err(error),
                Attempt::Changed(_) => attempts += 1,
                Attempt::Damaged(place, error) => {
                    same_damage = if last_damage == Some(place) { same_damage + 1 } else { 0 };
                    last_damage = Some(place);
                    if same_damage == SAME_DAMAGE {
                        return Err(error);
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// Brings a reader's view up to what is durable now.
    pub(crate) fn catch_up(&mut self, files: &Files) -> Result<()> {
        if let (Some(bytes), Some(file)) = (&self.followed, files.synced.get())
            && file.still_holds(bytes)
        {
            return Ok(());
        }
        let generation = &self.generation;
        match files.synced() {
            Some(synced) if synced.generation == generation.head.generation => {
                self.follow_merges(files, synced);
                self.advance(synced)?;
                let is_all = synced.blocks <= self.end && synced.merges <= self.generation.head.next_merge;
                self.followed = is_all.then(|| synced.encode());
                Ok(())
            }
            Some(synced) if synced.generation > generation.head.generation => self.reload(files),
            // A writer died between the head and this file, or the file cannot be believed: ask the head itself.
            _ if head::read(&files.disk)? == generation.head_file.bytes && self.is_blank_beyond()? => Ok(()),
            _ => self.reload(files),
        }
    }

    /// Lets go of runs that were merged, which cost space while they are open. They stay good to read, so where the
    /// others cannot be opened this moment there will be another chance.
    fn follow_merges(&mut self, files: &Files, synced: Synced) {
        let generation = &self.generation;
        if synced.merges > generation.head.next_merge
            && let Ok(head_file) = HeadFile::read(&files.disk)
            && let Ok(Some(merged)) = generation.after_merge(files, head_file)
        {
            self.replace_runs(merged);
        }
    }

    /// Goes on with the same log above the runs of another head.
    pub(crate) fn replace_runs(&mut self, merged: Generation) {
        self.snapshot.runs = Arc::clone(&merged.runs);
        self.generation = Arc::new(merged);
    }

    fn reload(&mut self, files: &Files) -> Result<()> {
        let loaded = Self::load(files, Some(&self.generation), Role::Follower)?;
        *self = loaded.view;
        Ok(())
    }

    /// Reads on to a place that was published; one that lies behind is no news.
    fn advance(&mut self, synced: Synced) -> Result<()> {
        let until = synced.blocks;
        if until <= self.end {
            return Ok(());
        }
        let log = Arc::clone(&self.generation.log);
        let name = &log.name;
        let bytes = log::read(&*log.file, self.end, Some(until)).named(name)?;
        let found = log::scan(&bytes, self.place());
        if let Some((offset, what)) = found.damage {
            return Err(Error::damage(name, offset, what));
        }
        // What was published without a sync may be gone, if power was lost since.
        if found.end != until && !synced.marks.contains(Marks::RELAXED) {
            return Err(Error::damage(name, found.end * wide(BLOCK), "ends before what was published"));
        }
        self.take(&found, found.end)
    }

    /// Adds the commits that end at or before `until`, which is where one of them ends.
    fn take(&mut self, found: &Found, until: u64) -> Result<()> {
        for payload in &found.commits {
            let end = self.end + wide(payload.len().div_ceil(BLOCK_PAYLOAD));
            if end > until {
                break;
            }
            self.apply(payload, end)?;
        }
        if self.end == until {
            return Ok(());
        }
        let name = &self.generation.log.name;
        Err(Error::damage(name, self.end * wide(BLOCK), "a commit is published in part"))
    }

    /// Adds one commit that ends at block `end`.
    fn apply(&mut self, payload: &[u8], end: u64) -> Result<()> {
        let entries = log::decode(payload, self.place())?;
        let tail = Arc::make_mut(&mut self.snapshot.tail);
        for entry in entries {
            tail.insert(entry.key.into(), entry.value.map(Into::into));
        }
        self.end = end;
        self.commits += 1;
        Ok(())
    }

    /// Shows changes that are to be written behind the view.
    pub(crate) fn show(&mut self, changes: &Table) {
        Arc::make_mut(&mut self.snapshot.tail)
            .extend(changes.iter().map(|(key, value)| (Arc::clone(key), value.clone())));
    }

    /// Notes that what it shows was written by these bytes, up to block `end`.
    pub(crate) fn wrote(&mut self, bytes: &[u8], end: u64) {
        self.end = end;
        self.commits += 1;
        self.seal = seal(bytes);
    }

    /// What has to be synced for this state to be durable.
    pub(crate) fn ticket(&self) -> Ticket {
        let generation = &self.generation;
        let number = generation.head.generation;
        Ticket { log: Arc::clone(&generation.log), generation: number, end: self.end }
    }

    /// Takes what other writers appended; `false` when a torn commit follows, or when the log does not end with what it did
    /// any more. The caller holds the lock.
    ///
    /// A write goes from front to back, so while the machine runs nothing is behind the first blank block. What was written
    /// and could not be written back may be gone from memory, and others may have written at its place: whoever sees that
    /// reads the log anew.
    pub(crate) fn read_on(&mut self) -> Result<bool> {
        let log = Arc::clone(&self.generation.log);
        let mut blocks = READ_ON;
        loop {
            let known = u64::from(self.seal.is_some());
            let bytes = log::read(&*log.file, self.end - known, Some(self.end + blocks)).named(&log.name)?;
            let (last, bytes) = bytes.split_at((narrow(known) * BLOCK).min(bytes.len()));
            if seal(last) != self.seal {
                return Ok(false);
            }
            let found = log::scan(bytes, self.place());
            if let Some((offset, what)) = found.damage {
                return Err(Error::damage(&log.name, offset, what));
            }
            let is_all = wide(bytes.len()) < blocks * wide(BLOCK) || bytes.ends_with(&[0; BLOCK]);
            let read = narrow(found.end - self.end) * BLOCK;
            self.take(&found, found.end)?;
            self.seal = seal(&bytes[..read]).or(self.seal);
            if is_all {
                return Ok(!found.is_torn);
            }
            blocks *= 4;
        }
    }

    /// Says whether the first block behind the view was never written.
    pub(crate) fn is_blank_beyond(&self) -> Result<bool> {
        let generation = &self.generation;
        let log = &generation.log;
        let bytes = log::read(&*log.file, self.end, Some(self.end + 1)).named(&log.name)?;
        Ok(Block::judge(&bytes, generation.head.generation, self.end) == Block::Blank)
    }
}

/// The checksum of the last of these blocks.
fn seal(blocks: &[u8]) -> Option<[u8; SEAL]> {
    blocks.chunks(BLOCK).next_back().and_then(|block| block.first_chunk()).copied()
}

/// What one attempt to read a journal from its head came to.
enum Attempt {
    Loaded(Loaded),
    /// Files vanished or changed between looks; the error tells what never came to rest.
    Changed(Error),
    /// Damage at a place of a generation's log that a writer may be writing to this moment.
    Damaged((u64, u64), Error),
}

fn try_load(files: &Files, before: Option<&Generation>, role: Role) -> Result<Attempt> {
    let head_file = HeadFile::read(&files.disk)?;
    let number = Head::decode(&head_file.bytes)?.generation;
    // Read before the log is: what it says must be in the log by then.
    let synced = files.synced();
    if synced.is_some_and(|synced| synced.generation > number) {
        return Ok(Attempt::Changed(Error::damage(HEAD, 40, "an older generation than the synced one")));
    }
    let generation = match Generation::open(files, head_file, before) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let missing =
                Error::new(ErrorKind::Corrupt, "journal: a file that its head names is missing").because(error);
            return Ok(Attempt::Changed(missing));
        }
        result => result?,
    };
    let synced = synced.filter(|synced| synced.generation == number);
    if synced.is_none() && role != Role::Writer {
        unless_read_only(files.disk.sync()).named(HEAD)?;
    }
    let published = synced.map_or(0, |synced| synced.blocks);
    let marks = synced.map_or(Marks::empty(), |synced| synced.marks);
    let log = Arc::clone(&generation.log);
    let name = &log.name;
    let bytes = log::read(&*log.file, 0, None).named(name)?;
    if wide(bytes.len() / BLOCK) < generation.head.log_blocks {
        return Err(Error::damage(name, wide(bytes.len()), "shorter than it was created"));
    }
    let mut view = View::at_start(generation);
    let found = log::scan(&bytes, view.place());
    if let Some((offset, what)) = found.damage {
        let error = Error::damage(name, offset, what);
        let may_change = role != Role::Writer && offset >= published * wide(BLOCK);
        return if may_change { Ok(Attempt::Damaged((number, offset), error)) } else { Err(error) };
    }
    if found.end < published && !marks.contains(Marks::RELAXED) {
        return Err(Error::damage(name, found.end * wide(BLOCK), "a block that was synced is gone"));
    }
    let is_sound = synced.is_some() && !found.is_torn && !marks.contains(Marks::FAILED);
    let until = match role {
        Role::Writer => found.end,
        Role::Follower if synced.is_some() => published.min(found.end),
        Role::Reader | Role::Follower if found.end <= published => found.end,
        Role::Reader | Role::Follower => believable(&view, &found, published, marks),
    };
    view.take(&found, until)?;
    view.seal = seal(&bytes[..narrow(until) * BLOCK]);
    if marks.difference(Marks::FAILED).is_empty() {
        view.durable = published;
    }
    let in_doubt = bytes[narrow(view.durable) * BLOCK..narrow(view.end) * BLOCK].to_vec();
    Ok(Attempt::Loaded(Loaded { view, is_sound, in_doubt }))
}

/// How far a reader may believe complete commits beyond what was published.
fn believable(view: &View, found: &Found, published: u64, marks: Marks) -> u64 {
    if marks.contains(Marks::FAILED) {
        return published;
    }
    unless_read_only(view.generation.log.sync()).map_or(published, |()| found.end)
}

/// What a sync came to; a file system that cannot be written to has nothing that is not on the disk.
fn unless_read_only(synced: plyfs_sys::Result<()>) -> plyfs_sys::Result<()> {
    match synced {
        Err(error) if matches!(error.kind(), ErrorKind::ReadOnly | ErrorKind::InvalidInput) => Ok(()),
        synced => synced,
    }
}
