//! The `lower` file: what is read is written back as it was.

use plyfs_link::Lower;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(lower) = text.parse::<Lower>() {
        assert_eq!(lower.to_string(), text, "a lower file has one spelling");
        assert!(!lower.is_empty(), "an empty lower file is refused");
    }
}
