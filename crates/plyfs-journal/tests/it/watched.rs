//! A disk of which a test sees each read, sync and lock before it is done.

use std::fmt::Debug;
use std::sync::Arc;

use plyfs_journal::{Access, CallError, Disk, DiskFile, DiskLock, Live, Map};

type Result<T> = std::result::Result<T, CallError>;

/// What is done before the disk does what it was asked for.
pub(crate) trait Watch: Debug + Send + Sync + 'static {
    fn read(&self) {}

    fn lock(&self) {}

    /// An error is that of the file's sync, which is not done then.
    fn sync(&self) -> Result<()> {
        Ok(())
    }

    /// The same of the directory.
    fn sync_names(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Watched<D, W> {
    disk: D,
    pub(crate) watch: Arc<W>,
}

impl<D: Disk, W: Watch> Watched<D, W> {
    pub(crate) fn new(disk: D, watch: Arc<W>) -> Self {
        Self { disk, watch }
    }

    fn watched(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(WatchedFile { file, watch: Arc::clone(&self.watch) })
    }
}

impl<D: Disk, W: Watch> Disk for Watched<D, W> {
    fn open(&self, name: &str, access: Access) -> Result<Box<dyn DiskFile>> {
        self.disk.open(name, access).map(|file| self.watched(file))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.watched(file))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> Result<Vec<String>> {
        self.disk.list()
    }

    fn sync(&self) -> Result<()> {
        self.watch.sync_names()?;
        self.disk.sync()
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DiskLock>> {
        self.watch.lock();
        self.disk.lock(name)
    }

    fn try_lock(&self, name: &str) -> Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(name)
    }
}

#[derive(Debug)]
struct WatchedFile<W> {
    file: Box<dyn DiskFile>,
    watch: Arc<W>,
}

impl<W: Watch> DiskFile for WatchedFile<W> {
    fn size(&self) -> Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.watch.read();
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> Result<()> {
        self.watch.sync()?;
        self.file.sync()
    }

    fn map(&self) -> Result<Map> {
        self.file.map()
    }

    fn live(&self) -> Option<Live> {
        self.file.live()
    }
}
