//! What a guest finds in its memory when it starts: programs with their libraries, modules, and the first of all programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::kernel::Kernel;
use crate::run::{check, command, find, output};

/// What is loaded where it is not built in: the disk, the file systems, and both ends of NFS.
const MODULES: [&str; 9] =
    ["virtio_pci", "virtio_blk", "ext4", "loop", "overlay", "fuse", "nfsd", "nfsv4", "crc32c_generic"];

/// Directories that are mounted upon.
const EMPTY: [&str; 7] = ["dev", "disk", "nfs", "proc", "root", "sys", "tmp"];

/// The tree of a guest's first file system.
pub(super) struct Root {
    at: PathBuf,
}

impl Root {
    /// An empty one with `busybox` in it.
    pub(super) fn new(at: PathBuf) -> Result<Self> {
        empty(&at)?;
        let root = Self { at };
        for dir in EMPTY {
            root.dir(dir)?;
        }
        root.program(&find("busybox").context("no busybox")?, "busybox")?;
        Ok(root)
    }

    /// Puts the modules in, and a list of them in the order they are loaded in.
    pub(super) fn modules(&self, kernel: &Kernel) -> Result<()> {
        let mut list = String::new();
        for module in kernel.modules(&MODULES)? {
            let name = module.file_name().and_then(|name| name.to_str()).context("a module without a name")?.to_owned();
            copy(&module, &self.dir("modules")?.join(&name))?;
            list.push_str(&format!("{name}\n"));
        }
        self.file("modules/list", list.as_bytes())
    }

    /// Puts a program in, without what debuggers read, and the libraries it needs.
    pub(super) fn program(&self, program: &Path, name: &str) -> Result<()> {
        let to = self.dir("bin")?.join(name);
        check(command("strip").arg("-o").arg(&to).arg(program))?;
        // A program that needs none is told so with a failure.
        let needed = output(command("ldd").arg(program).stderr(Stdio::null())).unwrap_or_default();
        for library in needed.split_whitespace().filter(|word| word.starts_with('/')) {
            let library = Path::new(library);
            let dir = library.parent().context("a library in no directory")?;
            let to = self.dir(&dir.to_string_lossy())?.join(library.file_name().context("a library without a name")?);
            if !to.exists() {
                copy(library, &to)?;
            }
        }
        Ok(())
    }

    /// Writes a file that may be run.
    pub(super) fn file(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.at.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("chmod {}", path.display()))
    }

    /// Packs all of it into the archive that a kernel unpacks before anything else.
    pub(super) fn pack(self, archive: &Path) -> Result<PathBuf> {
        let file = fs::File::create(archive).with_context(|| format!("create {}", archive.display()))?;
        let line = "busybox find . | busybox cpio --quiet -H newc -o";
        let status = command("sh").args(["-c", line]).current_dir(&self.at).stdout(file).status().context("sh")?;
        ensure!(status.success(), "{line}: {status}");
        Ok(archive.to_path_buf())
    }

    fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.at.join(name.trim_start_matches('/'));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(dir)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display())).map(drop)
}

/// Makes a directory empty, whatever was there.
pub(super) fn empty(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("empty {}", dir.display()));
        }
        _ => {}
    }
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))
}
