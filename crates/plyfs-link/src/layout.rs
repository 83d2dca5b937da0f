//! Every file name of a driver home, in one place.

/// The directory of short links below the driver home.
pub const LINK_DIR: &str = "l";
/// A layer's own tree.
pub const DIFF: &str = "diff";
/// The file that holds a layer's short-link id.
pub const LINK: &str = "link";
/// The file that holds the links of a layer's parents.
pub const LOWER: &str = "lower";
/// The work directory OverlayFS needs beside an upper one.
pub const WORK: &str = "work";
/// The default mount point; there only while mounted.
pub const MERGED: &str = "merged";
