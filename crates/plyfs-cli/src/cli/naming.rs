//! Arguments of the commands that name images and containers, and tell what an image was made of.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Name or id of the image
    pub(crate) image: String,
    /// New name; one that another image has is moved
    pub(crate) new: String,
}

#[derive(Debug, Args)]
pub(crate) struct Untag {
    /// Names of images
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Name or id of the image
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// Name of the container
    pub(crate) name: String,
    /// New name
    pub(crate) new: String,
}
