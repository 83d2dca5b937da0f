//! Every layer's content against what was recorded of it.

use plyfs_diff::{Usage, Verified};

use super::finding::{FindingKind, Severity};
use super::{Check, report};
use crate::progress::Stage;
use crate::record::LayerRecord;
use crate::{Digest, ErrorKind, Result};

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
        // A tree that is missing is a finding of its own.
        if self.store.tree(record.id).is_err() {
            return Ok(());
        }
        let layer = self.store.layer_of(record.clone());
        let out = self.progress.reader(std::io::sink(), Stage::Check, diff_id.to_string(), record.archive_size);
        match layer.verify(out) {
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            // Its tar-split record is missing, which is a finding of its own: its size is all that can be checked.
            Err(error) if error.kind() == ErrorKind::NotFound => self.size(record),
            Err(error) => {
                let (subject, problem) = (format!("layer {}", record.id), report(&error));
                let problem = problem.strip_prefix(&format!("{subject}: ")).unwrap_or(&problem).to_owned();
                self.find(Severity::Error, FindingKind::ContentWrong, subject, problem, None);
            }
            Ok(verified) => {
                if let Some(problem) = verified.as_ref().and_then(in_words) {
                    let subject = format!("layer {}", record.id);
                    self.find(Severity::Error, FindingKind::ContentWrong, subject, problem, None);
                }
            }
        }
        Ok(())
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
