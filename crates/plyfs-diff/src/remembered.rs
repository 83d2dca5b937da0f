//! Paths that are remembered in great number: the directory that many lie in is in memory once.
//!
//! A path may be a megabyte long, and its directory may have any number of names.

use std::sync::Arc;

use crate::names;

/// Makes paths to remember, which come in the order of a walk: those in one directory follow one another.
#[derive(Debug, Default)]
pub(crate) struct Remember {
    dir: Arc<[u8]>,
}

/// A path that is remembered.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    dir: Arc<[u8]>,
    name: Box<[u8]>,
}

impl Remember {
    pub(crate) fn path(&mut self, path: &[u8]) -> Remembered {
        let (dir, name) = names::split(path);
        if *self.dir != *dir {
            self.dir = dir.into();
        }
        Remembered { dir: Arc::clone(&self.dir), name: name.into() }
    }
}

impl Remembered {
    pub(crate) fn dir(&self) -> &[u8] {
        &self.dir
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    pub(crate) fn to_path(&self) -> Vec<u8> {
        names::join(&self.dir, &self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_directory_that_follow_one_another_share_it_and_every_path_comes_back() {
        let mut remember = Remember::default();
        let paths: [&[u8]; 6] = [b"a", b"d/e/a", b"d/e/b", b"d/e/c", b"d/f", b"z"];
        let kept = paths.map(|path| remember.path(path));
        assert_eq!(kept.each_ref().map(Remembered::to_path), paths.map(<[u8]>::to_vec));
        assert!(Arc::ptr_eq(&kept[1].dir, &kept[2].dir) && Arc::ptr_eq(&kept[2].dir, &kept[3].dir));
    }
}
