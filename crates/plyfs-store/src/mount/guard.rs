//! The guard of a mount: what keeps it, and ends it.

use std::path::{Path, PathBuf};

use plyfs_mount::Unmount;
use plyfs_sys::lock::Lock;

use crate::{Container, Error, ErrorKind, Result, mark};

/// A container or layer made visible.
///
/// Dropping it unmounts, best effort, when it made the mount, [`Self::keep`] was not called and no other guard
/// of the same mount lives; otherwise the mount stays.
#[derive(Debug)]
#[must_use = "dropping a mount that it made unmounts it"]
pub struct Mount {
    pub(super) path: PathBuf,
    pub(super) made: bool,
    pub(super) of: Option<Of>,
}

#[derive(Debug)]
pub(super) enum Of {
    Container {
        container: Box<Container>,
        guard: Lock,
    },
    /// With the mount's id, where the kernel tells ids.
    Layer {
        _held: Lock,
        id: Option<u64>,
    },
}

impl Mount {
    /// Where it is visible.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says whether this guard made the mount, and so ends it when dropped.
    #[must_use]
    pub fn is_maker(&self) -> bool {
        self.made
    }

    /// Unmounts; the honest way out.
    ///
    /// While other guards of the same mount live it is [`ErrorKind::InUse`], and while a program works inside
    /// [`ErrorKind::Busy`]; then the mount stays and [`Container::unmount`] can end it later.
    pub fn unmount(mut self) -> Result<()> {
        match self.of.take() {
            Some(Of::Container { container, guard }) => {
                guard.release();
                container.unmount(Unmount::Plain)
            }
            Some(Of::Layer { id, .. }) => unmount(&self.path, id),
            None => Ok(()),
        }
    }

    /// Leaves it mounted when the guard goes.
    pub fn keep(mut self) {
        if let Some(Of::Container { guard, .. }) = self.of.take() {
            guard.release();
        }
    }
}

impl AsRef<Path> for Mount {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        match self.of.take() {
            Some(Of::Container { container, guard }) => {
                guard.release();
                if self.made {
                    let _ = container.unmount(Unmount::Plain);
                }
            }
            Some(Of::Layer { id, .. }) => drop(unmount(&self.path, id)),
            None => {}
        }
    }
}

/// Ends a layer's mount, unless something else is what is at its path by now.
fn unmount(path: &Path, id: Option<u64>) -> Result<()> {
    if id.is_some() && mark::mount_id_while_mounted(path)? != id {
        return Err(Error::new(ErrorKind::Busy, format!("unmount {}: it is covered or was moved", path.display())));
    }
    plyfs_mount::unmount(path, Unmount::Plain).map_err(|e| Error::mount("unmount", e))
}
