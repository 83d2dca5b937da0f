//! What the kernel can do, found once a boot and kept in the store's root for the processes that come after.
//!
//! Probing mounts a file system or two and takes milliseconds, which a command that lives for five of them would pay
//! each time. The file `kernel` is a hint that is safe to lose: it is never synced, and it counts only for the boot, the
//! user namespace and the file system it was written under. A sandbox may refuse single calls to one process and not to
//! another, so the first of them is tried before what was found by others is believed.

use plyfs_mount::{Feature, Features};
use plyfs_sys::fs;
use rustix::fs::Mode;

use crate::format::write_all;
use crate::mark::boot_id;
use crate::{Error, Result, Store, layout};

impl Store {
    /// What the kernel can do, found by trying once a boot.
    pub(crate) fn features(&self) -> Result<&Features> {
        if let Some(features) = self.0.features.get() {
            return Ok(features);
        }
        let scope = self.scope()?;
        let found = match self.read_features(&scope) {
            Some(found) => found,
            None => {
                let found = self.probe()?;
                // Best effort: without the file the next process tries for itself.
                let _ = self.write_features(&scope, &found);
                found
            }
        };
        let usable = self.0.refused.map_or(found, |refused| found.without(refused));
        Ok(self.0.features.get_or_init(|| usable))
    }

    fn probe(&self) -> Result<Features> {
        // Probing mounts in a directory of its own; it goes with the operation.
        let operation = self.operation()?;
        Features::probe(&operation.spool()?).map_err(|e| Error::mount("kernel features", e))
    }

    /// What an answer depends on, on one line.
    fn scope(&self) -> Result<String> {
        let device = fs::stat(&self.0.root).map_err(|e| Error::call("store", e))?.st_dev;
        let namespace = std::fs::read_link("/proc/thread-self/ns/user").unwrap_or_default();
        Ok(format!("{} {} {device}", boot_id()?, namespace.display()))
    }

    fn read_features(&self, scope: &str) -> Option<Features> {
        let path = fs::proc_path(&self.0.root).join(layout::KERNEL);
        let text = std::fs::read_to_string(path).ok()?;
        let bits = text.strip_prefix(scope)?.strip_prefix('\n')?.strip_suffix('\n')?.parse().ok()?;
        let found = Features::assume(Feature::from_bits(bits)?);
        found.is_plausible().then_some(found)
    }

    fn write_features(&self, scope: &str, found: &Features) -> plyfs_sys::Result<()> {
        let (root, staged) = (&self.0.root, plyfs_link::LinkId::random());
        // Written aside and renamed, so that nobody reads half of it.
        let aside = fs::open_dir_at(root, layout::TRASH)?;
        let file = fs::create_file_at(&aside, staged.as_str(), Mode::RUSR | Mode::WUSR)?;
        write_all(file, layout::KERNEL, format!("{scope}\n{}\n", found.found().bits()).as_bytes())?;
        fs::rename_at(&aside, staged.as_str(), root, layout::KERNEL)
    }
}
