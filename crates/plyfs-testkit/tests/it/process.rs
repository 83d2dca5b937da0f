//! Running programs: outputs, ends, limits, kills.

use std::process::Command;
use std::time::Duration;

use plyfs_testkit::process::{Process, output, run, run_reading, wait_until, was_killed};

fn sh(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", script]);
    command
}

#[test]
fn both_outputs_and_the_exit_code_are_captured_whole() {
    let ran = run(&mut sh("echo out; echo err >&2; exit 7")).failure().code(7);
    assert_eq!((ran.text().as_str(), ran.words().as_str()), ("out", "err"));
    assert_eq!(output(&mut sh("head -c 300000 /dev/zero | tr '\\0' x")).len(), 300_000);
}

#[test]
fn a_program_reads_the_input_it_is_given_and_else_nothing() {
    let file = std::fs::File::open("/proc/self/comm").expect("procfs is mounted");
    assert!(!run_reading(&mut sh("cat"), file).success().stdout.is_empty());
    assert!(run(&mut sh("cat")).success().stdout.is_empty());
}

#[test]
fn claims_about_the_end_panic_with_the_command_and_its_words() {
    for (script, claim) in [("echo why >&2; exit 3", "success"), ("echo why >&2", "failure"), ("kill -9 $$", "failure")]
    {
        let ran = run(&mut sh(script));
        let panic = std::panic::catch_unwind(move || if claim == "success" { ran.success() } else { ran.failure() });
        let story = *panic.expect_err(script).downcast::<String>().expect("a formatted panic");
        assert!(story.contains(script), "{story}");
        assert!(script.contains("kill") || story.contains("why\n"), "{story}");
    }
}

#[test]
fn a_program_past_its_limit_is_killed_with_its_children() {
    let process = Process::spawn(&mut sh("sleep 300 & echo $! >&2; wait"));
    assert!(wait_until(Duration::from_secs(10), || !process.words().is_empty()), "the shell starts");
    let child = format!("/proc/{}/stat", process.words());
    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| process.wait_within(Duration::from_millis(50))));
    assert!(panic.is_err(), "the limit panics");
    let gone = || std::fs::read_to_string(&child).map_or(true, |stat| stat.contains(") Z"));
    assert!(wait_until(Duration::from_secs(10), gone), "the child outlived its group");
}

#[test]
fn kill_ends_what_cannot_be_ended_otherwise() {
    let process = Process::spawn(&mut sh("trap '' TERM INT; echo ready >&2; exec sleep 300"));
    assert!(wait_until(Duration::from_secs(10), || process.words() == "ready"), "the shell starts");
    process.terminate();
    assert!(was_killed(process.kill().status));
}

#[test]
fn dropping_a_process_ends_it() {
    let process = Process::spawn(&mut sh("sleep 300"));
    let dir = format!("/proc/{}", process.id());
    drop(process);
    assert!(!std::path::Path::new(&dir).exists());
}
