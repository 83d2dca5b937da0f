//! `tree`: layers from the base up, and who uses them.

use std::collections::{BTreeMap, BTreeSet};

use plyfs::{Container, Image, ImageId, Layer, LayerId, Store, User};
use serde::Serialize;

use crate::cli;
use crate::commands::shapes::Takes;
use crate::exit::Result;
use crate::human;
use crate::output::Output;
use crate::session::{self, Session};

/// A layer with those that stand on it.
#[derive(Debug, Serialize)]
struct Node {
    id: String,
    diff_id: Option<String>,
    usage: Takes,
    #[serde(skip)]
    allocated: u64,
    images: Vec<String>,
    containers: Vec<String>,
    children: Vec<Node>,
}

/// Draws all layers, or those of one image and what stands on them.
pub(crate) fn tree(session: &mut Session, args: &cli::Tree) -> Result<()> {
    let store = session.open()?;
    let image = args.image.as_deref().map(|name| session::image(&store, name)).transpose()?;
    let forest = Forest::of(&store)?;
    let roots = match &image {
        None => forest.roots(&forest.all()),
        Some(image) => forest.roots(&forest.around(image.top())),
    };
    if session.out.is_json() {
        return session.out.json(&roots);
    }
    if session.out.is_quiet() {
        return roots.iter().try_for_each(|root| print_ids(&mut session.out, root));
    }
    roots.iter().try_for_each(|root| print(&mut session.out, root, "", ""))?;
    if let Some(image) = image.filter(|image| image.top().is_none()) {
        session.out.line(format!("no layer  image {}", image_name(&image)))?;
    }
    Ok(())
}

/// All layers of a store by their parents, and names for their users.
#[derive(Debug)]
struct Forest {
    layers: BTreeMap<LayerId, Layer>,
    children: BTreeMap<Option<LayerId>, Vec<LayerId>>,
    images: BTreeMap<ImageId, Vec<String>>,
    containers: BTreeMap<LayerId, String>,
    users: BTreeMap<LayerId, Vec<User>>,
}

impl Forest {
    fn of(store: &Store) -> Result<Self> {
        let layers: BTreeMap<_, _> = store.layers()?.into_iter().map(|layer| (layer.id(), layer)).collect();
        let mut children: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for layer in layers.values() {
            children.entry(layer.parent()).or_default().push(layer.id());
        }
        let named = |container: &Container| (container.id(), container.name().to_string());
        let users = layers.values().map(|layer| Ok((layer.id(), layer.users()?))).collect::<Result<_>>()?;
        Ok(Self {
            children,
            users,
            images: store.images()?.iter().map(|image| (image.id(), image_names(image))).collect(),
            containers: store.containers()?.iter().map(named).collect(),
            layers,
        })
    }

    fn all(&self) -> BTreeSet<LayerId> {
        self.layers.keys().copied().collect()
    }

    /// A layer, its ancestors, and all that stands on it.
    fn around(&self, top: Option<LayerId>) -> BTreeSet<LayerId> {
        let parent = |id: &LayerId| self.layers.get(id).and_then(Layer::parent);
        let mut found: BTreeSet<_> = std::iter::successors(top, parent).collect();
        let mut next: Vec<_> = top.into_iter().collect();
        while let Some(id) = next.pop() {
            found.insert(id);
            next.extend(self.children.get(&Some(id)).into_iter().flatten());
        }
        found
    }

    fn roots(&self, wanted: &BTreeSet<LayerId>) -> Vec<Node> {
        self.nodes(None, wanted)
    }

    /// The wanted layers that stand on `parent`, in the order of who came first.
    fn nodes(&self, parent: Option<LayerId>, wanted: &BTreeSet<LayerId>) -> Vec<Node> {
        let mut ids: Vec<_> =
            self.children.get(&parent).into_iter().flatten().filter(|id| wanted.contains(id)).collect();
        ids.sort_by_key(|id| (self.layers[id].created_unix(), **id));
        ids.into_iter().map(|id| self.node(&self.layers[id], wanted)).collect()
    }

    fn node(&self, layer: &Layer, wanted: &BTreeSet<LayerId>) -> Node {
        let (mut images, mut containers) = (Vec::new(), Vec::new());
        for user in self.users.get(&layer.id()).into_iter().flatten() {
            match user {
                User::Image(id) => {
                    images.extend(self.images.get(id).cloned().unwrap_or_else(|| vec![human::short(id)]));
                }
                User::Container(id) => {
                    containers.push(self.containers.get(id).cloned().unwrap_or_else(|| human::short(id)));
                }
                User::Layer(_) | User::Lease(_) => {}
            }
        }
        images.sort();
        containers.sort();
        Node {
            id: layer.id().to_string(),
            diff_id: layer.diff_id().map(|digest| digest.to_string()),
            usage: layer.usage().into(),
            allocated: layer.usage().allocated,
            images,
            containers,
            children: self.nodes(Some(layer.id()), wanted),
        }
    }
}

fn image_names(image: &Image) -> Vec<String> {
    match image.names() {
        [] => vec![human::short(image.id())],
        names => names.iter().map(ToString::to_string).collect(),
    }
}

fn image_name(image: &Image) -> String {
    image_names(image).join(", ")
}

/// Prints a layer after `branch`, and its children after `indent`.
fn print(out: &mut Output, node: &Node, branch: &str, indent: &str) -> Result<()> {
    let mut line = format!("{branch}{}  {}", human::short(&node.id), human::bytes(node.allocated));
    for (what, users) in [("image", &node.images), ("container", &node.containers)] {
        if !users.is_empty() {
            line.push_str(&format!("  {what}{} {}", if users.len() == 1 { "" } else { "s" }, users.join(", ")));
        }
    }
    out.line(line)?;
    let last = node.children.len().saturating_sub(1);
    node.children.iter().enumerate().try_for_each(|(index, child)| {
        let (arm, below) = if index == last { ("└── ", "    ") } else { ("├── ", "│   ") };
        print(out, child, &format!("{indent}{arm}"), &format!("{indent}{below}"))
    })
}

fn print_ids(out: &mut Output, node: &Node) -> Result<()> {
    out.line(&node.id)?;
    node.children.iter().try_for_each(|child| print_ids(out, child))
}
