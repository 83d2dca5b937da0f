//! Each image against its layers and blobs.

use super::finding::{FindingKind, Severity};
use super::{Check, report};
use crate::{ErrorKind, Result};

impl Check<'_> {
    pub(super) fn images(&mut self) -> Result<()> {
        for image in self.images.values().cloned().collect::<Vec<_>>() {
            let subject = format!("image {}", image.id);
            self.visit(&subject)?;
            if let Some(top) = image.top.filter(|top| !self.layers.contains_key(top)) {
                let problem = format!("its layer {top} has no record");
                self.find(Severity::Error, FindingKind::LayerMissing, &subject, problem, None);
            }
            for blob in [Some(image.id), image.manifest].into_iter().flatten() {
                let Err(error) = self.store.blob(&blob) else { continue };
                let kind = match error.kind() {
                    ErrorKind::NotFound => FindingKind::BlobMissing,
                    _ => FindingKind::BlobWrong,
                };
                self.find(Severity::Error, kind, &subject, report(&error), None);
            }
        }
        Ok(())
    }
}
