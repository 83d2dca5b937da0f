//! Keys as numbers of 64 bits, for what finds a key without comparing it: the table of a run, the filter of the tail.
//!
//! Part of the format, since tables are on the disk. Keys that are made to collide cost time and never an answer: whoever
//! finds a fingerprint compares the key.

/// Keys that begin with the same 33 bytes, a letter and an id by the custom of those who use the journal, are a
/// *group*: scanned together, and found together.
pub(crate) const GROUP: usize = 33;

/// Odd, and without a pattern in its bits: the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// What stands for a key, or for a group, which is the key of its shared bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

impl Fingerprint {
    /// Eight little-endian bytes at a time, the last ones filled up with zeros, are mixed into the length.
    #[inline]
    pub(crate) fn of(key: &[u8]) -> Self {
        let (words, rest) = key.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let start = mixed(u64::try_from(key.len()).expect("a key is bounded"));
        let whole = words.iter().fold(start, |sum, word| mixed(sum ^ u64::from_le_bytes(*word)));
        Self(mixed(whole ^ u64::from_le_bytes(last)))
    }

    /// The group of a key or of a prefix, when it is long enough to have one.
    #[inline]
    pub(crate) fn of_group(key: &[u8]) -> Option<Self> {
        key.get(..GROUP).map(Self::of)
    }
}

#[inline]
fn mixed(number: u64) -> u64 {
    let product = number.wrapping_mul(FACTOR);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_part_of_the_format() {
        assert_eq!(Fingerprint::of(b""), Fingerprint(0));
        assert_eq!(Fingerprint::of(b"a"), Fingerprint(0x103d_4fa1_7e6f_8a70));
        assert_eq!(Fingerprint::of(&[b'k'; 33]), Fingerprint(0x8e88_3e81_fab3_3c12));
        assert_eq!(Fingerprint::of_group(&[b'k'; 40]), Some(Fingerprint::of(&[b'k'; 33])));
        assert_eq!(Fingerprint::of_group(b"short"), None);
    }
}
