//! Every layer's content against what was recorded of it.

use plyfs_diff::{Usage, Verified};

use super::finding::{FindingKind, Severity};
use super::{Check, report};
use crate::progress::Stage;
use crate::record::LayerRecord;
use crate::{Digest, Error, ErrorKind, Result};

impl Check<'_> {
    /// Rebuilds every layer's archive, compares digests, and holds each inode to what the archive says of it; a layer without a
    /// DiffID is held to its size.
    pub(super) fn content(&mut self) -> Result<()> {
        for record in self.layers.values().cloned().collect::<Vec<_>>() {
            match record.diff_id {
                Some(diff_id) => self.archive(&record, &diff_id)?,
                None => self.size(&record),
            }
        }
        Ok(())
    }

    fn archive(&mut self, record: &LayerRecord, diff_id: &Digest) -> Result<()> {
        // From here on it is not removed.
        let _held = match self.store.hold(record.id) {
            Ok(held) => held,
            // A tree that is missing, or no directory, is a finding of its own; one that was removed meanwhile is none.
            Err(error) if is_found_otherwise(error.kind()) => return Ok(()),
            Err(error) => {
                self.wrong(record, &error);
                return Ok(());
            }
        };
        let layer = self.store.layer_of(record.clone());
        let tar_split = match layer.tar_split() {
            // A finding of its own too: its size is all that can be checked.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.size(record);
                return Ok(());
            }
            result => result,
        };
        let out = self.progress.reader(std::io::sink(), Stage::Check, diff_id.to_string(), record.archive_size);
        match tar_split.and_then(|tar_split| layer.verify(tar_split, out)) {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => self.wrong(record, &error),
            Ok(verified) => {
                if let Some(problem) = verified.as_ref().and_then(in_words) {
                    let subject = format!("layer {}", record.id);
                    self.find(Severity::Error, FindingKind::ContentWrong, subject, problem, None);
                }
            }
        }
        Ok(())
    }

    fn wrong(&mut self, record: &LayerRecord, error: &Error) {
        let (subject, problem) = (format!("layer {}", record.id), report(error));
        let problem = problem.strip_prefix(&format!("{subject}: ")).unwrap_or(&problem).to_owned();
        self.find(Severity::Error, FindingKind::ContentWrong, subject, problem, None);
    }

    fn size(&mut self, record: &LayerRecord) {
        let Ok(tree) = self.store.tree(record.id) else { return };
        let subject = format!("layer {}", record.id);
        match Usage::measure(&tree) {
            // What is allocated depends on the file system.
            Ok(now) if (now.apparent, now.inodes) == (record.own.apparent, record.own.inodes) => {}
            Ok(now) => {
                let problem = format!(
                    "its tree has {} bytes in {} inodes, not {} in {}",
                    now.apparent, now.inodes, record.own.apparent, record.own.inodes
                );
                self.find(Severity::Error, FindingKind::ContentWrong, subject, problem, None);
            }
            Err(error) => self.find(Severity::Error, FindingKind::ContentWrong, subject, report(&error), None),
        }
    }
}

fn is_found_otherwise(of_tree: ErrorKind) -> bool {
    matches!(of_tree, ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::InvalidInput)
}

/// The first differences in words, and how many more there are.
fn in_words(verified: &Verified) -> Option<String> {
    const SAID_MOST: usize = 3;
    let (said, rest) = verified.differences.split_at(verified.differences.len().min(SAID_MOST));
    let mut words = said.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let more = rest.len() as u64 + verified.differences_more;
    if more > 0 {
        words += &format!("; and {more} more");
    }
    (!words.is_empty()).then_some(words)
}
