//! Each layer against the compressed forms it came in and that were kept.

use std::io;

use plyfs_sys::fs;

use super::finding::{FindingKind, Severity};
use super::repair::Fix;
use super::{Check, report};
use crate::progress::Stage;
use crate::record::LayerRecord;
use crate::{Digest, ErrorKind, KeptBlob, Result};

/// What is wrong with a blob.
#[derive(Clone)]
struct Problem {
    kind: FindingKind,
    text: String,
    /// Whether the blob was read and is not what was kept.
    is_certain: bool,
}

impl Check<'_> {
    /// Looks for every kept blob, at its size and, where `data` says so, at every byte. A blob is judged once, whoever
    /// came as it.
    pub(super) fn blobs(&mut self, data: bool) -> Result<()> {
        let mut judged = std::collections::BTreeMap::<Digest, Option<Problem>>::new();
        for layer in self.layers.values().filter(|layer| !layer.blobs.is_empty()).cloned().collect::<Vec<_>>() {
            for blob in &layer.blobs {
                let problem = match judged.get(&blob.digest) {
                    Some(known) => known.clone(),
                    None => self.judge_blob(&layer, blob, data)?,
                };
                judged.insert(blob.digest, problem.clone());
                if let Some(Problem { kind, text, is_certain }) = problem {
                    let fix = is_certain.then_some(Fix::ForgetBlob { layer: layer.id, blob: blob.digest });
                    self.find(Severity::Error, kind, format!("layer {}", layer.id), text, fix);
                }
            }
        }
        Ok(())
    }

    fn judge_blob(&self, layer: &LayerRecord, blob: &KeptBlob, data: bool) -> Result<Option<Problem>> {
        let found = |kind, text: String, is_certain| {
            let text = format!("its blob {}: {text}", blob.digest);
            Ok(Some(Problem { kind, text, is_certain }))
        };
        let problem = |kind, text| found(kind, text, true);
        // What cannot be read this moment may be sound.
        let unreadable = |text| found(FindingKind::BlobWrong, text, false);
        // Gone with its layer since the check began is no damage.
        let is_gone = || self.store.layer_record(layer.id).is_err_and(|e| e.kind() == ErrorKind::NotFound);
        match fs::try_stat_at(&self.store.0.blobs, blob.digest.hex()) {
            Ok(None) if is_gone() => return Ok(None),
            Ok(None) => return problem(FindingKind::BlobMissing, "it is missing".to_owned()),
            Ok(Some(stat)) if u64::try_from(stat.st_size) != Ok(blob.usage.apparent) => {
                let text = format!("{} bytes where {} were kept", stat.st_size, blob.usage.apparent);
                return problem(FindingKind::BlobWrong, text);
            }
            Ok(Some(_)) => {}
            Err(error) => return unreadable(report(&error)),
        }
        if !data {
            return Ok(None);
        }
        let reader = match self.store.layer_of(layer.clone()).blob(&blob.digest) {
            Ok(reader) => reader,
            Err(_) if is_gone() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return problem(FindingKind::BlobWrong, report(&error));
            }
            Err(error) => return unreadable(report(&error)),
        };
        let size = Some(blob.usage.apparent);
        let mut reader = self.progress.reader(reader, Stage::Check, blob.digest.to_string(), size);
        match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => Ok(None),
            Err(error) => {
                // What a reader of ours says travels inside an error of the standard library.
                let kind = error.get_ref().and_then(|inner| inner.downcast_ref()).map(crate::Error::kind);
                let error = crate::Error::io("read", error, kind.unwrap_or(ErrorKind::Io));
                if kind == Some(ErrorKind::Cancelled) {
                    return Err(error);
                }
                found(FindingKind::BlobWrong, report(&error), kind == Some(ErrorKind::Corrupt))
            }
        }
    }
}
