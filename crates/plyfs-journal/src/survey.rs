//! A damaged log from end to end: every sound commit, each place that is not, and what is given up for it.

use crate::block::Block;
use crate::layout::{BLOCK, narrow, wide};
use crate::log::{BROKEN, GONE, Place, complete, judge, scan};

/// What is sound of a log and what is not.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// The payloads of the sound commits, oldest first.
    pub(crate) commits: Vec<Vec<u8>>,
    /// Offset of each damaged place, and what is wrong and given up there, in order.
    pub(crate) damage: Vec<(u64, String)>,
}

impl Survey {
    /// Looks at the whole of a log from its first block on; it must reach `must_reach` blocks.
    ///
    /// `commits` is the number of the last commit before the log, where anybody knows it.
    pub(crate) fn new(bytes: &[u8], generation: u64, commits: Option<u64>, must_reach: u64) -> Self {
        let mut place = Place { generation, end: 0, commits: commits.unwrap_or(0) };
        let blocks = judge(bytes, place);
        if commits.is_none()
            && let Some(Next { end: 0, commit }) = next_sound(&blocks, place)
        {
            place.commits = commit - 1;
        }
        let mut survey = Self::default();
        loop {
            let found = scan(&bytes[narrow(place.end) * BLOCK..], place);
            (place.end, place.commits) = (found.end, place.commits + wide(found.commits.len()));
            survey.commits.extend(found.commits);
            let is_short = || (found.end < must_reach).then(|| (found.end * wide(BLOCK), GONE));
            let Some(damage) = found.damage.or_else(is_short) else { return survey };
            let next = next_sound(&blocks, place);
            survey.name(&blocks, place, damage, next);
            let Some(next) = next else { return survey };
            place = Place { end: next.end, commits: next.commit - 1, ..place };
        }
    }

    /// Names the places between `place` and the next sound commit; the first one says what is given up for all of them.
    fn name(&mut self, blocks: &[Block], place: Place, first: (u64, &str), next: Option<Next>) {
        let from = narrow(place.end);
        let gap = &blocks[from..next.map_or(blocks.len(), |next| narrow(next.end))];
        let is_broken = |at: usize| matches!(gap.get(at), Some(Block::Damaged));
        let starts = (0..gap.len()).filter(|&at| is_broken(at) && !at.checked_sub(1).is_some_and(is_broken));
        let mut places: Vec<_> = starts.map(|at| (wide((from + at) * BLOCK), BROKEN)).collect();
        if !places.contains(&first) {
            places.push(first);
        }
        places.sort_unstable();
        let is_behind_all = next.is_none() && matches!(gap.first(), Some(Block::Blank)) && first.1 != GONE;
        let mut given_up = given_up(place.commits, next.map(|next| next.commit)).filter(|_| !is_behind_all);
        for (offset, what) in places {
            let given_up = given_up.take().map(|given_up| format!("; {given_up}")).unwrap_or_default();
            self.damage.push((offset, format!("{what}{given_up}")));
        }
    }
}

/// A sound commit: its place in blocks and its number.
#[derive(Clone, Copy, Debug)]
struct Next {
    end: u64,
    commit: u64,
}

/// The next complete commit that is newer than what comes before `place`.
fn next_sound(blocks: &[Block], place: Place) -> Option<Next> {
    (narrow(place.end)..blocks.len()).find_map(|at| {
        let Block::Written(header) = &blocks[at] else { return None };
        let is_sound = header.commit > place.commits && complete(&blocks[at..], header.commit).is_some();
        is_sound.then_some(Next { end: wide(at), commit: header.commit })
    })
}

/// Which commits are missing between the one numbered `last` and the next one that is sound.
fn given_up(last: u64, next: Option<u64>) -> Option<String> {
    match next {
        Some(next) if next == last + 2 => Some(format!("commit {} is given up", last + 1)),
        Some(next) if next > last + 2 => Some(format!("commits {} to {} are given up", last + 1, next - 1)),
        Some(_) => None,
        None => Some(format!("what was committed after commit {last} is given up")),
    }
}
