//! Engine 2: `mount(2)`, for kernels or sandboxes without the descriptor interface.
//!
//! All options share one page. Short names relative to the home hold about 138 layers; beyond that every directory is
//! opened and named by its number, from a thread whose directory is the table of descriptors. 500 numbers fit with room
//! to spare, at the price of 500 descriptors during the call.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::mount::MsFlags;
use plyfs_sys::{CallError, fs};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::aside::{self, DESCRIPTORS, magic_path};
use crate::error::from_nix;
use crate::layout::{MAX_OPTIONS, OVERLAY};
use crate::options::MountOptions;
use crate::{Error, Plan, Result};

/// Makes the planned mount on `target`.
pub(crate) fn mount(plan: &Plan, target: BorrowedFd<'_>) -> Result<()> {
    let short = plan.short_options();
    let mounted = if short.len() <= MAX_OPTIONS {
        aside::within(&plan.stack.home, || call(plan, target, &short))
    } else {
        mount_by_number(plan, target)
    };
    mounted.map_err(|call| Error::mounting(plan.subject(), call))
}

/// Holds every lower open during the call; upper and work go through the home's own number.
fn mount_by_number(plan: &Plan, target: BorrowedFd<'_>) -> Result<(), CallError> {
    let open = |name| fs::open_beneath(&plan.stack.home, name, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty());
    let lowers = plan.lowers.iter().map(open).collect::<Result<Vec<OwnedFd>, _>>()?;
    let home = plan.stack.home.as_raw_fd().to_string();
    let options = plan.spell_with(lowers.iter().map(|lower| lower.as_raw_fd().to_string().into()), |name| {
        Path::new(&home).join(name).into()
    });
    if options.len() > MAX_OPTIONS {
        let subject = format!("{} bytes of options, a page holds {MAX_OPTIONS}", options.len());
        return Err(CallError::new("mount", subject, Errno::TOOBIG));
    }
    let table = fs::open_dir(DESCRIPTORS)?;
    aside::within(table, || call(plan, target, &options))
}

/// The one system call; relative names in `options` mean the calling thread's directory.
fn call(plan: &Plan, target: BorrowedFd<'_>, options: &OsStr) -> Result<(), CallError> {
    let mounted =
        nix::mount::mount(Some(OVERLAY), &magic_path(target), Some(OVERLAY), flags(&plan.options), Some(options));
    mounted.map_err(|errno| CallError::new("mount", options, from_nix(errno)))
}

fn flags(options: &MountOptions) -> MsFlags {
    let choices = [
        (options.read_only, MsFlags::MS_RDONLY),
        (options.nosuid, MsFlags::MS_NOSUID),
        (options.nodev, MsFlags::MS_NODEV),
        (options.noexec, MsFlags::MS_NOEXEC),
    ];
    choices.into_iter().filter_map(|(chosen, flag)| chosen.then_some(flag)).collect()
}
