//! OverlayFS mounts: what the kernel can do, what to ask of it, asking, and ending it.
//!
//! A [`Stack`] names the directories of one mount below a common home. [`plan()`] decides, without touching the kernel, how
//! a kernel with the given [`Features`] mounts it under the given [`MountOptions`]. The [`Plan`] is then mounted, or
//! printed for a person or a runtime that mounts by itself:
//!
//! ```
//! use plyfs_mount::{Engine, Feature, Features, MountOptions, Stack, plan};
//!
//! let home = plyfs_sys::fs::open_dir("/")?.into();
//! let stack = Stack::new(home, "/store").lowers(["l/APP", "l/BASE"]).upper("c1/diff", "c1/work");
//!
//! let modern = Features::assume(Feature::all());
//! let container = plan(stack.clone(), &MountOptions::new().nosuid(true), &modern)?;
//! assert_eq!(container.engine(), Engine::Descriptor);
//! assert_eq!(
//!     container.options().to_str(),
//!     Some(
//!         "nosuid,lowerdir=/store/l/APP:/store/l/BASE,upperdir=/store/c1/diff,workdir=/store/c1/work,\
//!          redirect_dir=off,metacopy=off,index=off"
//!     ),
//! );
//!
//! let older = modern.without(Feature::APPEND);
//! assert_eq!(plan(stack, &MountOptions::new(), &older)?.engine(), Engine::Classic);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! There are two engines behind one plan. The descriptor engine builds a mount call by call, one layer at a time, and can
//! hand it out detached. The classic engine is `mount(2)`, whose options share one page: short names relative to the home
//! while they fit, numbers of descriptors beyond. Both run the same stacks and give the same mounts.
//!
//! [`mountinfo`] reads what is mounted, [`unmount()`] and [`detach_everywhere`] end it.
//!
//! # Guarantees
//!
//! - `redirect_dir`, `metacopy` and `index` are always stated: an upper directory is readable by itself (rules 25–27).
//! - A mount appears whole, with `ro`, `nosuid`, `nodev` and `noexec` in force, or not at all.
//! - The caller's current directory, umask, signals and limits are not touched; there is no state of the process's own.
//! - Layers may have any bytes in their home's path, and the home may be moved between mounts.
//! - Up to [`MAX_LOWERS`] lower layers, through either engine.
//!
//! # Limits
//!
//! - Mounting needs `CAP_SYS_ADMIN` over the mount namespace; planning and reading the table do not.
//! - The classic engine needs `/proc`, and beyond about 138 layers as many descriptors as there are layers.
//! - Two mounts over one upper directory are undefined (rule 65); preventing them is the caller's part.

mod aside;
mod backing;
mod classic;
mod descriptor;
mod error;
mod features;
mod in_use;
mod layout;
pub mod mountinfo;
mod options;
mod plan;
mod stack;
mod target;
mod unmount;

pub use backing::{check_types, check_upper};
pub use error::{Error, ErrorKind, Result};
pub use features::{Feature, Features};
pub use in_use::is_upper_in_use;
pub use layout::MAX_LOWERS;
pub use options::MountOptions;
pub use plan::{Engine, Plan, plan};
pub use stack::Stack;
pub use target::attach;
pub use unmount::{Unmount, detach_everywhere, unmount, unmount_at};
