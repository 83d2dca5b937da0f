//! Recording a workload, cutting its disk, looking at what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cut::{BLOCK, Builder, Cut, choose};
use super::device::{Mounted, Recorder};
use super::filesystem::FileSystem;
use super::image::Image;
use super::model::{Expected, Facts};
use super::record::Record;
use crate::run::{command, output};
use crate::suites::build_example;
use crate::tree;

/// Seconds a program may take, on a machine with much else to do.
const LIMIT: &str = "180";

/// Threads of the workload by process, and what each process syncs: the whole file system or its own files.
const PROCESSES: [(&str, &str); 2] = [("0,1", "filesystem"), ("2,3", "files")];

/// The recovery of every so many cuts is cut as well.
const AGAIN: usize = 4;

/// What is done to a workload so that it promises more than it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Nothing.
    None,
    /// The store is asked not to sync.
    Relaxed,
    /// This system call returns at once, and says that it was done.
    Without(&'static str),
}

/// The program that works and looks, and the archives it loads.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    program: PathBuf,
    archives: PathBuf,
}

impl Tools {
    /// Builds the program and has it write its archives into `dir`; `formats` says in which of them.
    pub(super) fn new(dir: &Path, formats: &[&str]) -> Result<Self> {
        build_example("powercut")?;
        // A copy: what somebody builds meanwhile changes nothing about this run.
        let (built, program) = (tree::target().join("debug/examples/powercut"), dir.join("powercut"));
        fs::copy(&built, &program).with_context(|| format!("copy {}", built.display()))?;
        let tools = Self { program, archives: dir.join("archives") };
        tools.ask("prepare", &tools.archives, formats)?;
        Ok(tools)
    }

    /// What the program says about a directory.
    pub(super) fn ask(&self, what: &str, directory: &Path, more: &[&str]) -> Result<String> {
        output(command(&self.program).arg(what).arg(directory).args(more))
    }

    /// Where the archives lie.
    pub(super) fn archives(&self) -> &Path {
        &self.archives
    }

    /// The program within its time limit, and in the way of `sabotage`.
    fn program(&self, sabotage: Sabotage) -> Command {
        let mut it = command("timeout");
        it.args(["--kill-after=5", LIMIT]);
        if let Sabotage::Without(call) = sabotage {
            let inject = format!("inject={call}:retval=0");
            it.args(["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
            it.args(["-e", &inject]);
        }
        it.arg(&self.program);
        it
    }
}

/// A file system whose workload was recorded, to be cut.
#[derive(Debug)]
pub(super) struct Lab {
    tools: Tools,
    recorder: Recorder,
    dir: PathBuf,
    record: Record,
    /// The place where the workload begins.
    from: usize,
    random: fastrand::Rng,
}

/// What a look found.
#[derive(Debug)]
struct Look {
    facts: Facts,
    wrong: Vec<String>,
    /// What happened to the disk meanwhile.
    record: Record,
}

impl Lab {
    /// Makes the file system and records the workload of this seed, `steps` operations for each of four threads.
    pub(super) fn record(
        tools: &Tools,
        filesystem: FileSystem,
        dir: &Path,
        seed: u64,
        steps: usize,
        sabotage: Sabotage,
    ) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let recorder = Recorder::new(filesystem, filesystem.size(), dir)?;
        let mounted = recorder.mount()?;
        let store = mounted.path().join("store");
        let mut processes = Vec::new();
        for (workers, durability) in PROCESSES {
            let mut work = tools.program(sabotage);
            work.arg("work").args([&store, &tools.archives, &recorder.marks()]);
            let durability = if sabotage == Sabotage::Relaxed { "none" } else { durability };
            work.args([workers, &steps.to_string(), &seed.to_string(), durability]);
            processes.push(work.stderr(Stdio::piped()).spawn().context("start the workload")?);
        }
        let mut story = String::new();
        for process in processes {
            let ended = process.wait_with_output().context("wait for the workload")?;
            if !ended.status.success() {
                story = format!("{story}{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
            }
        }
        // The unmount is no part of what is cut.
        let end = recorder.position();
        mounted.unmount()?;
        if !story.is_empty() {
            bail!("the workload on {}: {story}", filesystem.name());
        }
        let mut record = recorder.restart();
        record.events.truncate(end);
        record.marks.retain(|mark| mark.at <= end);
        let from = record.marks.first().context("the workload set no mark")?.at;
        Ok(Self {
            tools: tools.clone(),
            recorder,
            dir: dir.to_path_buf(),
            record,
            from,
            random: fastrand::Rng::with_seed(seed),
        })
    }

    /// What was recorded, for people.
    pub(super) fn describe(&self) -> String {
        let done = self.record.marks.iter().filter(|mark| mark.line.starts_with("done ")).count();
        format!(
            "{}: {done} acknowledged operations, {} writes of {} MB, {} flushes",
            self.recorder.filesystem.name(),
            self.record.events.len() - self.record.flushes(),
            self.record.written() >> 20,
            self.record.flushes(),
        )
    }

    /// Cuts `count` times and hands each outcome, a list of what is wrong, to `each`; it says whether to go on.
    pub(super) fn cut(&mut self, count: usize, mut each: impl FnMut(&str, &[String]) -> bool) -> Result<()> {
        // Of `AGAIN` + 1 cuts one is in the recovery of another.
        let first = (count * AGAIN).div_ceil(AGAIN + 1);
        let mut again = count - first;
        let record = self.record.clone();
        let cuts = choose(&record, self.from, first, &mut self.random);
        let superblocks = self.recorder.filesystem.superblocks();
        let mut builder = Builder::new(&record, superblocks);
        for (n, cut) in cuts.into_iter().enumerate() {
            let expected = Expected::default().at(&record.marks, cut.at)?;
            let (cut, look, wrong) = self.judge(&mut builder, cut, &expected)?;
            let is_sound = wrong.is_empty();
            if !each(&format!("cut {cut}"), &wrong) {
                return Ok(());
            }
            if n % AGAIN == 0 && again > 0 && is_sound {
                again -= 1;
                let (second, wrong) = self.cut_again(&look, &expected)?;
                if !each(&format!("cut {cut}; its recovery cut {second}"), &wrong) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Cuts the recovery and the use that `first` recorded.
    fn cut_again(&mut self, first: &Look, before: &Expected) -> Result<(Cut, Vec<String>)> {
        let record = &first.record;
        let cut = choose(record, 0, 2, &mut self.random)[self.random.usize(..2)];
        // Once somebody has seen what became of an operation it must stay so.
        let observed = record.marks.iter().position(|mark| mark.line == "observed" && mark.at <= cut.at);
        let expected = match observed {
            Some(place) => Expected::exactly(first.facts.clone()).at(&record.marks[place..], cut.at)?,
            None => before.clone(),
        };
        let mut builder = Builder::new(record, self.recorder.filesystem.superblocks());
        let (cut, _, wrong) = self.judge(&mut builder, cut, &expected)?;
        Ok((cut, wrong))
    }

    /// Looks at a cut disk; what is wrong with it, and the cut that was made in the end. A disk with a finding is kept.
    ///
    /// xfs takes a block of its own metadata of which one half is new for all new, and does not repair it from its log. So
    /// where a tear broke the file system itself, the same cut is made again by whole blocks, and that one counts.
    fn judge(&self, builder: &mut Builder<'_>, cut: Cut, expected: &Expected) -> Result<(Cut, Look, Vec<String>)> {
        let image = builder.build(&cut);
        let look = self.look(&image)?;
        let mut wrong = look.wrong.clone();
        wrong.extend(expected.violations(&look.facts));
        if cut.unit < BLOCK && wrong.iter().any(|what| is_metadata_damage(what)) {
            return self.judge(builder, Cut { unit: BLOCK, ..cut }, expected);
        }
        if !wrong.is_empty() {
            let kept = self.dir.join(format!("cut-{}.img", cut.seed));
            let marks: String = self.record.marks.iter().map(|mark| format!("{} {}\n", mark.at, mark.line)).collect();
            if image.write_to(&kept).is_ok() && fs::write(kept.with_extension("marks"), marks).is_ok() {
                wrong.push(format!("the disk is kept as {}", kept.display()));
            }
        }
        Ok((cut, look, wrong))
    }

    /// Mounts a cut disk. The same bytes mount or do not: a second try only forgives what others do with loop devices.
    fn mount(&self, image: &Image) -> Result<Mounted<'_>> {
        self.recorder.begin(image.clone());
        self.recorder.mount().or_else(|_| {
            self.recorder.begin(image.clone());
            self.recorder.mount()
        })
    }

    /// Mounts a cut disk, and has the program look at it and use it.
    fn look(&self, image: &Image) -> Result<Look> {
        let mut look = Look { facts: Facts::new(), wrong: Vec::new(), record: Record::new(image.clone()) };
        let mounted = match self.mount(image) {
            Ok(mounted) => mounted,
            Err(error) => {
                look.wrong.push(format!("{error:#}"));
                return Ok(look);
            }
        };
        let mut it = self.tools.program(Sabotage::None);
        let store = mounted.path().join("store");
        let ended = it.arg("look").args([&store, &self.tools.archives, &self.recorder.marks()]).output();
        let ended = ended.context("start the look")?;
        let end = self.recorder.position();
        mounted.unmount()?;
        look.record = self.recorder.restart();
        look.record.events.truncate(end);
        for line in String::from_utf8_lossy(&ended.stdout).lines() {
            match line.split_once(' ') {
                Some(("fact", fact)) => {
                    let (key, value) = fact.split_once('=').context("a fact is a key and a value")?;
                    look.facts.insert(key.to_owned(), value.to_owned());
                }
                Some(("wrong", what)) => look.wrong.push(what.to_owned()),
                _ => {}
            }
        }
        if !ended.status.success() {
            look.wrong.push(format!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim()));
        }
        Ok(look)
    }
}

/// Whether the kernel found a checksum of the file system's own wrong (EBADMSG, EUCLEAN); mount(8) has words of its own.
fn is_metadata_damage(what: &str) -> bool {
    let words =
        ["(os error 74)", "(os error 117)", "Bad message", "Structure needs cleaning", "probably corrupted filesystem"];
    words.iter().any(|words| what.contains(words))
}
