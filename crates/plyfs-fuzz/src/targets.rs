//! The targets, one reader each.

pub(crate) mod apply;
pub(crate) mod archive;
pub(crate) mod image;
pub(crate) mod journal;
pub(crate) mod lower;
pub(crate) mod mountinfo;
pub(crate) mod record;
pub(crate) mod tar_split;
