//! `mount` and `umount`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use plyfs::{ErrorKind, MountOptions, MountSpec, Unmount};
use serde::Serialize;

use crate::cli::{Mount, Umount};
use crate::commands::shapes::path_text;
use crate::exit::{Hinted, Result};
use crate::session::{self, Session};

#[derive(Debug, Serialize)]
struct Mounted {
    name: String,
    path: String,
}

/// Mounts a container for good and prints where.
pub(crate) fn mount(session: &mut Session, args: &Mount) -> Result<()> {
    let store = session.open()?;
    let container = session::container(&store, &args.name)?;
    if args.print {
        return print(session, &container.mount_spec()?);
    }
    let mut options = MountOptions::new();
    if let Some(at) = &args.at {
        options = options.at(at);
    }
    let elsewhere =
        format!("`plyfs umount {}` ends that mount, with --detach also in another namespace", container.name());
    let mount = container.mount(&options).hint_on(ErrorKind::InUse, elsewhere)?;
    let path = mount.path().to_owned();
    mount.keep();
    let mounted = Mounted { name: container.name().to_string(), path: path_text(&path) };
    session.out.answer(path.as_os_str().as_bytes(), &mounted)
}

#[derive(Debug, Serialize)]
struct Spec {
    lower: Vec<String>,
    upper: String,
    work: String,
    options: String,
    target: String,
}

/// Prints what a program needs to mount the container itself.
fn print(session: &mut Session, spec: &MountSpec) -> Result<()> {
    if session.out.is_json() {
        return session.out.json(&Spec {
            lower: spec.lower.iter().map(|lower| path_text(lower)).collect(),
            upper: path_text(&spec.upper),
            work: path_text(&spec.work),
            options: spec.options.to_string_lossy().into_owned(),
            target: path_text(&spec.target),
        });
    }
    let lowers: Vec<&OsStr> = spec.lower.iter().map(|lower| lower.as_os_str()).collect();
    let lowers = lowers.join(OsStr::new(":"));
    let fields: [(&str, &OsStr); 4] = [
        ("lower", &lowers),
        ("upper", spec.upper.as_os_str()),
        ("work", spec.work.as_os_str()),
        ("options", &spec.options),
    ];
    fields.into_iter().try_for_each(|(key, value)| {
        let mut line = OsString::from(format!("{key}="));
        line.push(value);
        session.out.line(line.as_bytes())
    })
}

/// Ends a container's mount.
pub(crate) fn umount(session: &mut Session, args: &Umount) -> Result<()> {
    let store = session.open()?;
    let container = session::container(&store, &args.name)?;
    let how = if args.detach { Unmount::Detach } else { Unmount::Plain };
    let hint = format!("`plyfs umount --detach {}` ends it all the same", container.name());
    container.unmount(how).hint_on(ErrorKind::Busy, &hint).hint_on(ErrorKind::InUse, &hint)
}
