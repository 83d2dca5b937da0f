//! `info`.

use plyfs::Info;
use serde::Serialize;

use crate::commands::shapes::path_text;
use crate::exit::Result;
use crate::output::Columns;
use crate::session::Session;

#[derive(Debug, Serialize)]
struct InfoShape {
    plyfs_version: &'static str,
    path: String,
    format_version: u32,
    xattr_dialect: String,
    file_system: String,
    writable: bool,
    images: u64,
    layers: u64,
    containers: u64,
    /// The table of kernel features, a line each; empty where the caller may not find out.
    kernel: Vec<String>,
}

/// Shows what the store is and what it stands on.
pub(crate) fn info(session: &mut Session) -> Result<()> {
    let store = session.open()?;
    let Info { version, path, dialect, file_system, is_writable, kernel, .. } = store.info()?;
    let shape = InfoShape {
        plyfs_version: plyfs::VERSION,
        path: path_text(&path),
        format_version: version,
        xattr_dialect: dialect,
        file_system,
        writable: is_writable,
        images: store.images()?.len() as u64,
        layers: store.layers()?.len() as u64,
        containers: store.containers()?.len() as u64,
        kernel,
    };
    if session.out.is_json() {
        return session.out.json(&shape);
    }
    session.out.table(table(&shape))?;
    let kernel = if shape.kernel.is_empty() {
        &["kernel features: only root can try them".to_owned()]
    } else {
        &shape.kernel[..]
    };
    session.out.line("")?;
    kernel.iter().try_for_each(|line| session.out.line(line))
}

fn table(info: &InfoShape) -> Columns {
    let mut columns = Columns::new(["", ""]);
    for (key, value) in [
        ("plyfs", info.plyfs_version.to_owned()),
        ("store", info.path.clone()),
        ("format version", info.format_version.to_string()),
        ("xattr dialect", info.xattr_dialect.clone()),
        ("file system", info.file_system.clone()),
        ("writable", if info.writable { "yes" } else { "no" }.to_owned()),
        ("images", info.images.to_string()),
        ("layers", info.layers.to_string()),
        ("containers", info.containers.to_string()),
    ] {
        columns.row([key.to_owned(), value]);
    }
    columns
}
