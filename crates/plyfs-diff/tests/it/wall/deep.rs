//! Trees that are deeper than a stack is long: whoever may write into a container can make one, and may not end the process
//! that archives it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use plyfs_diff::{Chain, Dialect, ErrorKind, ExportOptions, Style, View, changes, export};
use plyfs_sys::fs::{make_dir_at, open_dir, open_dir_at};
use plyfs_testkit::require_root;
use plyfs_testkit::temp::TempDir;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How deep the tree is: a walk that calls itself takes some kilobytes for each directory.
const DEPTH: usize = 600;

/// As deep as any walk goes.
const DEEPEST: usize = 4096;

/// What a walk may take that a thread of any caller has.
const STACK: usize = 384 << 10;

/// Goes so many directories down from `dir`, making each.
fn descend(dir: impl AsFd, depth: usize) -> OwnedFd {
    (0..depth).fold(open_dir_at(dir, ".").expect("open"), |dir, _| {
        make_dir_at(&dir, "d", Mode::RWXU).expect("made");
        open_dir_at(&dir, "d").expect("open")
    })
}

fn with_little_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        thread.expect("a thread").join().expect("no panic")
    })
}

#[test]
fn root_a_tree_deeper_than_a_stack_is_archived_listed_and_unpacked() {
    require_root!();
    let temp = TempDir::new();
    let tree = open_dir(temp.dir("tree")).expect("open");
    drop(descend(&tree, DEPTH));
    let shown = || {
        let upper = Chain::new(vec![open_dir_at(&tree, ".").expect("open")], Dialect::Trusted);
        View::new(upper).expect("a view")
    };
    with_little_stack(|| {
        for style in [Style::Native, Style::Containerd] {
            let archived = export(&tree, &Chain::empty(), io::sink(), &ExportOptions::new().style(style));
            assert!(archived.expect("archived").size > DEPTH as u64 * 512, "{style:?}");
        }
        let listed = changes(&tree, &Chain::empty()).expect("begun");
        assert_eq!(listed.inspect(|change| assert!(change.is_ok(), "{change:?}")).count(), DEPTH);
        assert!(shown().export(io::sink(), &ExportOptions::new()).expect("archived").size > DEPTH as u64 * 512);
        let target = open_dir(temp.dir("target")).expect("open");
        assert_eq!(shown().unpack(target).expect("unpacked").entries, DEPTH as u64);
    });
}

#[test]
fn root_a_changeset_is_as_deep_as_any_walk_goes_and_no_deeper() {
    require_root!();
    // Every directory that the walk is in takes a descriptor.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("raised");
    let temp = TempDir::new();
    let tree = open_dir(temp.dir("tree")).expect("open");
    let archived = || with_little_stack(|| export(&tree, &Chain::empty(), io::sink(), &ExportOptions::new()));
    let innermost = descend(&tree, DEEPEST);
    assert!(archived().expect("archived").size > DEEPEST as u64 * 512);
    descend(innermost, 1);
    let error = archived().expect_err("one more");
    assert_eq!(
        (error.kind(), error.to_string()),
        (ErrorKind::InvalidInput, "the tree is more than 4096 directories deep".into())
    );
}
