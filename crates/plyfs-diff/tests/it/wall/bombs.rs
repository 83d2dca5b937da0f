//! Archives that cost far more than they weigh: bounded memory and time, or a refusal that names the limit.
//!
//! Each runs in a process of its own, whose greatest resident size the kernel tells. The archives are made while they are
//! read; the giant ones run where `PLYFS_TEST_GIANT` is set.

use std::io::{self, Read};
use std::process::Command;
use std::time::Duration;

use plyfs_diff::{ApplyOptions, Chain, ErrorKind, Filler, apply};
use plyfs_sys::fs::open_dir;
use plyfs_testkit::process::Process;
use plyfs_testkit::require_root;
use plyfs_testkit::tar_text;
use plyfs_testkit::temp::TempDir;

use crate::stack::whole;

/// What a process may hold in memory at any time.
const MEMORY_KIB: u64 = 64 << 10;

/// What the slowest may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

const BOMB: &str = "PLYFS_TEST_BOMB";
const GIANT: &str = "PLYFS_TEST_GIANT";

/// One bomb: its name, how many parts it has and how many where there is time, each part, and what is said to it.
struct Bomb {
    name: &'static str,
    parts: u64,
    giant: u64,
    part: fn(u64) -> String,
    /// Words of the refusal; none where it is applied.
    refusal: Option<&'static str>,
}

const BOMBS: &[Bomb] = &[
    Bomb { name: "one directory", parts: 20_000, giant: 1_000_000, part: |n| format!("file d/{n}"), refusal: None },
    Bomb {
        name: "one path over and over",
        parts: 20_000,
        giant: 1_000_000,
        part: |n| format!("file d/f data={n}"),
        refusal: None,
    },
    Bomb {
        name: "whiteouts of nothing",
        parts: 20_000,
        giant: 1_000_000,
        part: |n| format!("file d{}/.wh.{n}", n % 100),
        refusal: None,
    },
    Bomb {
        name: "links to one file",
        parts: 66_000,
        giant: 66_000,
        part: |n| if n == 0 { "file f data=x".into() } else { format!("hardlink l{n} link=f") },
        refusal: Some("too many links"),
    },
    Bomb { name: "deep", parts: 500, giant: 500, part: |n| format!("dir {{d/*{}}}", n + 1), refusal: None },
    Bomb { name: "deeper", parts: 1, giant: 1, part: |_| "dir {d/*4000}".into(), refusal: Some("Limits::depth") },
    Bomb {
        name: "long name",
        parts: 1,
        giant: 1,
        part: |_| "file a pax:path={n*1048000}".into(),
        refusal: Some("file name too long"),
    },
    Bomb {
        name: "long value",
        parts: 1,
        giant: 1,
        part: |_| "file a xattr:user.k={v*1048000}".into(),
        refusal: Some("a value of 1048000 bytes"),
    },
    Bomb {
        name: "records without end",
        parts: 8,
        giant: 400,
        // 50,000 records each, and none says anything.
        part: |n| format!("pax {{19\\sa.b.c.d.e.f.g=h\\n*50000}}\nfile f{n}"),
        refusal: None,
    },
    Bomb {
        name: "attributes without end",
        parts: 1,
        giant: 1,
        part: |_| (0..40_000).map(|n| format!(" xattr:u.{n}=v")).fold("file f".into(), |line, more| line + &more),
        refusal: Some("set the attributes"),
    },
    Bomb {
        name: "extension headers without end",
        parts: 1 << 20,
        giant: 1 << 20,
        part: |_| "pax 19\\sa.b.c.d.e.f.g=h\\n".into(),
        refusal: Some("two extension headers"),
    },
    Bomb {
        name: "global headers without end",
        parts: 100,
        giant: 1000,
        part: |_| "global 1000000\\scomment={A*999983}\\n".into(),
        refusal: Some("Limits::metadata"),
    },
    Bomb {
        name: "global headers of nothing",
        parts: 200_000,
        giant: 2_000_000,
        part: |_| "global".into(),
        refusal: Some("Limits::metadata"),
    },
    Bomb {
        name: "attributes of files of AUFS",
        parts: 100,
        giant: 10_000,
        part: |n| (0..15).map(|a| format!(" xattr:user.{a}={{v*65000}}")).fold(plnk(n), |line, more| line + &more),
        refusal: Some("Limits::aufs"),
    },
    Bomb {
        name: "names of files of AUFS",
        parts: 1000,
        giant: 10_000,
        part: |n| format!("file x pax:path=.wh..wh.plnk/{{{}/*500}}{n}", "n".repeat(200)),
        refusal: Some("Limits::aufs"),
    },
    Bomb {
        name: "whiteouts of names that none can have",
        parts: 100,
        giant: 1000,
        part: |n| format!("file x pax:path=d/.wh.{{n*1000000}}{n}"),
        refusal: Some("file name too long"),
    },
    Bomb {
        name: "names of attributes that are left out",
        parts: 60,
        giant: 1000,
        part: |n| format!("file f{n} xattr:security.selinux{{A*1000000}}=x"),
        refusal: None,
    },
    Bomb {
        name: "attributes that are left out far below",
        parts: 20,
        giant: 1000,
        part: |n| {
            let path = format!("file x pax:path={{{}/*500}}{n}", "n".repeat(200));
            (0..100).map(|a| format!(" xattr:security.selinux{a}=x")).fold(path, |line, more| line + &more)
        },
        refusal: None,
    },
    Bomb {
        name: "names of small files",
        parts: 60,
        giant: 1000,
        part: |n| format!("file x pax:path={{/*1000000}}{n}"),
        refusal: None,
    },
    Bomb {
        name: "sparse map",
        parts: 1,
        giant: 1,
        part: |_| "file a pax:GNU.sparse.map={1,1,*200000}1,1".into(),
        refusal: Some("Limits::extents"),
    },
    Bomb {
        name: "fifteen terabytes that are holes",
        parts: 1,
        giant: 1,
        part: |_| "file a pax:GNU.sparse.map=0,1 pax:GNU.sparse.size=15000000000000 data=x".into(),
        refusal: None,
    },
    Bomb {
        name: "a hundred terabytes that are declared",
        parts: 1,
        giant: 1,
        part: |_| "file a size=109951162777600 data=x".into(),
        refusal: Some("the archive ends"),
    },
];

/// A file of AUFS' store.
fn plnk(n: u64) -> String {
    format!("file .wh..wh.plnk/{n}")
}

/// An archive that is made part by part while it is read.
struct Endless<'a> {
    bomb: &'a Bomb,
    parts: u64,
    next: u64,
    rest: io::Cursor<Vec<u8>>,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.rest.read(buffer)?;
            if read > 0 || self.next == self.parts {
                return Ok(read);
            }
            let text = (self.bomb.part)(self.next) + "\nopen";
            self.rest = io::Cursor::new(tar_text::build(&text).expect("a text"));
            self.next += 1;
        }
    }
}

/// The half of the next test that runs in a process of its own; without its variable it has nothing to do.
#[test]
fn root_in_a_child_a_bomb_goes_off() {
    let Ok(name) = std::env::var(BOMB) else { return };
    let bomb = BOMBS.iter().find(|bomb| bomb.name == name).expect("a bomb of this name");
    let parts = if std::env::var_os(GIANT).is_some() { bomb.giant } else { bomb.parts };
    let temp = TempDir::new();
    let layer = open_dir(temp.dir("layer")).expect("open");
    let archive = Endless { bomb, parts, next: 0, rest: io::Cursor::default() };
    let options = ApplyOptions::new().share_filling(&Filler::new());
    let applied = apply(archive, layer, &Chain::empty(), &options, Some(&mut io::sink()));
    match (bomb.refusal, applied) {
        (None, Ok(_)) => {}
        (None, Err(error)) => panic!("{name}: {}", whole(&error)),
        (Some(words), Ok(_)) => panic!("{name} was applied, not refused with {words}"),
        (Some(words), Err(error)) => {
            assert!(whole(&error).to_lowercase().contains(&words.to_lowercase()), "{name}: {}", whole(&error));
            assert_ne!(error.kind(), ErrorKind::Conflict, "{name}");
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kib <= MEMORY_KIB, "{name}: {kib} KiB resident");
    drop(temp);
}

#[test]
fn root_no_archive_costs_more_than_its_limits_allow() {
    require_root!();
    for bomb in BOMBS {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--exact", "wall::bombs::root_in_a_child_a_bomb_goes_off", "--nocapture"]).env(BOMB, bomb.name);
        let patience = if std::env::var_os(GIANT).is_some() { PATIENCE * 10 } else { PATIENCE };
        let ran = Process::spawn(&mut child).wait_within(patience).success();
        assert!(ran.text().contains("1 passed"), "{}: {}", bomb.name, ran.text());
    }
}
