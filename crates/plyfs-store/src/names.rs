//! The names people give: image references and container names, validated once.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// A name of an image with its tag, such as `docker.io/library/debian:12`.
///
/// Kept as given; `:latest` is added when there is no tag. The grammar is that of the distribution project:
/// an optional registry host, lower-case path parts, a tag of up to 128 characters. What reads as a whole id, `sha256:…`
/// or 64 hex digits, is no name: an archive that came with such a one would be found for the image of that id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    text: Box<str>,
    repository: usize,
}

impl Reference {
    const MAX: usize = 255;
    const MAX_TAG: usize = 128;

    /// The whole name with its tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without its tag.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.text[..self.repository]
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.text[self.repository + 1..]
    }

    /// A name out of the journal: its grammar was checked before it came there, its tag is all that is looked for.
    pub(crate) fn recorded(text: &str) -> Option<Self> {
        let repository = text.rfind(':')?;
        Some(Self { text: text.into(), repository })
    }

    /// The same name below a prefix such as `localhost/`.
    pub(crate) fn below(&self, prefix: &str) -> Self {
        Self { text: format!("{prefix}{}", self.text).into(), repository: prefix.len() + self.repository }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| {
            let shown: String = text.chars().take(80).collect();
            Error::new(ErrorKind::InvalidInput, format!("image name {shown:?} {why}"))
        };
        if text.contains('@') {
            return Err(wrong("carries a digest; only name:tag can be given"));
        }
        let (repository, tag) = match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (text, None),
        };
        if repository.len() > Self::MAX || !is_repository(repository.as_bytes()) {
            return Err(wrong("is not [host[:port]/]path[:tag] in lower case"));
        }
        if tag.is_some_and(|tag| !is_tag(tag.as_bytes())) {
            return Err(wrong("has a tag that is not 1 to 128 of A-Z a-z 0-9 _ . -"));
        }
        if is_id(repository.as_bytes()) {
            return Err(wrong("reads as an id"));
        }
        let whole = if tag.is_some() { text.into() } else { format!("{text}:latest").into() };
        Ok(Self { text: whole, repository: repository.len() })
    }
}

// Every look-up by name parses one: bytes, since all that is allowed is ASCII.

/// Says whether a name without its tag begins as an id does, or is one.
fn is_id(repository: &[u8]) -> bool {
    let is_hex = |c: &u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    repository == b"sha256" || (repository.len() == 64 && repository.iter().all(is_hex))
}

fn is_tag(tag: &[u8]) -> bool {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    (1..=Reference::MAX_TAG).contains(&tag.len())
        && is_word(tag[0])
        && tag.iter().all(|&c| is_word(c) || matches!(c, b'.' | b'-'))
}

fn is_repository(repository: &[u8]) -> bool {
    let host = repository.iter().position(|c| *c == b'/').filter(|end| is_host(&repository[..*end]));
    let path = host.map_or(repository, |end| &repository[end + 1..]);
    path.split(|c| *c == b'/').all(is_path_part)
}

/// Says whether a first part can only be a host: `localhost`, or something with a dot, a port or capitals.
fn is_host(part: &[u8]) -> bool {
    let colon = part.iter().position(|c| *c == b':');
    let (name, port) = colon.map_or((part, None), |colon| (&part[..colon], Some(&part[colon + 1..])));
    let is_named = name == b"localhost" || port.is_some() || name.iter().any(|&c| c == b'.' || c.is_ascii_uppercase());
    is_named
        && port.is_none_or(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
        && name.split(|c| *c == b'.').all(|label| {
            !matches!(label, [] | [b'-', ..] | [.., b'-'])
                && label.iter().all(|&c| c.is_ascii_alphanumeric() || c == b'-')
        })
}

/// Lower-case alphanumeric words joined by `.`, `_`, `__` or any number of `-`.
fn is_path_part(part: &[u8]) -> bool {
    let is_word = |c: &u8| matches!(c, b'a'..=b'z' | b'0'..=b'9');
    let mut rest = part;
    loop {
        let word = rest.iter().take_while(|c| is_word(c)).count();
        if word == 0 || word == rest.len() {
            return word > 0;
        }
        rest = &rest[word..];
        let hyphens = rest.iter().take_while(|c| **c == b'-').count();
        rest = match rest {
            _ if hyphens > 0 => &rest[hyphens..],
            [b'_', b'_', rest @ ..] | [b'.' | b'_', rest @ ..] => rest,
            _ => return false,
        };
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({self})")
    }
}

/// A container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}`, unique in its store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName(Box<str>);

impl ContainerName {
    const MAX: usize = 128;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A made-up name: the last path part of the image's name and six base32 letters.
    pub(crate) fn made_up(image: Option<&Reference>) -> Self {
        let stem = image.and_then(|name| name.repository().rsplit('/').next()).unwrap_or("container");
        let stem: String = stem.chars().take(Self::MAX - 7).collect();
        let letters = plyfs_link::LinkId::random().as_str()[..6].to_lowercase();
        Self(format!("{stem}-{letters}").into())
    }

    /// The name of a container whose record was lost, from the id of its own layer.
    pub(crate) fn rebuilt(layer: plyfs_link::LayerId) -> Self {
        Self(format!("rebuilt-{}", layer.short()).into())
    }
}

impl FromStr for ContainerName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let well_formed = (1..=Self::MAX).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if well_formed {
            return Ok(Self(text.into()));
        }
        let shown: String = text.chars().take(80).collect();
        let message = format!("container name {shown:?} is not a letter or digit and up to 127 of A-Z a-z 0-9 _ . -");
        Err(Error::new(ErrorKind::InvalidInput, message))
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_kept_as_given_and_get_a_tag() {
        for (given, kept) in [
            ("svc", "svc:latest"),
            ("svc:1", "svc:1"),
            ("localhost/svc:1", "localhost/svc:1"),
            ("localhost:5000/a/b_c", "localhost:5000/a/b_c:latest"),
            ("docker.io/library/debian:12-slim", "docker.io/library/debian:12-slim"),
            ("a__b/c---d.e:V_1.2-x", "a__b/c---d.e:V_1.2-x"),
            ("Host/a", "Host/a:latest"),
            ("h-1.x:0/a.b", "h-1.x:0/a.b:latest"),
            ("a/localhost/b:_", "a/localhost/b:_"),
        ] {
            let reference: Reference = given.parse().expect(given);
            assert_eq!(reference.as_str(), kept);
            assert_eq!(format!("{}:{}", reference.repository(), reference.tag()), kept);
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        let long = "a".repeat(256);
        for bad in [
            "",
            ":",
            ":1",
            "a:",
            "A",
            "a/B",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "a b",
            "a:b c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a@sha256:00",
            "a:\n",
            "a:.x",
            "host.:1/a",
            "host:/a",
            "host:1a/a",
            ":1/a",
            "-host.x/a",
            "host-.x/a",
            "\u{e4}",
            "a/b\u{e4}",
            "a:\u{e4}",
            "a._b",
            "a/",
            "x.y/",
            &long,
        ] {
            assert_eq!(bad.parse::<Reference>().expect_err(bad).kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    #[test]
    fn what_reads_as_an_id_is_no_name() {
        let hex = "0f".repeat(32);
        for bad in [format!("sha256:{hex}"), "sha256:1".into(), "sha256".into(), hex.clone(), format!("{hex}:1")] {
            let error = bad.parse::<Reference>().expect_err("an id");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
            assert!(error.to_string().contains("reads as an id"), "{error}");
        }
        for good in [format!("x/{hex}"), format!("a:{}", &hex), hex[1..].to_owned(), "a/sha256:1".into()] {
            assert!(good.parse::<Reference>().is_ok(), "{good}");
        }
    }

    #[test]
    fn container_names_cannot_be_paths_or_options() {
        assert!("web-1".parse::<ContainerName>().is_ok());
        let long = "a".repeat(129);
        for bad in ["", ".", "..", "-x", "a/b", "a b", "\u{e4}", &long] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_made_up_name_comes_from_the_images_last_path_part() {
        let image = "docker.io/library/debian:12".parse().expect("a reference");
        let name = ContainerName::made_up(Some(&image));
        assert!(name.as_str().starts_with("debian-"), "{name}");
        assert_eq!(name.as_str().parse::<ContainerName>().expect("well formed"), name);
    }
}
