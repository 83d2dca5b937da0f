//! The `l/` directory: a symbolic link of 26 characters for every layer.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use plyfs_sys::fs;
use rustix::fs::Mode;

use crate::{Error, ErrorKind, LayerId, LinkId, Result, layout};

/// The open `l/` directory of a driver home.
#[derive(Debug)]
pub struct LinkDir(OwnedFd);

impl LinkDir {
    /// Opens `l/` below the driver home.
    pub fn open(home: impl AsFd) -> Result<Self> {
        fs::open_dir_at(home, layout::LINK_DIR).map(Self).map_err(|e| Error::call("short links", e))
    }

    /// Opens `l/`, making it with mode 0700 when it is not there.
    pub fn ensure(home: impl AsFd) -> Result<Self> {
        let home = home.as_fd();
        fs::ensure_dir_at(home, layout::LINK_DIR, Mode::RWXU).map_err(|e| Error::call("short links", e))?;
        Self::open(home)
    }

    /// Makes the link to a layer's `diff` directory, or accepts the one that says the same.
    ///
    /// Not durable until the file system is synced. A link to another layer is [`ErrorKind::Exists`].
    pub fn ensure_link(&self, link: LinkId, layer: LayerId) -> Result<()> {
        match fs::symlink_at(target(layer), &self.0, link.as_str()) {
            Ok(()) => Ok(()),
            Err(error) if ErrorKind::Exists == error.kind() && self.layer(link)? == Some(layer) => Ok(()),
            Err(error) => Err(Error::call(format!("link {link} of layer {layer}"), error)),
        }
    }

    /// The layer a link points to; `None` when there is no such link, an error when it points elsewhere.
    pub fn layer(&self, link: LinkId) -> Result<Option<LayerId>> {
        let target = match fs::read_link_at(&self.0, link.as_str()) {
            Ok(target) => target,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(Error::call(format!("link {link}"), error)),
        };
        let id = target.to_str().and_then(|text| text.strip_prefix("../")?.strip_suffix("/diff")?.parse().ok());
        id.map(Some).ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("link {link} points to {target:?}")))
    }

    /// Removes a link; a missing one is fine.
    pub fn remove(&self, link: LinkId) -> Result<()> {
        match fs::unlink_at(&self.0, link.as_str()) {
            Err(error) if !error.is_not_found() => Err(Error::call(format!("link {link}"), error)),
            _ => Ok(()),
        }
    }

    /// The names in `l/`, sorted; those that are no link ids are returned as they are.
    pub fn names(&self) -> Result<Vec<std::ffi::OsString>> {
        let entries = fs::read_dir(&self.0).map_err(|e| Error::call("short links", e))?;
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}

impl AsFd for LinkDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn target(layer: LayerId) -> String {
    format!("../{layer}/{}", layout::DIFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> (tempfile::TempDir, LinkDir) {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let links = LinkDir::ensure(fs::open_dir(temp.path()).expect("open")).expect("l/");
        (temp, links)
    }

    #[test]
    fn a_link_points_to_the_diff_of_its_layer_and_is_made_once() {
        let (temp, links) = links();
        let (link, layer) = (LinkId::random(), LayerId::random());

        links.ensure_link(link, layer).expect("made");
        links.ensure_link(link, layer).expect("the same again is fine");

        let target = std::fs::read_link(temp.path().join("l").join(link.as_str())).expect("a symbolic link");
        assert_eq!(target.to_str(), Some(format!("../{layer}/diff").as_str()));
        assert_eq!(links.layer(link).expect("read"), Some(layer));
        let error = links.ensure_link(link, LayerId::random()).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::Exists);
        links.remove(link).expect("removed");
        links.remove(link).expect("a missing link is fine");
        assert_eq!(links.layer(link).expect("read"), None);
    }

    #[test]
    fn a_link_that_points_elsewhere_is_damage() {
        let (temp, links) = links();
        let link = LinkId::random();
        std::os::unix::fs::symlink("../../etc", temp.path().join("l").join(link.as_str())).expect("a link");
        assert_eq!(links.layer(link).expect_err("damage").kind(), ErrorKind::Corrupt);
    }
}
