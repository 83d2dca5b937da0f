//! Readers of foreign documents as fuzz targets reach them; no part of the interface.

use std::io;
use std::os::fd::BorrowedFd;

use crate::config;
use crate::json::fields::ENTRIES;
use crate::json::parse_list;
use crate::manifest::{DockerEntry, Index, Manifest};
use crate::members::Members;

/// Reads `bytes` as each of the documents that say what an image is made of.
pub fn manifest(bytes: &[u8]) {
    if let Ok((manifest, config)) = Manifest::parse(bytes, "", "manifest") {
        let promises = manifest.layers.iter().chain([&config]).map(|descriptor| descriptor.promise("layer"));
        promises.for_each(drop);
    }
    if let Ok(index) = Index::parse(bytes, "", "index") {
        assert!(Manifest::parse(bytes, "", "manifest").is_err(), "one document is not both");
        index.manifests.iter().for_each(|descriptor| drop(descriptor.promise("manifest")));
    }
    let _ = parse_list::<DockerEntry>(bytes, "manifest.json", &ENTRIES);
}

/// Reads `bytes` as a config of up to three layers.
pub fn config(bytes: &[u8]) {
    let _ = config::facts(bytes);
    for layers in 0..4 {
        if let Ok(found) = config::diff_ids(bytes, layers) {
            assert_eq!(found.len(), layers, "as many DiffIds as layers");
        }
    }
}

/// Reads `bytes` as an archive of members, kept in `spool`, and each member that images name.
pub fn members(bytes: &[u8], spool: BorrowedFd<'_>) {
    let Ok(members) = Members::of_stream(bytes, spool, &mut |_| Ok(())) else { return };
    for name in ["manifest.json", "index.json", "oci-layout", "a", "f", "d/f"] {
        let Ok(Some(member)) = members.open(name) else { continue };
        let size = member.size();
        let read = io::copy(&mut { member }, &mut io::sink());
        assert_eq!(read.ok(), Some(size), "a member is as long as it says");
    }
}
