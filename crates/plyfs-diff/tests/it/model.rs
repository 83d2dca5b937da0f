//! Random edits on real overlay mounts, layer upon layer: every reader must see what the kernel shows.
//!
//! A run puts four layers upon each other, each made by 25 edits on a mount. After each, the kernel's tree is compared with
//! the view, and with what the exported layer makes over the same lowers; at the end with the view's own export, with what
//! unpacking writes, and with what umoci and podman make of the exported layers. Times count in whole seconds where an
//! archive is between (rule 35).
//!
//! Every other run is mounted so that renamed directories and changed metadata leave their content in the lowers (rule 25).
//! `PLYFS_TEST_SEQUENCES` sets how many layers are made, `PLYFS_TEST_SEED` where the seeds begin, and `PLYFS_TEST_PEERS` that
//! other tools look at one run in so many.

mod docker;
mod edits;
mod peers;

use std::fs;

use plyfs_diff::{ApplyOptions, Chain, ExportOptions, View, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::tree::{Options, Tree, differences};
use plyfs_testkit::{require_root, require_tool};

use crate::layers::{Layers, REDIRECTING};
use crate::view::seen;
pub use docker::docker_diff;
pub use edits::{Random, edit};
use peers::Peers;

/// How many layers a run has.
const LAYERS: u64 = 4;

/// How many edits a layer is made of.
const EDITS: usize = 25;

#[test]
fn root_every_reader_agrees_with_the_kernel_on_random_edits() {
    require_root!();
    let seed = number("PLYFS_TEST_SEED", 0);
    for seed in seed..seed + number("PLYFS_TEST_SEQUENCES", 120).div_ceil(LAYERS) {
        run(seed);
    }
}

#[test]
fn root_other_tools_agree_with_the_kernel_on_random_edits() {
    require_root!();
    require_tool!("umoci", "podman");
    let peers = Peers::new();
    let (seed, step) = (number("PLYFS_TEST_SEED", 0), number("PLYFS_TEST_PEERS", 25));
    for seed in (seed..seed + number("PLYFS_TEST_SEQUENCES", 120).div_ceil(LAYERS)).filter(|seed| seed % step < 2) {
        let (layers, shown) = run(seed);
        peers.check(&format!("seed{seed}"), layers, &shown);
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|e| panic!("{name}: {text}: {e}")))
}

/// Makes the layers of a seed, comparing all the way; their archives, the base first, and what they show together.
fn run(seed: u64) -> (Vec<Vec<u8>>, Tree) {
    let mut random = Random(seed);
    let mut layers = Layers::new(1);
    if seed % 2 == 1 {
        layers.options = REDIRECTING;
    }
    let mut archives = Vec::new();
    let mut below = Tree::of(layers.mount_lowers().path());
    for layer in 0..LAYERS {
        let what = format!("seed {seed}, layer {layer}");
        let merged = layers.mount(layers.options);
        for _ in 0..EDITS {
            edit(&mut random, merged.path());
        }
        let above = Tree::of(merged.path());
        drop(merged);
        agree(&above, &seen(&layers.view()), &Options::new(), &format!("{what}, the view"));
        assert_eq!(layers.changes().expect("listed"), docker_diff(&below, &above), "{what}");
        archives.push(layers.export().0);
        let reapplied = layers.mount_over_lowers(&layers.reapplied());
        agree(&above, &Tree::of(reapplied.path()), &Options::images(), &format!("{what}, the export applied"));
        drop(reapplied);
        layers.freeze();
        below = above;
    }
    written_out(&layers, &below, seed);
    (archives, below)
}

/// Compares what a view writes as one archive and as files.
fn written_out(layers: &Layers, shown: &Tree, seed: u64) {
    let view = layers.view();
    let mut archive = Vec::new();
    view.export(&mut archive, &ExportOptions::new()).expect("exported");
    let (applied, unpacked) = (layers.beside("applied"), layers.beside("unpacked"));
    for dir in [&applied, &unpacked] {
        fs::create_dir(dir).expect("a new directory");
    }
    let layer = open_dir(&applied).expect("open");
    let counted =
        apply(archive.as_slice(), &layer, &Chain::empty(), &ApplyOptions::new(), None).expect("applied").usage;
    crate::stack::assert_costs(counted, &layer, &format!("seed {seed}"));
    agree(shown, &Tree::of(&applied), &Options::images(), &format!("seed {seed}, the view's export"));
    unpack(&view, &unpacked);
    // The last freeze made a new upper, whose root has a time of its own.
    agree(shown, &Tree::of(&unpacked), &Options::new().without_root(), &format!("seed {seed}, unpacked"));
}

fn unpack(view: &View, to: &std::path::Path) {
    let unpacked = view.unpack(open_dir(to).expect("open")).expect("unpacked");
    assert!(unpacked.has_owners && unpacked.skipped.is_empty(), "{unpacked:?}");
}

#[track_caller]
fn agree(expected: &Tree, found: &Tree, options: &Options, what: &str) {
    let differences = differences(expected, found, options);
    assert!(differences.is_empty(), "{what}: {differences:?}");
}
