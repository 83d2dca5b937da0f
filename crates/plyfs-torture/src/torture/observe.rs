//! Invariants of a store that others change all the time.
//!
//! What one look finds missing may have been removed in the middle of it; it counts when what needs it is still there
//! afterwards. What `check` finds may be in the making; it counts when it stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use plyfs::{CheckOptions, ErrorKind, Finding, Store};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);

/// How long a finding may stay: a worker that is killed is back, and has settled, long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks at a store again and again.
#[derive(Debug)]
pub(super) struct Observer {
    path: PathBuf,
    /// Open for reading alone, all the time: a reader is never in anyone's way.
    reader: Store,
    last: Instant,
    findings: BTreeMap<Finding, Instant>,
}

impl Observer {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let reader = Store::options().read_only(true).open(path)?;
        Ok(Self { path: path.to_owned(), reader, last: Instant::now(), findings: BTreeMap::new() })
    }

    /// Looks at everything unless it just did; says whether it looked.
    pub(super) fn look(&mut self) -> Result<bool> {
        if self.last.elapsed() < PAUSE {
            return Ok(false);
        }
        // A fresh open recovers what the dead left, beside the living.
        Store::open(&self.path).context("open beside workers")?;
        self.containers()?;
        self.images()?;
        self.findings()?;
        self.last = Instant::now();
        Ok(true)
    }

    /// A container's whole chain is there.
    fn containers(&self) -> Result<()> {
        for container in self.reader.containers()? {
            let Some(parent) = container.parent() else { continue };
            let chain = self.reader.layer(&parent.to_string()).and_then(|layer| layer.chain());
            let Err(error) = chain else { continue };
            let is_there = self.reader.containers()?.iter().any(|other| other.id() == container.id());
            if is_there || error.kind() != ErrorKind::NotFound {
                bail!("the chain of container {}: {}", container.name(), plyfs::report(&error));
            }
        }
        Ok(())
    }

    /// An image's layers and its config are there.
    fn images(&self) -> Result<()> {
        for image in self.reader.images()? {
            let whole = image.layers().and_then(|layers| image.config().map(|_| layers));
            let Err(error) = whole else { continue };
            // Loaded again it has another layer.
            let same = |other: &plyfs::Image| other.id() == image.id() && other.top() == image.top();
            if error.kind() != ErrorKind::NotFound || self.reader.images()?.iter().any(same) {
                bail!("image {}: {}", image.id(), plyfs::report(&error));
            }
        }
        Ok(())
    }

    fn findings(&mut self) -> Result<()> {
        let found = self.reader.check(CheckOptions::quick()).context("check beside workers")?;
        self.findings.retain(|finding, _| found.contains(finding));
        for finding in found {
            let since = *self.findings.entry(finding.clone()).or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE {
                bail!("for {} s check has found: {finding}", PATIENCE.as_secs());
            }
        }
        Ok(())
    }
}
