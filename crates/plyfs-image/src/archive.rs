//! Images on their way out.

pub(crate) mod tar;
