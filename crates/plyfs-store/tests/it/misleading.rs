//! A journal that was written wrong and has right checksums: found by the check, put right by a repair, nothing lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plyfs_journal::{DirDisk, Journal, Options};
use plyfs_store::{CheckOptions, ContainerOptions, ErrorKind, FindingKind, Progress, Severity, Store};
use plyfs_testkit::journal::empty_table;
use plyfs_testkit::require_root;

use crate::Fixture;
use crate::rebuild::{lines, no_layer};

fn runs(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("journal")).expect("a journal");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "run")).collect()
}

/// Has the journal put all that was written into a run.
pub(crate) fn fill_run(store: &Path) {
    let directory = plyfs_sys::fs::open_dir(store.join("journal")).expect("the journal");
    let small = Options::default().log_limit(512);
    let journal = Journal::open(Arc::new(DirDisk::new(directory)), small).expect("opened");
    let (key, value) = journal.snapshot().expect("read").scan(b"n").next().expect("a container").expect("read");
    let again = journal.write(|records| {
        records.put(&key, &value);
        Ok::<_, plyfs_journal::Error>(())
    });
    again.expect("written");
}

#[test]
fn root_a_run_that_does_not_find_its_keys_is_named_and_written_anew_by_a_repair() {
    require_root!();
    let fixture = Fixture::new();
    let layer = fixture.layer(None, &[("a", "1")]);
    let image = fixture.image("{}", Some(&layer), &["svc:1"]);
    let named = ContainerOptions::new().name("web-1".parse().expect("a name"));
    fixture.store.create(&image, named).expect("created");
    let path = fixture.store.path().to_owned();
    fill_run(&path);
    let [run] = &runs(&path)[..] else { panic!("one run: {:?}", runs(&path)) };
    let mut bytes = fs::read(run).expect("read");
    empty_table(&mut bytes);
    fs::write(run, bytes).expect("written");
    let store = Store::open(&path).expect("its checksums are right");
    assert_eq!(store.image("svc:1").expect_err("a wrong answer").kind(), ErrorKind::NotFound);

    let found = store.check(CheckOptions::quick()).expect("checked");
    let read_only = Store::options().check(&path, CheckOptions::quick(), Progress::none()).expect("checked");
    assert_eq!(read_only, found);
    assert_eq!(found.len(), 2, "keys and groups, and nothing is judged by wrong answers: {found:?}");
    for finding in &found {
        assert_eq!((finding.severity, finding.kind), (Severity::Error, FindingKind::JournalMisleading));
        let name = run.file_name().expect("it has one").to_string_lossy();
        assert!(finding.problem.contains(&format!("{name}, offset ")), "{finding}");
    }

    let rebuilt = Store::options().rebuild_with(&path, &lines, &no_layer, Progress::none());
    let told = plyfs_sys::report(&rebuilt.expect_err("every record can be read, and names would be lost"));
    assert!(told.contains("its journal is sound"), "{told}");

    let repaired = store.repair(&CheckOptions::data(), Progress::none()).expect("repaired");
    let told: Vec<_> = repaired.acts.iter().map(|act| (&act.finding, act.done.as_str())).collect();
    assert_eq!(told, found.iter().map(|finding| (finding, "its runs were written anew")).collect::<Vec<_>>());
    assert_eq!(repaired.left, []);
    for store in [store, Store::open(&path).expect("opened")] {
        assert_eq!(store.image("svc:1").expect("found again").id(), image.id());
        assert_eq!(store.container("web-1").expect("found again").image(), Some(image.id()));
    }
    assert!(!run.exists(), "the wrong run is gone");
}
