//! Long work that its caller may end early.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// A question that is asked between the steps of long work; `true` ends it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Stop {
    pub(crate) fn when(is_asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_asked)))
    }

    /// [`ErrorKind::Cancelled`] when the caller wants an end.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(is_asked) if is_asked() => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Stop" } else { "None" })
    }
}
