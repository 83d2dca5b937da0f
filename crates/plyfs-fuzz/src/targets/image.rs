//! The documents of an image, and the archive they lie in.

use std::os::fd::AsFd;

use plyfs_image::fuzz;
use plyfs_sys::fs::open_dir;

pub(crate) fn manifest(data: &[u8]) {
    fuzz::manifest(data);
}

pub(crate) fn config(data: &[u8]) {
    fuzz::config(data);
}

pub(crate) fn members(data: &[u8]) {
    let spool = open_dir(std::env::temp_dir()).expect("a temporary directory");
    fuzz::members(&super::archive::bytes(data), spool.as_fd());
}
