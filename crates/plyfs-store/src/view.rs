//! Views: the merged tree of a container, an image or a layer, read without mounting.

use plyfs_diff::{Chain, Dialect, View};
use plyfs_link::LayerId;

use crate::{Container, Error, ErrorKind, Image, Layer, Result, Store};

impl Store {
    /// The view of these trees, uppermost first; each is kept from removal while a clone of the view lives.
    fn view(&self, what: &str, upper: Option<LayerId>, top: Option<LayerId>) -> Result<View> {
        let below = self.ancestors(top)?.into_iter().map(|layer| layer.id);
        // A lock belongs to the open file: the descriptor a view reads by is the one that holds it.
        let trees = upper.into_iter().chain(below).map(|id| Ok(self.hold(id)?.into_file()));
        let layers = Chain::new(trees.collect::<Result<_>>()?, Dialect::Trusted);
        View::new(layers).map_err(|e| Error::diff(what.to_owned(), e))
    }
}

impl Container {
    /// The merged tree, read without mounting.
    ///
    /// A mounted container may be read; what changes meanwhile shows as it is at that moment, and a file that is replaced
    /// while it is opened is [`ErrorKind::Conflict`]. The container cannot be removed while the view lives.
    pub fn view(&self) -> Result<View> {
        let what = format!("container {}", self.name());
        let upper = match self.directory() {
            Ok(_) => Some(self.id()),
            // A crash took the directories of a new container; they hold nothing until it is used.
            Err(error) if error.kind() == ErrorKind::NotFound => self.refuse_lost().map(|()| None)?,
            Err(error) => return Err(error),
        };
        self.store.view(&what, upper, self.parent())
    }
}

impl Image {
    /// The merged tree of its layers, read without mounting; none of them can be removed while the view lives.
    pub fn view(&self) -> Result<View> {
        self.store().view(&format!("image {}", self.id()), None, self.top())
    }
}

impl Layer {
    /// The merged tree of the layer and those below, read without mounting; none can be removed while the view lives.
    pub fn view(&self) -> Result<View> {
        self.store.view(&format!("layer {}", self.id()), None, Some(self.id()))
    }
}
