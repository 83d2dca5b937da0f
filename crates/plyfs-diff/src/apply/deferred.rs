//! What of a layer waits for its parent, when it was applied before the parent was known.
//!
//! Each item is a question to the chain and the path it is about. Most answers change nothing or one inode: an implied
//! parent takes its attributes, a mark that hides nothing goes. Where the answer would have led elsewhere, as a symbolic
//! link of a lower does, the layer is applied anew from its record. So is one that asks more than fits in
//! [`Deferred::MOST`]: memory is bounded whatever an archive brings.

use std::collections::HashSet;

use super::record::{Key, key};

/// The questions that a layer's parent answers; see [`settle`](crate::settle()).
///
/// Its size is bounded: about the length of the paths it is about, 4 MiB at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deferred {
    /// One after the other: the question, the length of the path in four bytes, the path.
    items: Vec<u8>,
    pub(super) needs_rebuild: bool,
}

/// What the chain is asked about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Question {
    /// A directory that an entry lies in and nothing described (rule 51).
    Implied,
    /// The same for a whiteout: without the directory in the chain there is nothing to hide.
    ImpliedToHide,
    /// No question: the directory was implied and then described.
    Described,
    /// A whiteout: does it hide anything?
    Whiteout,
    /// An opaque directory: does the chain have a directory there?
    Opaque,
    /// A directory in place of a whiteout: did the whiteout hide anything (rule 7)?
    OpaqueAnew,
    /// The root, which nothing described (rule 53).
    Root,
}

impl Deferred {
    /// How much is remembered before the layer is to be applied anew instead.
    const MOST: usize = 4 << 20;

    /// Says whether nothing waits: the layer is the same over any chain.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && !self.needs_rebuild
    }

    /// How many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.items.capacity()
    }

    pub(super) fn ask(&mut self, question: Question, path: &[u8]) {
        if self.needs_rebuild {
            return;
        }
        let length = u32::try_from(path.len()).expect("a path is short");
        self.items.push(question as u8);
        self.items.extend_from_slice(&length.to_le_bytes());
        self.items.extend_from_slice(path);
        if self.items.len() > Self::MOST {
            self.rebuild();
        }
    }

    /// Says that nothing less than applying it anew will do.
    pub(super) fn rebuild(&mut self) {
        self.needs_rebuild = true;
        self.items = Vec::new();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Question, &[u8])> {
        let mut rest = &self.items[..];
        std::iter::from_fn(move || {
            let (&tag, after) = rest.split_first()?;
            let (length, after) = after.split_first_chunk().expect("written whole");
            let (path, after) = after.split_at(u32::from_le_bytes(*length) as usize);
            rest = after;
            Some((Question::of(tag), path))
        })
    }
}

impl Question {
    fn of(tag: u8) -> Self {
        let all = [
            Self::Implied,
            Self::ImpliedToHide,
            Self::Described,
            Self::Whiteout,
            Self::Opaque,
            Self::OpaqueAnew,
            Self::Root,
        ];
        *all.iter().find(|question| **question as u8 == tag).expect("written by ask")
    }
}

/// The questions of a pass under way; over a chain that is known there are none.
#[derive(Debug, Default)]
pub(super) struct Questions {
    deferred: Deferred,
    /// The implied directories that nothing has described since.
    implied: HashSet<Key>,
}

impl Questions {
    pub(super) fn ask(&mut self, question: Question, path: &[u8]) {
        if matches!(question, Question::Implied | Question::ImpliedToHide) && !self.deferred.needs_rebuild {
            self.implied.insert(key(path));
        }
        self.deferred.ask(question, path);
    }

    /// Notes that an entry describes a directory.
    pub(super) fn describe(&mut self, path: &[u8]) {
        if !self.implied.is_empty() && self.implied.remove(&key(path)) {
            self.deferred.ask(Question::Described, path);
        }
    }

    pub(super) fn rebuild(&mut self) {
        self.deferred.rebuild();
        self.implied = HashSet::new();
    }

    pub(super) fn finish(self) -> Deferred {
        self.deferred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_back_in_order_and_too_many_become_one() {
        let mut questions = Questions::default();
        questions.ask(Question::ImpliedToHide, b"a");
        questions.ask(Question::Whiteout, b"a/b");
        questions.describe(b"a");
        questions.describe(b"never implied");
        let deferred = questions.finish();
        let items: Vec<_> = deferred.iter().collect();
        assert_eq!(
            items,
            [(Question::ImpliedToHide, &b"a"[..]), (Question::Whiteout, b"a/b"), (Question::Described, b"a"),]
        );
        assert!(!deferred.is_empty() && Deferred::default().is_empty());

        let mut many = Deferred::default();
        for _ in 0..Deferred::MOST {
            many.ask(Question::Whiteout, b"name");
        }
        assert!(many.needs_rebuild && many.items.is_empty() && !many.is_empty());
    }
}
