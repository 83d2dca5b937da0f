//! What a worker knows of its containers, and the files that it writes into them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use plyfs::Container;
use plyfs_testkit::oci::sha256;

use crate::Result;
use crate::archives::{EDITED, edited};
use crate::marks::Effects;

/// The directory in a container that a worker writes into.
const WRITTEN: &str = "power";

/// The label that names a container whatever it is renamed to.
const LABEL: &str = "plot";

/// A container as its worker left it.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) label: String,
    pub(crate) image: String,
    pub(crate) files: Files,
}

/// The files that are looked at, and their digests.
pub(crate) type Files = BTreeMap<String, String>;

/// What a container of a loaded image begins with.
pub(crate) fn pristine() -> Files {
    Files::from([(EDITED.to_owned(), sha256(&edited()))])
}

impl Live {
    /// The label as an option of its creation.
    pub(crate) fn label(&self) -> (&'static str, String) {
        (LABEL, self.label.clone())
    }

    /// What is to be seen of it under this name.
    pub(crate) fn facts(&self, name: &str) -> Effects {
        let mut facts = Effects::from([(format!("container:{name}"), format!("{}|{}", self.image, self.label))]);
        facts.extend(self.files.iter().map(|(path, digest)| (self.key(path), digest.clone())));
        facts
    }

    pub(crate) fn key(&self, path: &str) -> String {
        format!("file:{}/{path}", self.label)
    }
}

/// Reads what [`Live::facts`] says off a container; `root` is where it is mounted.
pub(crate) fn read(container: &Container, root: &Path) -> Result<Effects> {
    let label = container.labels().get(LABEL).cloned().unwrap_or_default();
    let image = container.image().map_or_else(|| "-".to_owned(), |image| image.to_string());
    let mut live = Live { label, image, files: Files::new() };
    let mut paths = vec![EDITED.to_owned()];
    if let Ok(entries) = fs::read_dir(root.join(WRITTEN)) {
        for entry in entries {
            paths.push(format!("{WRITTEN}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    for path in paths {
        let content = fs::read(root.join(&path)).map_err(|e| format!("container {} /{path}: {e}", container.name()))?;
        live.files.insert(path, sha256(&content));
    }
    Ok(live.facts(container.name().as_str()))
}

/// The path of the file that a worker writes as its `n`th.
pub(crate) fn written(n: usize) -> String {
    format!("{WRITTEN}/{n}")
}

/// Writes a whole file and syncs it and the directories above it, as a careful program does.
pub(crate) fn write(root: &Path, path: &str, content: &[u8]) -> Result<()> {
    let path = root.join(path);
    let directory = path.parent().ok_or("a file has a directory")?;
    if !directory.exists() {
        fs::create_dir(directory)?;
        File::open(root)?.sync_all()?;
    }
    let mut file = File::options().create(true).truncate(true).write(true).open(&path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(File::open(directory)?.sync_all()?)
}
