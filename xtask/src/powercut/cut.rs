//! Where a disk is cut, and what of the writes in flight it keeps.
//!
//! A flush makes everything before it safe. Of what was written since, a disk may keep anything: each write or none of
//! it, and each sector of a write, in any order.

use std::fmt;
use std::ops::Range;

use super::image::Image;
use super::record::{Event, Record};

/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What file systems write as one.
pub(crate) const BLOCK: usize = 4096;

/// What is kept of the writes since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing.
    None,
    /// All of it.
    All,
    /// Each write or not.
    Writes,
    /// Each sector or not, of every write.
    Sectors,
    /// Each sector or not of the last write, and everything before it.
    Torn,
}

/// One power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Events of the record that happened.
    pub(crate) at: usize,
    pub(crate) kept: Kept,
    /// What is torn off is a multiple of this.
    pub(crate) unit: usize,
    pub(crate) seed: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, kept, unit, seed } = self;
        write!(f, "after event {at}, keeping {kept:?} of {unit} bytes of what was not flushed (seed {seed})")
    }
}

/// Chooses `count` cuts after the place `from`, in order of their places.
///
/// A third is cut right behind an acknowledgement, where nothing but what was flushed is kept: there a promise that was
/// made too early shows. The others are anywhere.
pub(crate) fn choose(record: &Record, from: usize, count: usize, random: &mut fastrand::Rng) -> Vec<Cut> {
    let acknowledged: Vec<_> = record
        .marks
        .iter()
        .filter(|mark| mark.line.starts_with("done ") && mark.at >= from)
        .map(|mark| mark.at)
        .collect();
    let mut cuts: Vec<_> = (0..count)
        .map(|n| {
            let seed = random.u64(..);
            if n % 3 == 0 && !acknowledged.is_empty() {
                return Cut {
                    at: acknowledged[random.usize(..acknowledged.len())],
                    kept: Kept::None,
                    unit: SECTOR,
                    seed,
                };
            }
            let kept = [Kept::None, Kept::All, Kept::Torn, Kept::Writes, Kept::Writes, Kept::Sectors, Kept::Sectors];
            let at = from + random.usize(..=record.events.len() - from);
            Cut { at, kept: kept[random.usize(..kept.len())], unit: SECTOR, seed }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.at);
    cuts
}

/// Builds the disks of cuts that come in order of their places.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    record: &'a Record,
    /// Everything before `safe`, which is behind a flush.
    base: Image,
    safe: usize,
    /// Places that are written whole or not at all.
    whole: &'a [Range<usize>],
}

impl<'a> Builder<'a> {
    pub(crate) fn new(record: &'a Record, whole: &'a [Range<usize>]) -> Self {
        Self { record, base: record.start.clone(), safe: 0, whole }
    }

    /// The disk after a cut; no earlier one may follow.
    pub(crate) fn build(&mut self, cut: &Cut) -> Image {
        let events = &self.record.events;
        let flushed = events[..cut.at].iter().rposition(|event| matches!(event, Event::Flush));
        let flushed = flushed.map_or(0, |last| last + 1).max(self.safe);
        for event in &events[self.safe..flushed] {
            apply(&mut self.base, event);
        }
        self.safe = flushed;
        let mut image = self.base.clone();
        let mut random = fastrand::Rng::with_seed(cut.seed);
        for (event, left) in events[flushed..cut.at].iter().zip((0..cut.at - flushed).rev()) {
            let Event::Write { offset, data } = event else { continue };
            match cut.kept {
                Kept::None => {}
                Kept::All => apply(&mut image, event),
                Kept::Torn if left > 0 => apply(&mut image, event),
                Kept::Writes => {
                    if random.bool() {
                        apply(&mut image, event);
                    }
                }
                Kept::Torn | Kept::Sectors => self.tear(&mut image, *offset, data, cut.unit, &mut random),
            }
        }
        image
    }

    /// Keeps each sector or not; where the file system relies on more than a sector, all of it or nothing.
    fn tear(&self, image: &mut Image, offset: usize, data: &[u8], unit: usize, random: &mut fastrand::Rng) {
        let mut at = offset;
        while at < offset + data.len() {
            let whole = self.whole.iter().find(|place| place.contains(&at));
            let end = whole.map_or((at / unit + 1) * unit, |place| place.end).min(offset + data.len());
            if random.bool() {
                image.write(at, &data[at - offset..end - offset]);
            }
            at = end;
        }
    }
}

fn apply(image: &mut Image, event: &Event) {
    if let Event::Write { offset, data } = event {
        image.write(*offset, data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, byte: u8, length: usize) -> Event {
        Event::Write { offset, data: vec![byte; length].into() }
    }

    /// Two sectors safe, then three writes in flight.
    fn record() -> Record {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let blank = dir.path().join("blank");
        std::fs::write(&blank, vec![0; 4 * BLOCK]).expect("written");
        let mut record = Record::new(Image::read_from(&blank).expect("read"));
        record.events = vec![
            write(0, 1, 1024),
            Event::Flush,
            write(512, 2, 512),
            write(BLOCK, 3, BLOCK),
            write(2 * BLOCK, 4, BLOCK),
        ];
        record
    }

    /// The first byte of each sector after a cut.
    fn sectors(at: usize, kept: Kept, unit: usize, whole: &[Range<usize>]) -> Vec<u8> {
        let record = record();
        let image = Builder::new(&record, whole).build(&Cut { at, kept, unit, seed: 3 });
        let mut bytes = Vec::new();
        image.read(0, image.size(), &mut bytes);
        bytes.chunks(SECTOR).map(|sector| sector[0]).collect()
    }

    #[test]
    fn what_was_flushed_is_kept_and_the_rest_as_the_cut_says() {
        assert_eq!(sectors(5, Kept::None, SECTOR, &[])[..10], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sectors(5, Kept::All, SECTOR, &[])[..9], [1, 2, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(sectors(1, Kept::None, SECTOR, &[])[..2], [0, 0], "nothing was flushed by then");
        assert_eq!(sectors(3, Kept::All, SECTOR, &[])[8], 0, "the second write in flight had not happened");
    }

    #[test]
    fn a_torn_write_is_the_last_one_and_is_torn_at_sectors() {
        let found = sectors(5, Kept::Torn, SECTOR, &[]);
        assert_eq!((found[1], &found[8..16]), (2, &[3; 8][..]), "all before it is whole");
        let torn = found[16..24].iter().filter(|&&byte| byte == 4).count();
        assert!((1..8).contains(&torn), "{found:?}");
    }

    #[test]
    fn a_place_that_is_written_as_one_is_not_torn() {
        let place = Vec::from_iter([2 * BLOCK].map(|start| start..start + BLOCK));
        for (unit, whole) in [(SECTOR, &place[..]), (BLOCK, &[])] {
            let found = sectors(5, Kept::Torn, unit, whole);
            assert!(found[16..24].iter().all(|byte| *byte == found[16]), "{found:?}");
        }
    }

    #[test]
    fn cuts_come_in_order_and_a_third_stand_behind_an_acknowledgement() {
        let mut record = record();
        let mark = |at, line: &str| super::super::record::Mark { at, line: line.to_owned() };
        record.marks = vec![mark(1, "begin w 1 whole"), mark(4, "done w 1")];
        let cuts = choose(&record, 1, 90, &mut fastrand::Rng::with_seed(7));
        assert!(cuts.is_sorted_by_key(|cut| cut.at) && cuts[0].at >= 1 && cuts[89].at <= 5);
        assert!(cuts.iter().filter(|cut| cut.at == 4 && cut.kept == Kept::None).count() >= 30);
    }
}
