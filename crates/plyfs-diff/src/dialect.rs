//! The two name spaces OverlayFS keeps its marks in.
//!
//! A mount option chooses the name space, not who mounts (rule 18): what is written for one is invisible to
//! a mount that uses the other.

/// Where OverlayFS keeps its marks: opaque directories, redirects, whiteouts made of attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `trusted.overlay.*`, which takes `CAP_SYS_ADMIN` to see; what a plain mount uses.
    #[default]
    Trusted,
    /// `user.overlay.*`, what a mount with `userxattr` uses.
    User,
}

/// The marks of one dialect, spelled out once.
struct Marks {
    prefix: &'static str,
    opaque: &'static str,
    whiteout: &'static str,
    redirect: &'static str,
    metacopy: &'static str,
}

const TRUSTED: Marks = Marks {
    prefix: "trusted.overlay.",
    opaque: "trusted.overlay.opaque",
    whiteout: "trusted.overlay.whiteout",
    redirect: "trusted.overlay.redirect",
    metacopy: "trusted.overlay.metacopy",
};

const USER: Marks = Marks {
    prefix: "user.overlay.",
    opaque: "user.overlay.opaque",
    whiteout: "user.overlay.whiteout",
    redirect: "user.overlay.redirect",
    metacopy: "user.overlay.metacopy",
};

impl Dialect {
    /// What every mark of this dialect starts with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        self.marks().prefix
    }

    /// The mark of a directory that hides what is below it in lower layers.
    #[must_use]
    pub fn opaque(self) -> &'static str {
        self.marks().opaque
    }

    /// The mark that makes an empty regular file a whiteout, in a directory that announces such files.
    #[must_use]
    pub fn whiteout(self) -> &'static str {
        self.marks().whiteout
    }

    /// The mark of a directory whose lower content lies under another name.
    #[must_use]
    pub fn redirect(self) -> &'static str {
        self.marks().redirect
    }

    /// The mark of a file that was copied up without its content.
    #[must_use]
    pub fn metacopy(self) -> &'static str {
        self.marks().metacopy
    }

    /// Says whether an attribute is OverlayFS' own in either dialect; such never enter or leave in an archive (rule 19).
    #[must_use]
    pub fn owns(attribute: &[u8]) -> bool {
        [TRUSTED, USER].iter().any(|marks| attribute.starts_with(marks.prefix.as_bytes()))
    }

    fn marks(self) -> &'static Marks {
        match self {
            Self::Trusted => &TRUSTED,
            Self::User => &USER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_lies_below_the_prefix_of_its_dialect() {
        for dialect in [Dialect::Trusted, Dialect::User] {
            for mark in [dialect.opaque(), dialect.whiteout(), dialect.redirect(), dialect.metacopy()] {
                assert!(mark.starts_with(dialect.prefix()), "{mark}");
                assert!(Dialect::owns(mark.as_bytes()), "{mark}");
            }
        }
    }

    #[test]
    fn an_attribute_that_only_resembles_a_mark_is_not_owned() {
        for other in ["user.overlays.opaque", "trusted.overlay", "security.capability", "user.overla"] {
            assert!(!Dialect::owns(other.as_bytes()), "{other}");
        }
    }
}
