//! Archives as other readers see them: the same entries, or this one refuses (CVE-2025-62518).
//!
//! What two tools read differently is how content is smuggled past one of them; a reader that is stricter is no way in.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use plyfs_diff::archive::{Kind, Limits, Reader};
use plyfs_testkit::process::run_reading;
use plyfs_testkit::temp::TempDir;
use plyfs_testkit::{require_tool, tar_text};

/// How many archives are made of how many lines at most.
const ARCHIVES: u64 = 1500;
const LINES_MOST: u64 = 6;

/// Random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).expect("a place in a list")]
    }
}

fn text(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..=random.below(LINES_MOST) {
        let before = random.of(&[
            "",
            "",
            "",
            "",
            "longname long/name\\x00\n",
            "longlink long\\x00\n",
            "pax 10\\spath=p\\n\n",
            "pax 12\\ssize=512\\n\n",
            "global 16\\scomment=aaaa\\n\n",
            "zeros 1\n",
            "longname {n*200}\\x00\n",
            "pax 8\\spath=\\n\n",
        ]);
        let kind = random.of(&["file", "file", "file", "dir", "symlink", "hardlink", "fifo", "type:7", "type:\\x00"]);
        let name = random.of(&["a", "b", "d/c", "d/", "./x", "\\xff\\xfe", "{n*100}", "{n*130}", "a/../b", "/abs"]);
        let _ = write!(text, "{before}{kind} {name}");
        if matches!(kind, "symlink" | "hardlink") {
            let _ = write!(text, " link={}", random.of(&["a", "../up", "{t*120}", "d/c"]));
        }
        for _ in 0..random.below(3) {
            let option = random.of(&[
                "data=x",
                "data={y*513}",
                "size=512",
                "size=0",
                "size=1",
                "format=gnu",
                "format=v7",
                "format=star",
                "prefix=pre/fix",
                "pax:path=other",
                "pax:size=512",
                "pax:size=0",
                "pax:linkpath=elsewhere",
                "mode=7777",
                "uid=99999999",
                "pax:mtime=1.5",
                "at:124=\\x80",
                "at:257=ustar\\x00\\x00\\x00",
                "sum=bad",
                "at:156=0",
            ]);
            let _ = write!(text, " {option}");
        }
        text.push('\n');
    }
    text.push_str(random.of(&["", "", "open\n", "zeros 3\n", "cut 600\n"]));
    text
}

/// What this reader sees, in the words of the others.
fn ours(archive: &[u8]) -> Option<String> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut line = String::new();
    while let Some(entry) = reader.next_entry().ok()? {
        let kind = match entry.kind {
            Kind::File => '0',
            Kind::HardLink => '1',
            Kind::Symlink => '2',
            Kind::CharDevice => '3',
            Kind::BlockDevice => '4',
            Kind::Directory => '5',
            Kind::Fifo => '6',
            // No layer holds it: applying refuses what is read here.
            _ => return None,
        };
        let _ = write!(line, "{} {kind} {} {};", hex(&entry.path), entry.size, hex(&entry.link));
    }
    Some(line)
}

fn hex(name: &[u8]) -> String {
    let end = name.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    name[..end].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers")
}

/// Says whether anything but a file has a size: POSIX lets nothing follow it, as all others read it, and GNU tar passes over
/// so much.
fn has_size_without_content(text: &str) -> bool {
    let has_size = |line: &str| line.contains("size=") || line.contains("data=");
    let lines: Vec<_> = text.lines().collect();
    let is_bare = |line: &str| ["dir", "symlink", "hardlink", "fifo"].iter().any(|kind| line.starts_with(kind));
    let is_extended = |at: usize| at > 0 && lines[at - 1].starts_with("pax ") && has_size(lines[at - 1]);
    (0..lines.len()).any(|at| is_bare(lines[at]) && (has_size(lines[at]) || is_extended(at)))
}

/// Asks one of the others about all archives at once, and compares where both read one.
fn compare(command: &mut Command, list: &Path, texts: &[String], ours: &[Option<String>]) {
    let ran = run_reading(command, File::open(list).expect("the list")).success();
    let theirs = String::from_utf8(ran.stdout).expect("hexadecimal digits");
    let theirs: Vec<_> = theirs.lines().collect();
    assert_eq!(theirs.len(), texts.len(), "a line for each archive");
    let mut same = 0;
    for ((text, ours), theirs) in texts.iter().zip(ours).zip(theirs) {
        let Some(ours) = ours.as_ref().filter(|_| theirs != "error") else { continue };
        assert_eq!(ours, theirs, "{command:?} sees another archive in\n{text}");
        same += 1;
    }
    assert!(same > ARCHIVES as usize / 12, "{same} archives are read by both");
}

#[test]
fn python_go_and_gnu_tar_see_the_same_entries_or_the_archive_is_refused() {
    require_tool!("python3", "go", "tar");
    let (temp, mut random) = (TempDir::new(), Random(7));
    let texts: Vec<_> = (0..ARCHIVES).map(|_| text(&mut random)).collect();
    let (mut list, mut read) = (String::new(), Vec::new());
    for (number, text) in texts.iter().enumerate() {
        let (archive, path) = (tar_text::build_lossy(text), temp.join(format!("{number}.tar")));
        fs::write(&path, &archive).expect("written");
        let _ = writeln!(list, "{}", path.display());
        read.push(ours(&archive));
    }
    let names = temp.join("list");
    fs::write(&names, list).expect("written");

    compare(Command::new("python3").arg(programs().join("list.py")), &names, &texts, &read);
    let read_by_gnu =
        |(text, read): (&String, &Option<String>)| read.clone().filter(|_| !has_size_without_content(text));
    let by_gnu: Vec<_> = texts.iter().zip(&read).map(read_by_gnu).collect();
    compare(Command::new("python3").arg(programs().join("gnu.py")), &names, &texts, &by_gnu);

    let go = temp.join("list-go");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&go).arg(programs().join("list.go")).env("GOFLAGS", "-mod=mod");
    plyfs_testkit::process::run(&mut build).success();
    compare(&mut Command::new(&go), &names, &texts, &read);
}
