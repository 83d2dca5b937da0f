//! A directory of a journal in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plyfs_journal::{Access, CallError, Disk, DiskFile, DiskLock, Map};
use rustix::io::Errno;

/// Names and contents.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

type Content = Arc<Mutex<Vec<u8>>>;

/// How large a file may grow: a journal that believes a wrong number must not fill the memory.
const MOST: u64 = 64 << 20;

/// The directory.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk(Mutex<BTreeMap<String, Content>>);

impl MemoryDisk {
    pub(crate) fn new(files: Files) -> Self {
        Self(Mutex::new(files.into_iter().map(|(name, bytes)| (name, Arc::new(Mutex::new(bytes)))).collect()))
    }

    pub(crate) fn files(&self) -> Files {
        held(&self.0).iter().map(|(name, content)| (name.clone(), held(content).clone())).collect()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(name: &str) -> CallError {
    CallError::new("openat", name, Errno::NOENT)
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str, _: Access) -> Result<Box<dyn DiskFile>, CallError> {
        let files = held(&self.0);
        let content = files.get(name).ok_or_else(|| missing(name))?;
        Ok(Box::new(MemoryFile(Arc::clone(content))))
    }

    fn create(&self, name: &str) -> Result<Box<dyn DiskFile>, CallError> {
        let content = Content::default();
        if held(&self.0).insert(name.to_owned(), Arc::clone(&content)).is_some() {
            return Err(CallError::new("openat", name, Errno::EXIST));
        }
        Ok(Box::new(MemoryFile(content)))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), CallError> {
        let mut files = held(&self.0);
        let content = files.remove(from).ok_or_else(|| missing(from))?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), CallError> {
        held(&self.0).remove(name).map(drop).ok_or_else(|| missing(name))
    }

    fn list(&self) -> Result<Vec<String>, CallError> {
        Ok(held(&self.0).keys().cloned().collect())
    }

    fn sync(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn lock(&self, _: &str) -> Result<Box<dyn DiskLock>, CallError> {
        Ok(Box::new(MemoryLock))
    }

    fn try_lock(&self, _: &str) -> Result<Option<Box<dyn DiskLock>>, CallError> {
        Ok(Some(Box::new(MemoryLock)))
    }
}

/// One thread has the disk to itself.
#[derive(Debug)]
struct MemoryLock;

impl DiskLock for MemoryLock {
    fn counts(&self) -> Result<bool, CallError> {
        Ok(true)
    }
}

#[derive(Debug)]
struct MemoryFile(Content);

impl DiskFile for MemoryFile {
    fn size(&self) -> Result<u64, CallError> {
        Ok(held(&self.0).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, CallError> {
        let content = held(&self.0);
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), CallError> {
        let full = || CallError::new("pwrite64", "", Errno::NOSPC);
        let end = offset.checked_add(bytes.len() as u64).filter(|&end| end <= MOST).ok_or_else(full)?;
        let (start, end) = (usize::try_from(offset).map_err(|_| full())?, usize::try_from(end).map_err(|_| full())?);
        let mut content = held(&self.0);
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn map(&self) -> Result<Map, CallError> {
        Ok(held(&self.0).clone().into())
    }
}
