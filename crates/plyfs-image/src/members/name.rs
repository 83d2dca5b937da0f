//! Names of members as keys: one spelling each, and none that climbs.

use crate::error::{Error, ErrorKind, Result, shown};

/// Takes out `.` parts, doubled and leading slashes; a `..` part is refused.
///
/// Of the archive's root, as tar(1) calls it `./`, nothing is left: the name is empty.
pub(super) fn normalise(name: &[u8]) -> Result<Vec<u8>> {
    let climbs = || Error::new(ErrorKind::InvalidInput, format!("member {} climbs out with ..", shown(name)));
    join(Vec::new(), name, false).ok_or_else(climbs)
}

/// Resolves the target of a symbolic link called `link` within the archive; above its root is refused.
pub(super) fn resolve(link: &[u8], target: &[u8]) -> Result<Vec<u8>> {
    let base = match target {
        [b'/', ..] => Vec::new(),
        _ => link.rsplitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default().to_vec(),
    };
    let climbs = || Error::new(ErrorKind::InvalidInput, format!("link {} leads out of the archive", shown(link)));
    join(base, target, true).ok_or_else(climbs)
}

/// Appends the parts of `path`; `None` when a `..` is not allowed or would leave the root.
fn join(mut base: Vec<u8>, path: &[u8], up: bool) -> Option<Vec<u8>> {
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if !up || base.is_empty() => return None,
            b".." => base.truncate(base.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            part => {
                if !base.is_empty() {
                    base.push(b'/');
                }
                base.extend_from_slice(part);
            }
        }
    }
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_is_one_key() {
        for name in ["a/b", "./a/b", "a//b", "/a/./b", "a/b/"] {
            assert_eq!(normalise(name.as_bytes()).expect("a name"), b"a/b", "{name}");
        }
    }

    #[test]
    fn the_name_of_the_root_is_empty() {
        for name in ["", ".", "./", "/", ".//."] {
            assert_eq!(normalise(name.as_bytes()).expect("a name"), b"", "{name:?}");
        }
    }

    #[test]
    fn a_name_that_climbs_is_refused_and_named() {
        for name in ["../x", "a/../../x", "a/..", ".."] {
            let error = normalise(name.as_bytes()).expect_err("climbs");
            assert_eq!((error.kind(), error.to_string().contains(name)), (ErrorKind::InvalidInput, true));
        }
    }

    #[test]
    fn a_link_is_resolved_from_where_it_stands() {
        assert_eq!(resolve(b"one/layer.tar", b"../two/layer.tar").expect("inside"), b"two/layer.tar");
        assert_eq!(resolve(b"layer", b"other").expect("inside"), b"other");
        assert_eq!(resolve(b"a/b/c", b"/d").expect("inside"), b"d");
        for (link, target) in [("layer", "../x"), ("a/layer", "../../x"), ("a/layer", "/../x")] {
            assert_eq!(
                resolve(link.as_bytes(), target.as_bytes()).expect_err("outside").kind(),
                ErrorKind::InvalidInput,
                "{link} -> {target}"
            );
        }
    }
}
