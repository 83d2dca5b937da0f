//! The system calls nobody can do without who makes, mounts, unmounts and removes a container durably.
//!
//! Four directories, one `mount(2)`, one `fdatasync` of a record written over space that exists; then one `umount`,
//! the directories' end, and one more such record. No names are checked, no ids made, nothing is found again.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::Result;

/// About what a container's record takes.
const RECORD: [u8; 512] = [b'r'; 512];

/// Room for the records of all rounds, written and synced before.
const ROOM: usize = 4 << 20;

/// A home of bare directories with a journal that is a file.
pub(crate) struct Raw {
    dir: PathBuf,
    lower: String,
    journal: File,
    written: u64,
}

impl Raw {
    /// Makes `depth` lower directories in `dir`.
    pub(crate) fn new(dir: &Path, depth: usize) -> Result<Self> {
        fs::create_dir(dir)?;
        let lowers: Vec<_> = (0..depth).map(|number| dir.join(number.to_string()).display().to_string()).collect();
        lowers.iter().try_for_each(fs::create_dir)?;
        let journal = OpenOptions::new().write(true).create_new(true).open(dir.join("journal"))?;
        journal.write_all_at(&vec![0; ROOM], 0)?;
        journal.sync_all()?;
        Ok(Self { dir: dir.to_owned(), lower: lowers.join(":"), journal, written: 0 })
    }

    fn record(&mut self) -> Result<()> {
        self.journal.write_all_at(&RECORD, self.written)?;
        self.written += RECORD.len() as u64;
        Ok(self.journal.sync_data()?)
    }

    /// Makes and mounts one container.
    pub(crate) fn create(&mut self, name: &str) -> Result<()> {
        let own = self.dir.join(name);
        self.record()?;
        fs::create_dir(&own)?;
        for part in ["diff", "work", "merged"] {
            fs::create_dir(own.join(part))?;
        }
        let options = format!(
            "lowerdir={},upperdir={o}/diff,workdir={o}/work,redirect_dir=off,metacopy=off,index=off",
            self.lower,
            o = own.display()
        );
        Ok(mount(
            "overlay",
            own.join("merged"),
            "overlay",
            MountFlags::empty(),
            Some(&*std::ffi::CString::new(options)?),
        )?)
    }

    /// Unmounts and removes it.
    pub(crate) fn remove(&mut self, name: &str) -> Result<()> {
        let own = self.dir.join(name);
        unmount(own.join("merged"), UnmountFlags::empty())?;
        self.record()?;
        for part in ["merged", "work/work", "work", "diff", ""] {
            fs::remove_dir(own.join(part))?;
        }
        Ok(())
    }
}
