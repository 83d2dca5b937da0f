//! The `lower` file: which links a layer stands on, uppermost first.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, LinkId, Result, layout};

/// The most lowers the kernel stacks: `OVL_MAX_STACK` (rule 62).
pub const MAX_LOWERS: usize = 500;

/// The parents of a layer by their links, uppermost first; never more than [`MAX_LOWERS`].
///
/// The text form is `l/<link>:l/<link>…`, without a newline; a layer without a parent has no `lower` file,
/// and an empty one is refused, because a chain that lost its parents must not mount as if it had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lower(Vec<LinkId>);

impl Lower {
    /// The lower of a layer whose parent has the link `parent` and this lower.
    pub fn child_of(&self, parent: LinkId) -> Result<Self> {
        if self.0.len() >= MAX_LOWERS {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("a chain of {} layers is deeper than the {MAX_LOWERS} the kernel stacks", self.0.len() + 1),
            ));
        }
        let mut links = Vec::with_capacity(self.0.len() + 1);
        links.push(parent);
        links.extend_from_slice(&self.0);
        Ok(Self(links))
    }

    /// The links, uppermost first.
    #[must_use]
    pub fn links(&self) -> &[LinkId] {
        &self.0
    }

    /// Says whether the layer has no parent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Lower {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let links = text.split(':').map(link).collect::<Result<Vec<_>>>()?;
        if links.len() > MAX_LOWERS {
            let count = links.len();
            return Err(Error::new(ErrorKind::InvalidInput, format!("{count} lowers are more than {MAX_LOWERS}")));
        }
        Ok(Self(links))
    }
}

fn link(item: &str) -> Result<LinkId> {
    let id = item.strip_prefix(layout::LINK_DIR).and_then(|rest| rest.strip_prefix('/'));
    id.ok_or_else(|| {
        let shown: String = item.chars().take(80).collect();
        Error::new(ErrorKind::InvalidInput, format!("lower {shown:?} does not begin with \"l/\""))
    })?
    .parse()
}

impl fmt::Display for Lower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, link) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{}/{link}", layout::LINK_DIR)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_lower_is_its_parents_link_then_its_parents_lower() {
        let links: Vec<_> = (0..3).map(|_| LinkId::random()).collect();
        let lower = links.iter().try_fold(Lower::default(), |lower, link| lower.child_of(*link)).expect("three deep");
        assert_eq!(lower.to_string(), format!("l/{}:l/{}:l/{}", links[2], links[1], links[0]));
    }

    #[test]
    fn a_lower_that_lost_bytes_is_refused_not_shortened() {
        let whole =
            Lower::default().child_of(LinkId::random()).and_then(|l| l.child_of(LinkId::random())).expect("two");
        let text = whole.to_string();
        for cut in 0..text.len() {
            let parsed = text[..cut].parse::<Lower>();
            // Cut exactly at a colon the rest is a shorter chain that reads well; the store compares it with its record.
            assert!(parsed.is_err() || text.as_bytes()[cut] == b':', "cut at {cut}");
        }
        for bad in ["", "\n", "l/", ":", &format!("{text}\n"), &format!("{text}:"), &text.replace("l/", "../")] {
            assert!(bad.parse::<Lower>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_501st_lower_is_refused() {
        let full = (0..MAX_LOWERS).try_fold(Lower::default(), |lower, _| lower.child_of(LinkId::random()));
        let full = full.expect("as deep as the kernel stacks");
        assert_eq!(full.child_of(LinkId::random()).expect_err("too deep").kind(), ErrorKind::InvalidInput);
        assert_eq!(full.to_string().parse::<Lower>().expect("its own text"), full);
    }
}
