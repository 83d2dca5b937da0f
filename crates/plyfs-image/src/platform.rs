//! What an image runs on: an operating system, an architecture, sometimes a variant of it, in the words of Go.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result, shown};
use crate::json::or_default;

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

    /// How well an image for `stated` suits this platform, 0 best; `None` when it is not one for it.
    ///
    /// The variants of amd64, arm and arm64 are levels: what was built for a lower one runs here as well, though less
    /// well the lower it is, and what was built for a higher one does not. Of other architectures, whose variants mean
    /// nothing to us, any will do where none is asked for.
    pub(crate) fn rank(&self, stated: &Stated) -> Option<u32> {
        let (architecture, variant) = normal(&stated.architecture, stated.variant.as_deref());
        if !matches!(stated.os.as_str(), "" | OS) || architecture != self.architecture {
            return None;
        }
        if variant == self.variant {
            return Some(0);
        }
        match (level(&architecture, self.variant.as_deref()), level(&architecture, variant.as_deref())) {
            (Some(ours), Some(theirs)) => ours.checked_sub(theirs),
            _ => self.variant.is_none().then_some(1),
        }
    }

    /// Says whether an image whose config states this may be one for this platform; many a config leaves the variant out.
    pub(crate) fn takes(&self, stated: &Stated) -> bool {
        let any = Stated { variant: stated.variant.clone().or_else(|| self.variant.clone()), ..stated.clone() };
        self.rank(&any).is_some()
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
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(expecting = "an object")]
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

    /// Says whether it is for no machine at all, as what is about an image and none.
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From outside: on one line, and no longer than a platform is.
        let part = |text: &str| text.escape_debug().take(MAX_PART).collect::<String>();
        let named = |name: &str, text: &str| if text.is_empty() { format!("(no {name})") } else { part(text) };
        write!(f, "{}/{}", named("os", &self.os), named("architecture", &self.architecture))?;
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

/// The level that a variant, as [`normal`] has it, is of its architecture; `None` where variants are no levels.
fn level(architecture: &str, variant: Option<&str>) -> Option<u32> {
    match (architecture, variant) {
        ("amd64", None) => Some(1),
        ("arm", None) => Some(7),
        ("arm64", None) => Some(8),
        ("amd64" | "arm" | "arm64", Some(variant)) => variant.strip_prefix('v')?.parse().ok(),
        _ => None,
    }
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
    fn a_platform_ranks_its_own_images_in_any_spelling_and_lower_variants_behind() {
        let stated = |os: &str, architecture: &str, variant: Option<&str>| Stated {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(Into::into),
        };
        for (asked, stated, expected) in [
            ("arm64", stated("linux", "arm64", Some("v8")), Some(0)),
            ("arm64", stated("linux", "arm64", Some("v9")), None),
            ("amd64", stated("linux", "x86_64", Some("v1")), Some(0)),
            ("amd64", stated("linux", "amd64", Some("v2")), None),
            ("linux/amd64/v3", stated("linux", "amd64", None), Some(2)),
            ("linux/amd64/v3", stated("linux", "amd64", Some("v3")), Some(0)),
            ("arm", stated("linux", "arm", Some("v7")), Some(0)),
            ("arm", stated("linux", "arm", Some("v5")), Some(2)),
            ("arm", stated("linux", "arm", Some("v8")), None),
            ("linux/arm/v7", stated("linux", "arm", None), Some(0)),
            ("linux/arm/v6", stated("linux", "arm", Some("v7")), None),
            ("linux/arm/v6", stated("linux", "arm", Some("odd")), None),
            ("ppc64le", stated("linux", "ppc64le", Some("power9")), Some(1)),
            ("linux/ppc64le/power9", stated("linux", "ppc64le", None), None),
            ("amd64", stated("", "amd64", None), Some(0)),
            ("amd64", stated("windows", "amd64", None), None),
            ("amd64", stated("", "", None), None),
        ] {
            assert_eq!(asked.parse::<Platform>().expect(asked).rank(&stated), expected, "{asked} of {stated}");
        }
        let newer: Platform = "linux/amd64/v3".parse().expect("a platform");
        assert!(newer.takes(&stated("linux", "amd64", None)), "a config may leave its variant out");
        assert!(!newer.takes(&stated("linux", "amd64", Some("v4"))));
    }
}
