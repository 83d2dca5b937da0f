//! A thread that swaps directories for links out of the layer while the layer is worked on.
//!
//! Errors are fine, and so is any tree; nothing outside may change or be read (CVE-2018-15664, CVE-2025-47290).

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use plyfs_diff::{ApplyOptions, Chain, Dialect, ExportOptions, View, apply, changes, export, tar_split};
use plyfs_sys::fs::{open_dir, remove_tree};
use plyfs_testkit::require_root;
use plyfs_testkit::tar_text;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::canary::Ground;

/// How long each race runs.
const LONG: Duration = Duration::from_millis(1500);

/// Runs `work` again and again while `layer/d` and a link to the canary's `dir` change places as fast as they can.
fn race(ground: &Ground, what: &str, prepare: impl Fn(&Path), work: impl Fn(&Path)) {
    let layer = ground.layer();
    clear(&layer);
    let (done, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, link) = (layer.join("d"), layer.join("swap"));
            while !done.load(Ordering::Relaxed) {
                // Both may be missing: the work makes and removes them.
                if renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // A claim that does not hold ends the swapping too, or the scope would wait for it for ever.
        let _stop = Stop(&done);
        let started = Instant::now();
        while started.elapsed() < LONG || swaps.load(Ordering::Relaxed) < 100 {
            assert!(started.elapsed() < LONG * 40, "{what}: nothing was ever swapped");
            fs::create_dir(&layer).expect("it was removed");
            prepare(&layer);
            let _ = symlink(ground.canary().join("dir"), layer.join("swap"));
            work(&layer);
            ground.assert_untouched(what);
            clear(&layer);
            ground.assert_untouched(what);
        }
    });
}

/// Ends the swapping when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Removes the layer; a swap in the middle may make it fail, and then it is tried again.
fn clear(layer: &Path) {
    let parent = open_dir(layer.join("..")).expect("open");
    while remove_tree(&parent, "abc").is_err() {}
}

/// A layer whose directory `d` is the one that is swapped; `inner` is a name the canary's has too.
fn fill(layer: &Path) {
    let _ = fs::create_dir_all(layer.join("d/deep/deeper"));
    for name in ["inner", "deep/a", "deep/deeper/b"] {
        let _ = fs::write(layer.join("d").join(name), "content");
    }
}

#[test]
fn root_cve_2018_15664_and_2025_47290_a_race_never_leads_apply_out() {
    require_root!();
    let text: String = (0..60).map(|n| format!("dir d mode=777\nfile d/inner data=evil{n} mode=4777\nhardlink d/h{n} link=d/inner\nfile x{n} data=y\nsymlink d/s{n} link=inner\n")).collect();
    let archive = tar_text::build(&text).expect("a text");
    let ground = Ground::new();
    for chain in [Chain::empty(), ground.chain()] {
        race(
            &ground,
            "apply",
            |_| {},
            |layer| {
                let Ok(dir) = open_dir(layer) else { return };
                let mut record = Vec::new();
                let _ = apply(archive.as_slice(), &dir, &chain, &ApplyOptions::new(), Some(&mut record));
            },
        );
    }
}

#[test]
fn root_a_race_never_leads_export_or_changes_or_rebuild_out() {
    require_root!();
    let ground = Ground::new();
    let archive = tar_text::build("dir d\nfile d/inner data=content").expect("a text");
    let mut record = Vec::new();
    let layer = open_dir(ground.layer()).expect("open");
    apply(archive.as_slice(), layer, &Chain::empty(), &ApplyOptions::new(), Some(&mut record)).expect("applied");
    clear(&ground.layer());
    race(&ground, "export", fill, |layer| {
        let Ok(dir) = open_dir(layer) else { return };
        let mut archive = Vec::new();
        let _ = export(&dir, &ground.chain(), &mut archive, &ExportOptions::new());
        let reaches = archive.windows(8).any(|bytes| bytes == b"nor here");
        assert!(!reaches, "content of the canary was exported");
        let _ = changes(&dir, &ground.chain()).map(|changes| changes.count());
        let mut rebuilt = Vec::new();
        let _ = tar_split::rebuild(record.as_slice(), &dir, &mut rebuilt);
        assert!(!rebuilt.windows(8).any(|bytes| bytes == b"nor here"), "content of the canary was rebuilt");
    });
}

#[test]
fn root_a_race_never_leads_the_view_out() {
    require_root!();
    let ground = Ground::new();
    race(&ground, "view", fill, |layer| {
        let Ok(dir) = open_dir(layer) else { return };
        let view = View::new(Chain::new(vec![dir], Dialect::Trusted)).expect("a view");
        for path in ["d/inner", "d/deep/a", "d/deep/deeper/b", "d/../d/inner"] {
            let Ok(mut file) = view.open(path) else { continue };
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut file, &mut text);
            assert_ne!(text, "nor here", "{path} was read outside");
        }
    });
}

#[test]
fn root_a_race_never_leads_removal_out() {
    require_root!();
    let ground = Ground::new();
    race(&ground, "remove", fill, |layer| {
        for _ in 0..20 {
            clear(layer);
            fs::create_dir(layer).expect("it was removed");
            fill(layer);
            let _ = symlink(ground.canary().join("dir"), layer.join("swap"));
        }
    });
}
