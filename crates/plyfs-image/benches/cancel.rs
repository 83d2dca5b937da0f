//! How long a load takes to end once its caller asks it to, and what is left then; run by `cargo xtask bench images`.
//!
//! `cancel DIR ARCHIVE PERCENT [MILLISECONDS]` makes a store in the directory DIR, which has none, loads ARCHIVE into it, and
//! asks to stop once that part of it was read, or so many milliseconds later; with 100 when all is to be made durable, which is
//! asked once. It is another thread that wants it, at a moment of its own: the time until the load asks its caller counts too. It
//! prints `returned<TAB>seconds` from then to the return, and how many names are left in `staging/` and in `trash/`.
//!
//! `cancel hollow ARCHIVE` makes an archive of an image whose layer is 2 GiB of zeros, in a few kilobytes of zstd.
#![allow(clippy::print_stdout, reason = "a bench's output is its samples")]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use plyfs_diff::DigestReader;
use plyfs_image::{ErrorKind, Source, load};
use plyfs_store::{Progress, Stage, Step, Store};
use plyfs_testkit::oci::{Header, write_archive};
use serde_json::json;

/// How often the other thread looks whether it is time.
const LOOK: Duration = Duration::from_micros(200);

/// How much a layer holds that is next to nothing when it is compressed.
const HOLLOW: u64 = 2 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments.as_slice() {
        ["hollow", archive] => hollow(Path::new(archive)),
        [dir, archive, percent] => cancel(dir, archive, percent.parse()?, Duration::ZERO),
        [dir, archive, percent, later] => cancel(dir, archive, percent.parse()?, Duration::from_millis(later.parse()?)),
        _ => Err("usage: cancel DIR ARCHIVE PERCENT [MILLISECONDS], or cancel hollow ARCHIVE".into()),
    }
}

fn cancel(dir: &str, archive: &str, percent: u64, later: Duration) -> Result<(), Box<dyn Error>> {
    let (store, source) = (Store::ensure(dir)?, Source::path(archive)?);
    let enough = fs::metadata(archive)?.len() / 100 * percent;
    let (items, read) = (Mutex::new(HashMap::new()), AtomicU64::new(0));
    let (wanted, is_over) = (OnceLock::new(), AtomicBool::new(false));
    let progress = |step: &Step<'_>| {
        match step.stage {
            Stage::Publish if percent == 100 => drop(wanted.get_or_init(Instant::now)),
            Stage::Unpack => {
                let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
                items.insert(step.item.to_owned(), step.done);
                read.store(items.values().sum(), Ordering::Relaxed);
            }
            _ => {}
        }
        if wanted.get().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let want = || {
        while percent < 100 && !is_over.load(Ordering::Relaxed) {
            if read.load(Ordering::Relaxed) >= enough {
                std::thread::sleep(later);
                wanted.get_or_init(Instant::now);
                return;
            }
            std::thread::sleep(LOOK);
        }
    };
    let (loaded, returned) = std::thread::scope(|scope| {
        scope.spawn(want);
        let loaded = load(&store, source, Progress::new(&progress));
        let returned = Instant::now();
        is_over.store(true, Ordering::Relaxed);
        (loaded, returned)
    });
    match loaded {
        Err(error) if error.kind() == ErrorKind::Cancelled => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("the load was not stopped".into()),
    }
    let wanted = wanted.get().ok_or("the load was cancelled by nobody")?;
    println!("returned\t{:.9}", returned.duration_since(*wanted).as_secs_f64());
    for name in ["staging", "trash"] {
        println!("left in {name}\t{}", fs::read_dir(Path::new(dir).join(name))?.count());
    }
    Ok(())
}

fn hollow(archive: &Path) -> Result<(), Box<dyn Error>> {
    let mut header = Header::new_gnu();
    header.set_path("zeros")?;
    header.set_mode(0o644);
    header.set_size(HOLLOW);
    header.set_cksum();
    // Its end is of zeros as well.
    let mut plain = DigestReader::new(header.as_bytes().chain(io::repeat(0).take(HOLLOW + 1024)));
    let layer = zstd::encode_all(&mut plain, 3)?;
    let diff_id = plain.finish().0.to_string();
    let config = json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
    let manifest = json!([{"Config": "config.json", "RepoTags": ["localhost/hollow:1"], "Layers": ["layer"]}]);
    let documents = [("config.json", config), ("manifest.json", manifest)];
    let documents = documents.map(|(name, document)| (name.to_owned(), document.to_string().into_bytes()));
    let mut members = vec![("layer".to_owned(), layer)];
    members.extend(documents);
    write_archive(archive, &members);
    Ok(())
}
