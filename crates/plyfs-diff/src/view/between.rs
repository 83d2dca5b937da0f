//! What turns one view into another.

use std::io::Write;
use std::ops::ControlFlow;

use super::View;
use crate::{Change, CompareOptions, Error, ErrorKind, ExportOptions, Exported, Result, compare, export_between};

impl View {
    /// Lists what turns the tree of `older` into this one, as [`compare()`] does; `each` may end it early.
    pub fn changes_from(&self, older: &Self, mut each: impl FnMut(Change) -> ControlFlow<()>) -> Result<()> {
        let mut is_ended = false;
        let compared = compare(older.layers(), self.layers(), &CompareOptions::new(), |change| {
            is_ended = each(change).is_break();
            if is_ended { Err(Error::new(ErrorKind::Cancelled, "the caller has seen enough")) } else { Ok(()) }
        });
        if is_ended { Ok(()) } else { compared }
    }

    /// Writes the changeset that turns the tree of `older` into this one, as [`export_between()`] does.
    pub fn export_from(&self, older: &Self, out: impl Write, options: &ExportOptions) -> Result<Exported> {
        export_between(older.layers(), self.layers(), out, options)
    }
}
