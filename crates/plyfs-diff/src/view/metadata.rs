//! What an inode of a view is, as plain data.

use plyfs_sys::fs::{FileType, Stat};

/// Type, mode, owner, size and times of one inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length of a file or of a link's target; of anything else what its file system says.
    pub size: u64,
    /// How many names the inode has in its layer; 1 for a directory that several layers have.
    pub links: u64,
    /// The inode in its layer.
    pub inode: u64,
    /// The device number of the layer's file system.
    pub filesystem: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// When the content last changed: seconds since the epoch, and nanoseconds.
    pub modified: (i64, u32),
    /// When the content was last read, as far as the file system keeps it.
    pub accessed: (i64, u32),
    /// When anything of it last changed in its layer.
    pub changed: (i64, u32),
    /// Which layer shows it, counted from the uppermost.
    pub layer: usize,
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device; one numbered 0:0 is a whiteout and never shown.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::RegularFile | FileType::Unknown => Self::File,
        }
    }

    /// The letter `ls -l` prints.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::File => '-',
            Self::Directory => 'd',
            Self::Symlink => 'l',
            Self::CharacterDevice => 'c',
            Self::BlockDevice => 'b',
            Self::Fifo => 'p',
            Self::Socket => 's',
        }
    }

    /// The name of the kind in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::CharacterDevice => "character-device",
            Self::BlockDevice => "block-device",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        }
    }
}

impl Metadata {
    /// The root of a view without layers: nobody says anything about it (rule 53).
    pub(super) fn empty_root() -> Self {
        Self {
            kind: FileKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            links: 1,
            inode: 0,
            filesystem: 0,
            device: None,
            modified: (0, 0),
            accessed: (0, 0),
            changed: (0, 0),
            layer: 0,
        }
    }

    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "the widths differ between architectures")]
    pub(super) fn of(stat: &Stat, layer: usize) -> Self {
        let kind = FileKind::of(stat);
        let is_device = matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice);
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            links: stat.st_nlink.into(),
            inode: stat.st_ino,
            filesystem: stat.st_dev,
            device: is_device.then(|| (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))),
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            accessed: (stat.st_atime, stat.st_atime_nsec as u32),
            changed: (stat.st_ctime, stat.st_ctime_nsec as u32),
            layer,
        }
    }
}
