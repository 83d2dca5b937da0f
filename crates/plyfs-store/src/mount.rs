//! Mounts: containers and read-only layers made visible, and who may end them.
//!
//! A container has at most one overlay mount: the kernel would allow two over one upper and leaves their
//! behaviour undefined (rule 65). Three locks stand in its directory, always taken in this order:
//!
//! | lock | on | held |
//! |---|---|---|
//! | transition | the directory itself, exclusive | while mounting, unmounting, removing |
//! | guards | `work/`, shared | by every [`Mount`] while it lives |
//! | readers | `diff/`, shared | while the content is read |
//!
//! Where it is mounted stands in an attribute of the directory: the boot, the mount namespace, the mount's id
//! and its path. Mounts are no records: the attribute is a hint that the kernel's answer confirms.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plyfs_link::LayerId;
use plyfs_mount::{Engine, Feature, Plan, Stack};
use plyfs_sys::fs;
use plyfs_sys::lock::{Lock, Sharing};
use rustix::fs::{Mode, OFlags};

use crate::directory::Footing;
use crate::mark::{self, Mark, Seen, Sight};
use crate::record::Ancestor;
use crate::{Container, Error, ErrorKind, Layer, Result, Store, layout};

mod guard;
mod options;
mod unmount;

pub use guard::Mount;
pub use options::{MountOptions, MountSpec};
pub use plyfs_mount::Unmount;

/// How many milliseconds are waited for what is on its way out, each time it is still seen: the mount of a process that was
/// killed, the mounts of a namespace that ended, a look that somebody takes at a mount that is to end.
const PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 32];

impl Layer {
    /// Makes the layer and all below it visible at an existing directory, read-only.
    ///
    /// The layer cannot be removed while the guard lives.
    pub fn mount(&self, at: impl AsRef<Path>) -> Result<Mount> {
        self.store.require_root("mounting")?;
        let held = self.store.hold(self.id())?;
        let stack = self.store.stack(&self.store.ancestors(Some(self.id()))?, None)?;
        let place = Place::at(at.as_ref())?;
        let named = |e| Error::mount(format!("layer {}", self.id()), e);
        let options = plyfs_mount::MountOptions::default().read_only(true);
        plyfs_mount::plan(stack, &options, self.store.features()?)
            .and_then(|plan| plan.mount_on(&place.directory))
            .map_err(named)?;
        // Without a guard it would be a mount that nobody ends.
        let id = mark::mount_id_while_mounted(&place.path)
            .inspect_err(|_| drop(plyfs_mount::unmount(&place.path, Unmount::Detach)))?;
        Ok(Mount { path: place.path, made: true, of: Some(guard::Of::Layer { _held: held, id }) })
    }
}

/// Where a mount goes: an existing directory, held open from the check of its path to the mount.
struct Place {
    /// Absolute.
    path: PathBuf,
    directory: OwnedFd,
    /// Says whether it is the container's own `merged`.
    is_own: bool,
}

impl Place {
    fn at(path: &Path) -> Result<Self> {
        let named = |e| Error::call(format!("mount at {}", path.display()), e);
        let directory = fs::open_dir(path).map_err(named)?;
        let path = std::fs::read_link(fs::proc_path(&directory))
            .map_err(|e| Error::new(ErrorKind::Io, format!("mount at {}", path.display())).because(e))?;
        Ok(Self { path, directory, is_own: false })
    }
}

fn by_link(layer: &Ancestor) -> String {
    format!("{}/{}", plyfs_link::LINK_DIR, layer.link)
}

fn by_directory(layer: &Ancestor) -> String {
    format!("{}/{}", layer.id, plyfs_link::DIFF)
}

impl Store {
    /// The stack of these layers, uppermost first, below a container's own, for this library to mount.
    fn stack(&self, chain: &[Ancestor], upper: Option<LayerId>) -> Result<Stack> {
        // Opened one by one, a layer is found in half the time without the link; in a page of options or in the mount table
        // a link takes less room.
        let is_opened = self.features()?.has(Feature::LAYER_FD);
        self.stack_of(chain.iter().map(|layer| if is_opened { by_directory(layer) } else { by_link(layer) }), upper)
    }

    /// The stack of these lowers below a container's own directory.
    fn stack_of(&self, lowers: impl ExactSizeIterator<Item = String>, upper: Option<LayerId>) -> Result<Stack> {
        let count = lowers.len();
        let stack = Stack::new(self.0.home.clone(), self.path().join(layout::HOME)).lowers(lowers).empty(layout::EMPTY);
        let needed = if upper.is_some() { 1 } else { 2 };
        if count < needed {
            let made = fs::ensure_dir_at(self.home(), layout::EMPTY, Mode::from_raw_mode(0o755));
            made.map_err(|e| self.explain("mount", e))?;
        }
        Ok(match upper {
            None => stack,
            Some(id) => stack.upper(format!("{id}/{}", plyfs_link::DIFF), format!("{id}/{}", plyfs_link::WORK)),
        })
    }
}

impl Container {
    /// Mounts it; a mounted one gives another guard on the same mount.
    ///
    /// 1. Its directories where a crash took them, and the mount point where that is its own `merged`.
    /// 2. The mount, which has no place yet and ends with its process.
    /// 3. The mark with its id: from now on nobody makes a second one unseen.
    /// 4. Its place: the moment it can be seen.
    ///
    /// The classic engine (kernels before Linux 6.7) makes mounts in their place only: 3 without an id, 4, and
    /// 5. the mark with its id. Nothing of it is durable: a reboot ends every mount.
    ///
    /// Mounting at another place than where it is mounted, or where another mount namespace has it mounted, is
    /// [`ErrorKind::InUse`] and names the place.
    #[doc(alias = "Get")]
    pub fn mount(&self, options: &MountOptions) -> Result<Mount> {
        self.store.require_root("mounting")?;
        let wanted = options.at.as_deref().map(Place::at).transpose()?;
        let transition = self.claim()?;
        if let Some(seen) = self.seen(transition.as_file())? {
            if seen.sight != Sight::Open || wanted.as_ref().is_some_and(|wanted| wanted.path != seen.path) {
                return Err(self.is_at(&seen));
            }
            return self.guard(&transition, seen.path, false);
        }
        let footing = match &self.made_from {
            Some(footing) if self.has_upper(&transition)? => Arc::clone(footing),
            _ => self.ensure_directories(&transition)?,
        };
        let place = match wanted {
            Some(place) => place,
            None => self.make_merged(&transition)?,
        };
        self.store.reached("mount 1");
        let made = self.mount_at(&transition, &footing, place, options);
        if made.is_err() {
            self.drop_merged(&transition);
        }
        made
    }

    fn mount_at(&self, transition: &Lock, footing: &Footing, place: Place, options: &MountOptions) -> Result<Mount> {
        let read_only = options.read_only.unwrap_or(self.is_read_only());
        let flags = options.flags.clone().read_only(read_only);
        let stack = self.store.stack(&footing.chain, Some(self.id()))?;
        let plan = plyfs_mount::plan(stack, &flags, self.store.features()?).map_err(|e| self.not_mounted(e))?;
        let attached = self.attach(transition.as_file(), &plan, &place);
        let guarded = attached.and_then(|()| {
            let guarded = self.guard(transition, place.path.clone(), true);
            // Without a guard it would be a mount that nobody ends.
            guarded.inspect_err(|_| drop(plyfs_mount::unmount(&place.path, Unmount::Detach)))
        });
        if guarded.is_err() {
            let _ = Mark::remove(transition.as_file());
        }
        guarded
    }

    /// Makes the mount and marks it, and leaves none on error.
    ///
    /// The mark is there before anybody can see the mount: were it the other way round, a killed process could leave a mount
    /// nobody knows of, and the next one would put a second over the same upper.
    fn attach(&self, directory: &OwnedFd, plan: &Plan, place: &Place) -> Result<()> {
        let mark = Mark::about_to_mount(directory, (!place.is_own).then_some(&place.path))?;
        if plan.engine() == Engine::Descriptor {
            // Until it has its place it ends with its descriptor, so the mark can tell its id from the first.
            let mount = plan.mount_detached().map_err(|e| self.not_mounted(e))?;
            self.store.reached("mount 2");
            mark.of(&mount)?.write(directory)?;
            self.store.reached("mount 3");
            plyfs_mount::attach(&mount, &place.directory).map_err(|e| self.not_mounted(e))?;
            self.store.reached("mount 4");
            return Ok(());
        }
        mark.write(directory)?;
        self.store.reached("mount 3");
        plan.mount_on(&place.directory).map_err(|e| self.not_mounted(e))?;
        self.store.reached("mount 4");
        let marked = mark.made(&place.path).and_then(|mark| mark.write(directory));
        marked.inspect_err(|_| drop(plyfs_mount::unmount(&place.path, Unmount::Detach)))?;
        self.store.reached("mount 5");
        Ok(())
    }

    fn not_mounted(&self, error: plyfs_mount::Error) -> Error {
        let what = format!("container {}", self.name());
        // What is not there may be a layer below, which is damage.
        if error.kind() == ErrorKind::NotFound
            && let Err(lost) = self.store.trees(self.parent())
        {
            return Error::new(lost.kind(), what).because(lost);
        }
        Error::mount(what, error)
    }

    fn guard(&self, transition: &Lock, path: PathBuf, made: bool) -> Result<Mount> {
        let work = fs::open_dir_at(transition.as_file(), plyfs_link::WORK).map_err(|e| self.failed(e))?;
        let guard = Lock::take(work, Sharing::Shared).map_err(|e| self.failed(e))?;
        Ok(Mount { path, made, of: Some(guard::Of::Container { container: Box::new(self.clone()), guard }) })
    }

    /// What a runtime needs to mount it without this library; nothing is mounted.
    ///
    /// Whoever mounts it so has to keep the rule of one mount for one container.
    pub fn mount_spec(&self) -> Result<MountSpec> {
        let chain = &self.ensure_spec_directories()?.chain;
        let home = self.store.path().join(layout::HOME);
        let stack = self.store.stack_of(chain.iter().map(by_link), Some(self.id()))?;
        let flags = plyfs_mount::MountOptions::default().read_only(self.is_read_only());
        let plan = plyfs_mount::plan(stack, &flags, self.store.features()?).map_err(|e| self.not_mounted(e))?;
        Ok(MountSpec {
            lower: chain.iter().map(|layer| home.join(plyfs_link::LINK_DIR).join(layer.link.as_str())).collect(),
            upper: self.path().join(plyfs_link::DIFF),
            work: self.path().join(plyfs_link::WORK),
            target: self.path().join(plyfs_link::MERGED),
            options: plan.options(),
        })
    }

    fn ensure_spec_directories(&self) -> Result<Arc<Footing>> {
        self.store.require_root("mounting")?;
        self.ensure_directories(&self.claim()?)
    }

    /// Where it is mounted, in whatever mount namespace.
    pub fn mounted_at(&self) -> Result<Option<PathBuf>> {
        let directory = match self.directory() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        Ok(self.seen(&directory)?.map(|seen| seen.path))
    }

    /// Where it is mounted, in whatever mount namespace.
    pub(crate) fn seen(&self, directory: &OwnedFd) -> Result<Option<Seen>> {
        let Some(mark) = Mark::read(directory)? else { return Ok(None) };
        mark.confirm(self.id(), self.path().join(plyfs_link::MERGED), || self.is_in_use(directory))
    }

    /// Says whether the kernel has its upper directory in use. What a process that was killed had mounted, and the mounts of a
    /// namespace whose last process has ended, are let go a moment later.
    fn is_in_use(&self, directory: &OwnedFd) -> Result<bool> {
        let upper = match fs::open_at(directory, plyfs_link::DIFF, OFlags::PATH, Mode::empty()) {
            Err(error) if error.is_not_found() => return Ok(false),
            result => result.map_err(|e| self.failed(e))?,
        };
        lasts(|| plyfs_mount::is_upper_in_use(&upper).map_err(|e| self.not_mounted(e)))
    }

    fn make_merged(&self, transition: &Lock) -> Result<Place> {
        let home = transition.as_file();
        let made = fs::ensure_dir_at(home, plyfs_link::MERGED, Mode::RWXU);
        let directory = made.and_then(|()| fs::open_at(home, plyfs_link::MERGED, OFlags::PATH, Mode::empty()));
        let directory = directory.map_err(|e| self.failed(e))?;
        Ok(Place { path: self.path().join(plyfs_link::MERGED), directory, is_own: true })
    }
}

/// Says whether something stays so for longer than it takes what is on its way out to be gone.
fn lasts(is_so: impl Fn() -> Result<bool>) -> Result<bool> {
    for pause in PAUSES {
        if !is_so()? {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(pause));
    }
    is_so()
}
