//! Layer ids, short-link ids, the `l/` directory and the `lower` grammar of an overlay2 driver home.
//!
//! Every layer is a directory named by a [`LayerId`]. Beside the layers lives `l/`, whose symbolic links give
//! each layer a name of 26 characters, a [`LinkId`], short enough for 128 of them to fit into the one page of
//! options that `mount(2)` takes:
//!
//! ```text
//! overlay2/
//!   l/QX7VJ3…           -> ../4f2a…/diff
//!   4f2a…/diff/            the layer's own tree
//!   4f2a…/link             QX7VJ3…      no newline
//!   4f2a…/lower            l/PARENT:l/GRANDPARENT
//! ```
//!
//! A [`Lower`] is the content of the `lower` file: the parents' links, uppermost first. A [`LinkDir`] is the
//! open `l/` directory.
//!
//! ```
//! use plyfs_link::{LayerId, LinkId, Lower};
//!
//! let base = LinkId::random();
//! let app = LinkId::random();
//! let lower = Lower::default().child_of(base)?.child_of(app)?;
//! assert_eq!(lower.to_string(), format!("l/{app}:l/{base}"));
//! assert_eq!(lower.to_string().parse::<Lower>()?, lower);
//!
//! assert!("../../etc".parse::<LayerId>().is_err(), "an id can never be a path");
//! # Ok::<(), plyfs_link::Error>(())
//! ```
//!
//! # Guarantees
//!
//! - Ids are random and parsed once at the door; a value of an id type is never a path, an option or empty.
//! - What is written is what Docker's overlay2 driver writes, byte for byte, and reads back the same.
//!
//! # Limits
//!
//! A chain is at most [`MAX_LOWERS`] deep, the kernel's own bound (rule 62).

mod dir;
mod error;
mod id;
mod layout;
mod lower;

pub use dir::LinkDir;
pub use error::{Error, ErrorKind, Result};
pub use id::{LayerId, LinkId};
pub use layout::{DIFF, LINK, LINK_DIR, LOWER, MERGED, WORK};
pub use lower::{Lower, MAX_LOWERS};
