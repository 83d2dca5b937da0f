//! Each layer against the compressed forms it came in and that were kept.

use std::io;

use plyfs_sys::fs;

use super::finding::{FindingKind, Severity};
use super::repair::Fix;
use super::{Check, report};
use crate::progress::Stage;
use crate::record::LayerRecord;
use crate::{Digest, ErrorKind, KeptBlob, Result};

impl Check<'_> {
    /// Looks for every kept blob, at its size and, where `data` says so, at every byte. A blob is judged once, whoever
    /// came as it.
    pub(super) fn blobs(&mut self, data: bool) -> Result<()> {
        let mut judged = std::collections::BTreeMap::<Digest, Option<(FindingKind, String)>>::new();
        for layer in self.layers.values().filter(|layer| !layer.blobs.is_empty()).cloned().collect::<Vec<_>>() {
            for blob in &layer.blobs {
                let problem = match judged.get(&blob.digest) {
                    Some(known) => known.clone(),
                    None => self.judge_blob(&layer, blob, data)?,
                };
                judged.insert(blob.digest, problem.clone());
                if let Some((kind, problem)) = problem {
                    let fix = Some(Fix::ForgetBlob { layer: layer.id, blob: blob.digest });
                    self.find(Severity::Error, kind, format!("layer {}", layer.id), problem, fix);
                }
            }
        }
        Ok(())
    }

    fn judge_blob(&self, layer: &LayerRecord, blob: &KeptBlob, data: bool) -> Result<Option<(FindingKind, String)>> {
        let problem = |kind, text: String| Ok(Some((kind, format!("its blob {}: {text}", blob.digest))));
        match fs::try_stat_at(&self.store.0.blobs, blob.digest.hex()) {
            // Gone with its layer since the check began is no damage.
            Ok(None) if self.store.layer_record(layer.id).is_err_and(|e| e.kind() == ErrorKind::NotFound) => {
                return Ok(None);
            }
            Ok(None) => return problem(FindingKind::BlobMissing, "it is missing".to_owned()),
            Ok(Some(stat)) if u64::try_from(stat.st_size) != Ok(blob.usage.apparent) => {
                let text = format!("{} bytes where {} were kept", stat.st_size, blob.usage.apparent);
                return problem(FindingKind::BlobWrong, text);
            }
            Ok(Some(_)) => {}
            Err(error) => return problem(FindingKind::BlobWrong, report(&error)),
        }
        if !data {
            return Ok(None);
        }
        let reader = match self.store.layer_of(layer.clone()).blob(&blob.digest) {
            Ok(reader) => reader,
            Err(error) => return problem(FindingKind::BlobWrong, report(&error)),
        };
        let size = Some(blob.usage.apparent);
        let mut reader = self.progress.reader(reader, Stage::Check, blob.digest.to_string(), size);
        match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => Ok(None),
            Err(error) => {
                let error = crate::Error::io("read", error, ErrorKind::Io);
                if error.kind() == ErrorKind::Cancelled {
                    return Err(error);
                }
                problem(FindingKind::BlobWrong, report(&error))
            }
        }
    }
}
