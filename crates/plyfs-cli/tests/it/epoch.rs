//! `SOURCE_DATE_EPOCH` and the styles of changesets.

use std::fs;
use std::process::Command;

use plyfs_testkit::process::{output, run};

use crate::bench::Bench;

const EPOCH: &str = "1000000000";

/// A container with a change of now, and a whole directory removed.
fn edited() -> Bench {
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let merged = bench.temp.path().join(bench.ok(["mount", "web-1"]));
    fs::write(merged.join("etc/motd"), "changed\n").expect("written");
    fs::remove_file(merged.join("etc/gone")).expect("removed");
    bench.ok(["umount", "web-1"]);
    bench
}

fn with_epoch(bench: &Bench, args: &[&str]) -> String {
    output(bench.command(args).env("SOURCE_DATE_EPOCH", EPOCH))
}

/// The newest time in an archive.
fn newest(bench: &Bench, archive: &str) -> i64 {
    let mut tar = Command::new("tar");
    tar.args(["--list", "--verbose", "--utc", "--full-time", "--file"]).arg(bench.temp.path().join(archive));
    let listing = output(tar.env("LC_ALL", "C"));
    let times = listing.lines().map(|line| line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" "));
    let newest = times.max().expect("an entry");
    output(Command::new("date").args(["--utc", "+%s", "--date", &newest])).parse().expect("seconds")
}

#[test]
fn root_no_time_is_later_than_source_date_epoch() {
    plyfs_testkit::require_root!();
    let bench = edited();
    let epoch: i64 = EPOCH.parse().expect("seconds");
    bench.ok(["diff", "web-1", "-o", "now.tar"]);
    assert!(newest(&bench, "now.tar") > epoch, "without it the times are those of the files");
    for args in [
        &["diff", "web-1", "-o", "clamped.tar"][..],
        &["diff", "app:1", "web-1", "-o", "clamped.tar"],
        &["diff", "web-1", "--style", "containerd", "-o", "clamped.tar"],
        &["export", "web-1", "-o", "clamped.tar"],
    ] {
        let _ = with_epoch(&bench, args);
        assert_eq!(newest(&bench, "clamped.tar"), epoch, "{args:?}");
        bench.ok(args.iter().copied().chain(["--clamp-mtime", "900000000"]));
        assert_eq!(newest(&bench, "clamped.tar"), 900_000_000, "{args:?}");
    }

    let ids = ["app:2", "app:3"].map(|name| with_epoch(&bench, &["commit", "web-1", name]));
    assert_eq!(ids[0], ids[1], "the same changes are the same image");
    assert!(bench.ok(["--json", "stat", "app:2", "etc/motd"]).contains("2001-09-09T01:46:40Z"));
    assert!(bench.ok(["--json", "inspect", "app:2"]).contains("2001-09-09T01:46:40"));
    let refused = run(bench.command(["diff", "web-1", "-o", "x.tar"]).env("SOURCE_DATE_EPOCH", "soon"));
    assert_eq!(refused.status.code(), Some(2), "a wrong value is no time");
}

#[test]
fn root_the_style_of_containerd_has_no_markers_and_leaves_the_root_out() {
    plyfs_testkit::require_root!();
    let bench = edited();
    bench.ok(["diff", "web-1", "--style", "containerd", "-o", "theirs.tar"]);
    let names = output(Command::new("tar").args(["--list", "--file"]).arg(bench.temp.path().join("theirs.tar")));
    assert_eq!(names.lines().collect::<Vec<_>>(), ["etc/", "etc/.wh.gone", "etc/motd"]);
}
