//! What an image runs on: an operating system, an architecture, sometimes a variant of it, in the words of Go.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result, shown};
use crate::manifest::or_default;

/// The operating system whose images are stacked here.
const OS: &str = "linux";
/// The longest part of a platform that is read.
const MAX_PART: usize = 64;

/// A platform to choose an image by: `linux/arm64`, `linux/arm/v7`, or the architecture alone.
///
/// ```
/// use plyfs_image::Platform;
///
/// let platform: Platform = "aarch64".parse()?;
/// assert_eq!(platform.to_string(), "linux/arm64");
/// # Ok::<(), plyfs_image::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// This machine's.
    #[must_use]
    pub fn host() -> Self {
        Self { architecture: host_architecture().to_owned(), variant: None }
    }

    /// The architecture in the words of Go: `amd64`, `arm64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Says whether an image for `stated` is one for this platform; without a variant of ours any of theirs will do.
    pub(crate) fn takes(&self, stated: &Stated) -> bool {
        let (architecture, variant) = normal(&stated.architecture, stated.variant.as_deref());
        stated.os == OS && architecture == self.architecture && (self.variant.is_none() || variant == self.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OS}/{}", self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// Reads `os/architecture/variant`, of which the architecture suffices; another system than Linux is
    /// [`ErrorKind::Unsupported`].
    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::new(ErrorKind::InvalidInput, format!("{} is no platform", shown(text)));
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.len() <= MAX_PART
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if !parts.iter().all(is_word) {
            return Err(malformed());
        }
        let (os, architecture, variant) = match parts[..] {
            [os] if os == OS => return Ok(Self::host()),
            [architecture] => (OS, architecture, None),
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(malformed()),
        };
        if !os.eq_ignore_ascii_case(OS) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("platform {}: images for linux alone", shown(text)),
            ));
        }
        let (architecture, variant) = normal(&architecture.to_ascii_lowercase(), variant);
        Ok(Self { architecture, variant })
    }
}

/// What a descriptor or a config states of its image.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Stated {
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    variant: Option<String>,
}

impl Stated {
    /// Says whether no architecture is stated: then the image may be for any.
    pub(crate) fn is_empty(&self) -> bool {
        self.architecture.is_empty()
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From outside: on one line, and no longer than a platform is.
        let part = |text: &str| text.escape_debug().take(MAX_PART).collect::<String>();
        write!(f, "{}/{}", part(&self.os), part(&self.architecture))?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{}", part(variant)))
    }
}

/// One spelling for each architecture, as containerd has them: the variant that an architecture has anyway goes.
fn normal(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let variant = variant.filter(|variant| !variant.is_empty());
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("amd64", Some("v1")) => ("amd64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("arm64", Some("v8" | "8")) => ("arm64", None),
        ("i386", _) => ("386", None),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("arm", Some("7")) => ("arm", Some("v7")),
        same => same,
    };
    (architecture.to_owned(), variant.map(str::to_owned))
}

/// This machine's architecture in the words of OCI, which are Go's.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        same => same, // arm, riscv64, s390x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_platform_is_one() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("Linux/AArch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), expected, "{text}");
        }
        assert_eq!("linux".parse::<Platform>().expect("this machine's"), Platform::host());
    }

    #[test]
    fn what_is_no_platform_or_none_of_ours_is_refused() {
        for text in ["", "/", "linux/", "/amd64", "linux/a/b/c", "linux/a b", &"a".repeat(65)] {
            assert_eq!(text.parse::<Platform>().expect_err(text).kind(), ErrorKind::InvalidInput, "{text}");
        }
        for text in ["windows/amd64", "darwin/arm64"] {
            assert_eq!(text.parse::<Platform>().expect_err(text).kind(), ErrorKind::Unsupported, "{text}");
        }
    }

    #[test]
    fn a_platform_takes_its_own_images_in_any_spelling() {
        let stated = |os: &str, architecture: &str, variant: Option<&str>| Stated {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        };
        let platform = |text: &str| text.parse::<Platform>().expect("a platform");
        assert!(platform("arm64").takes(&stated("linux", "arm64", Some("v8"))));
        assert!(platform("arm").takes(&stated("linux", "arm", Some("v7"))));
        assert!(platform("arm/v7".replace("arm/", "linux/arm/").as_str()).takes(&stated("linux", "arm", Some("v7"))));
        assert!(!platform("linux/arm/v6").takes(&stated("linux", "arm", Some("v7"))));
        assert!(!platform("amd64").takes(&stated("windows", "amd64", None)));
        assert!(!platform("amd64").takes(&stated("", "", None)));
    }
}
