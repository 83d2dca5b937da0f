//! Telling what the blobs of a store are, for a store that lost its journal.

use std::io::{self, Read};
use std::path::Path;

use plyfs_store::{DiffId, Document, Progress, Rebuilt, StoreOptions};

use crate::asked::Asked;
use crate::compression::WindowLog;
use crate::config;
use crate::error::Error;
use crate::kept::diff_id_of;
use crate::manifest::{Descriptor, Manifest};
use crate::windows::Windows;

/// Makes the journal of the store at `path` anew from its directories and blobs; durable on return.
///
/// [`StoreOptions::rebuild_with`] says how; this tells it which blobs are configs and manifests, and what
/// compressed layers hold.
pub fn rebuild(options: StoreOptions, path: impl AsRef<Path>, progress: Progress<'_>) -> plyfs_store::Result<Rebuilt> {
    options.rebuild_with(path, &document, &layer, progress)
}

/// What a compressed layer holds, whatever window it needs.
fn layer(blob: &mut (dyn Read + Send)) -> io::Result<DiffId> {
    diff_id_of(blob, &Asked::nobody(), &Windows::up_to(WindowLog::MOST), "it").map_err(Error::into_io)
}

/// What a blob is; `None` for one that is neither config nor manifest.
fn document(bytes: &[u8]) -> Option<Document> {
    // A manifest has a config, a config has a root file system; neither has both.
    if let Ok((manifest, config)) = Manifest::parse(bytes, "", "manifest") {
        let blob = |layer: &Descriptor| layer.promise("layer").ok().map(|promise| (promise.digest, promise.size));
        let layers = manifest.layers.iter().map(blob).collect::<Option<_>>()?;
        return Some(Document::Manifest { config: config.promise("config").ok()?.digest, layers });
    }
    let diff_ids = config::all_diff_ids(bytes).ok()?;
    let facts = config::facts(bytes).ok()?;
    Some(Document::Config { diff_ids, built: facts.created, architecture: facts.architecture, os: facts.os })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_and_manifests_are_told_apart_and_from_anything_else() {
        let digest = plyfs_store::Digest::of("x");
        let config = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{{"mediaType":"","digest":"{digest}","size":1}},"layers":null}}"#);
        match document(config.as_bytes()) {
            Some(Document::Config { diff_ids, os, .. }) => {
                assert_eq!((diff_ids, os), (vec![digest], Some("linux".into())))
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(document(manifest.as_bytes()), Some(Document::Manifest { config, .. }) if config == digest));
        for other in ["", "{}", "[]", r#"{"manifests":[]}"#] {
            assert!(document(other.as_bytes()).is_none(), "{other}");
        }
    }
}
