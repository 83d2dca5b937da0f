//! What one process does between two steps of another's, and the record of which nobody knows yet whether it will stay.

use std::fs;

use plyfs_store::{ErrorKind, Operation, PruneOptions, Store};
use plyfs_testkit::{require_root, require_tool};

use crate::{Fixture, archive, killed};

#[test]
fn root_nothing_is_removed_where_it_cannot_be_seen_what_is_built_upon() {
    const NAME: &str = "meanwhile::root_nothing_is_removed_where_it_cannot_be_seen_what_is_built_upon";
    require_root!();
    require_tool!("strace");
    if let Some(path) = killed::role() {
        let store = Store::open(path).expect("opened");
        let error = store.prune(PruneOptions::new()).expect_err("it cannot be looked into");
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        return;
    }
    let fixture = Fixture::new();
    let base = fixture.layer(None, &[("a", "1")]);
    let mut operation = fixture.store.operation().expect("an operation");
    let upon =
        |operation: &mut Operation| operation.apply(&mut archive(&[("b", "2")]).as_slice(), Some(base.id()), None);
    let built = upon(&mut operation).expect("applied");
    let staged = fs::read_dir(fixture.store.path().join("staging")).expect("listed").next().expect("the operation's");
    let (staged, log) = (staged.expect("an entry").file_name(), fixture.dir.join("trace").display().to_string());
    let staged = staged.to_str().expect("a random id");

    // Opening the store looks at it too.
    let inject = "inject=openat:error=EMFILE:when=2+";
    let strace = ["strace", "-f", "-P", staged, "-o", &log, "-e", "trace=openat", "-e", inject];
    assert!(!killed::start(&strace, NAME, &fixture.store.path().display().to_string()).is_killed);

    assert!(fs::read_to_string(&log).expect("a trace").contains("(INJECTED)"));
    operation.publish().expect("its parent is there");
    assert_eq!(fixture.store.layer(&built.id.to_string()).expect("found").chain().expect("whole").len(), 2);
}
