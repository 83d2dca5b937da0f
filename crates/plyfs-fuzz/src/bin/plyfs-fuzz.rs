//! All targets in one binary for libFuzzer, whose `main` calls what is here; `PLYFS_FUZZ` names the target.

#![no_main]
#![allow(missing_docs, reason = "libFuzzer's macro makes the functions")]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use plyfs_fuzz::Target;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn chosen() -> &'static Target {
    let name = std::env::var("PLYFS_FUZZ").expect("PLYFS_FUZZ names a target");
    plyfs_fuzz::target(&name).unwrap_or_else(|| panic!("no target is named {name}"))
}

fuzz_target!(|data: &[u8]| (TARGET.get_or_init(chosen).run)(data));
