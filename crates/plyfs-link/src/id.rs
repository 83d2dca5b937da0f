//! The two ids: 64 hexadecimal digits name a layer, 26 base32 characters its short link.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, ErrorKind};

/// The name of a layer's directory: 32 random bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId([u8; Self::BYTES]);

impl LayerId {
    /// The length of an id in bytes.
    pub const BYTES: usize = 32;
    /// The length of an id as text.
    pub const LEN: usize = 2 * Self::BYTES;

    /// Draws an id from the kernel's random source; it waits when that is not seeded yet, early in boot.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }

    /// The id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The first twelve digits, as people write them.
    #[must_use]
    pub fn short(&self) -> String {
        HEXLOWER.encode(&self.0[..6])
    }
}

impl FromStr for LayerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| malformed("layer id", text, "64 lower-case hexadecimal digits"))
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LayerId({self})")
    }
}

/// The name of a short link below `l/`: 130 random bits as 26 characters of RFC 4648 base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId([u8; Self::LEN]);

impl LinkId {
    /// The length of an id in bytes and as text.
    pub const LEN: usize = 26;

    /// Draws an id from the kernel's random source, as [`LayerId::random`] does.
    #[must_use]
    pub fn random() -> Self {
        let text = BASE32_NOPAD.encode(&random::<17>());
        let mut id = [0; Self::LEN];
        id.copy_from_slice(&text.as_bytes()[..Self::LEN]);
        Self(id)
    }

    /// The characters of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id holds base32 characters only")
    }
}

impl FromStr for LinkId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id: Option<[u8; Self::LEN]> = text.as_bytes().try_into().ok();
        id.filter(|id| id.iter().all(|c| matches!(c, b'A'..=b'Z' | b'2'..=b'7')))
            .map(Self)
            .ok_or_else(|| malformed("link id", text, "26 characters of A-Z and 2-7"))
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkId({self})")
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => panic!("getrandom(2) works on every kernel with OverlayFS, yet: {errno}"),
        }
    }
    bytes
}

fn malformed(what: &str, text: &str, wanted: &str) -> Error {
    let shown: String = text.chars().take(80).collect();
    Error::new(ErrorKind::InvalidInput, format!("{what} {shown:?} is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_paths_or_of_another_length_or_case_are_refused() {
        let hex = "a".repeat(64);
        assert!(hex.parse::<LayerId>().is_ok());
        for id in ["", "..", "../../x", &hex[1..], &format!("{hex}a"), &hex.to_uppercase(), &format!("{}/", &hex[1..])]
        {
            let error = id.parse::<LayerId>().expect_err("a bad layer id");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{id:?}");
        }
        let link = "ABCDEFGHIJKLMNOPQRSTUVWX27";
        assert!(link.parse::<LinkId>().is_ok());
        for id in ["", "../diff", &link[1..], &link.to_lowercase(), &link.replace('2', "1"), &format!("{link}\n")] {
            let error = id.parse::<LinkId>().expect_err("a bad link id");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{id:?}");
        }
    }

    #[test]
    fn random_ids_differ_and_read_back() {
        let (layer, link) = (LayerId::random(), LinkId::random());
        assert_ne!(layer, LayerId::random());
        assert_ne!(link, LinkId::random());
        assert_eq!(layer.to_string().parse::<LayerId>().expect("its own text"), layer);
        assert_eq!(link.to_string().parse::<LinkId>().expect("its own text"), link);
    }
}
