//! Names in archives, made into paths below the root.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::archive::Limits;
use crate::layout::WHITEOUT_PREFIX;
use crate::{Error, ErrorKind, Result};

/// How long the name of a file may be: `linux/limits.h`.
const NAME_MAX: usize = 255;

/// A path below the root: components joined by single slashes, none of them `.` or `..`; empty for the root itself.
///
/// Leading slashes and `./` are dropped, `..` takes a component back as every reader of archives does; one that would
/// leave the root is refused rather than cut off. So is a name that no file can have: of what the kernel never sees, such as
/// whiteouts in a directory that is not there, paths would have no bound but that of the archive's headers.
pub(crate) fn clean(name: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    let mut depth = 0;
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." if path.is_empty() => return Err(invalid(name, "leaves the root")),
            b".." => {
                path.truncate(parent(&path).len());
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == limits.depth {
            return Err(too_deep(name, limits.depth));
        }
        // What a whiteout hides may have a name of full length.
        let most = NAME_MAX + if component.starts_with(WHITEOUT_PREFIX) { WHITEOUT_PREFIX.len() } else { 0 };
        if component.len() > most {
            let length = component.len();
            return Err(invalid(name, &format!("has a file name too long, {length} bytes; {most} are possible")));
        }
        depth += 1;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(component);
    }
    Ok(path)
}

/// Refuses what is no name of one file.
pub(crate) fn ensure_name(name: &OsStr) -> Result<()> {
    match name.as_bytes() {
        b"" | b"." | b".." => {}
        bytes if bytes.contains(&b'/') => {}
        _ => return Ok(()),
    }
    Err(Error::new(ErrorKind::InvalidInput, format!("{name:?} is no name of a file")))
}

/// Everything before the last slash; empty where there is none.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    split(path).0
}

/// Parent and last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

/// The path of a name in a directory.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// A path in a message: quoted, on one line, cut where nobody would read on.
pub(crate) fn quoted(name: &[u8]) -> String {
    const MOST: usize = 256;
    match name.get(..MOST) {
        Some(head) => format!("\"{}\"...", head.escape_ascii()),
        None => format!("\"{}\"", String::from_utf8_lossy(name).escape_debug()),
    }
}

pub(crate) fn too_deep(name: &[u8], most: usize) -> Error {
    invalid(name, &format!("is deeper than Limits::depth, {most}"))
}

pub(crate) fn invalid(name: &[u8], what: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{} {what}", quoted(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_below_the_root_or_are_refused() {
        let table: [(&str, Option<&str>); 12] = [
            ("a/b", Some("a/b")),
            ("./a", Some("a")),
            ("/a", Some("a")),
            ("//a//b/", Some("a/b")),
            ("./", Some("")),
            ("/", Some("")),
            ("a/../b", Some("b")),
            ("a/./b/..", Some("a")),
            ("..a/...", Some("..a/...")),
            ("..", None),
            ("../a", None),
            ("a/../../b", None),
        ];
        for (name, expected) in table {
            let path = clean(name.as_bytes(), &Limits::default()).ok();
            assert_eq!(path.as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_a_file_may_have_it_and_a_whiteout_of_it_longer() {
        let longest = "n".repeat(NAME_MAX);
        for (name, fits) in [
            (format!("d/{longest}/f"), true),
            (format!("d/{longest}n/f"), false),
            (format!("d/.wh.{longest}"), true),
            (format!("d/.wh.{longest}n"), false),
        ] {
            assert_eq!(clean(name.as_bytes(), &Limits::default()).is_ok(), fits, "{name}");
        }
    }
}
